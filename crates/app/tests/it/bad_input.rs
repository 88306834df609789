//! Bad input through the front door: each is refused with words that say what to do.

use std::path::Path;
use std::process::Output;

use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::process::{Process, penstock};
use crate::stage::{Stage, stop, tiny, until};

/// What `serve` says with this config, and its status.
fn refused(stage: &Stage, config: &str) -> String {
    let file = stage.write_config(config);
    let output: Output = penstock(stage).args(["serve", "--config"]).arg(file).output().expect("penstock");
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with('{') && !line.starts_with("first start")).collect();
    format!("{}\nstatus {}", redacted(stage, &ours.join("\n")), output.status.code().unwrap_or(-1))
}

fn redacted(stage: &Stage, text: &str) -> String {
    text.replace(&stage.folder().display().to_string(), "DIR")
}

/// Status and body, as a client sees them.
fn seen(stage: &Stage, reply: &Reply) -> String {
    let mut body: Value = serde_json::from_str(&reply.text).unwrap_or_else(|_| Value::String(reply.text.clone()));
    if let Some(id) = body.get_mut("request_id") {
        *id = json!("ID");
    }
    redacted(stage, &format!("{} {}", reply.status, serde_json::to_string_pretty(&body).expect("JSON")))
}

#[test]
fn a_config_with_unknown_keys_is_refused_with_lines_and_suggestions() {
    let stage = Stage::new();
    insta::assert_snapshot!(refused(&stage, "lisen: 1\ndeployments:\n  - name: tiny\n    modle: file:x.gguf\n    engine: lama-server\n"));
}

#[test]
fn an_open_house_off_loopback_is_refused() {
    let stage = Stage::new();
    let file = stage.write_config("auth: { mode: open }\n");
    let output = penstock(&stage).args(["serve", "--listen", "0.0.0.0:0", "--config"]).arg(file).output().expect("penstock");
    let said = String::from_utf8_lossy(&output.stderr);
    insta::assert_snapshot!(format!("{said}status {}", output.status.code().unwrap_or(-1)));
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named() {
    let stage = Stage::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let file = stage.write_config("");
    let output =
        penstock(&stage).args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"]).arg(file).output().expect("penstock");
    let said = String::from_utf8_lossy(&output.stderr).replace(&port, "PORT");
    insta::assert_snapshot!(format!("{said}status {}", output.status.code().unwrap_or(-1)));
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let stage = Stage::new();
    std::fs::write(stage.data_dir(), "").expect("a file");
    insta::assert_snapshot!(refused(&stage, ""));
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    // Not even root makes a folder in there.
    let stage = Stage::new();
    std::os::unix::fs::symlink("/proc/self", stage.data_dir()).expect("a link");
    insta::assert_snapshot!(refused(&stage, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_another_penstock_has_is_refused() {
    let stage = Stage::new();
    let first = Process::start(&stage, "").await;
    let said = refused(&stage, "").replace(&first.pid().to_string(), "PID");
    insta::assert_snapshot!(said);
}

/// What a caller and an operator see of a deployment that cannot be served.
async fn told(stage: &Stage, wish: &str) -> String {
    let house = stage.house(&format!("deployments:\n  - name: bad\n{wish}")).await;
    let client = stage.client(&house);
    let caller = client.capital("bad").await;
    // The caller may be told a moment earlier than the operator.
    let reason = until("the operator is told", async || {
        let reason = client.get("/api/v1/deployments/bad").await.json()["status"]["reason"].clone();
        (!["progressing", "idle"].contains(&reason["code"].as_str()?)).then_some(reason)
    })
    .await;
    let reason = serde_json::to_string_pretty(&reason).expect("JSON");
    let said = format!("{}\n{}", seen(stage, &caller), redacted(stage, &reason));
    stop(house).await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_file_that_is_missing_is_named_with_the_one_that_was_meant() {
    let stage = Stage::new();
    std::fs::copy(tiny(), stage.folder().join("tiny.gguf")).expect("a model");
    insta::assert_snapshot!(told(&stage, "    model: file:./tinny.gguf\n").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_model_file_is_refused_with_what_is_wrong_and_where() {
    let stage = Stage::new();
    let whole = std::fs::read(tiny()).expect("a model");
    std::fs::write(stage.folder().join("half.gguf"), &whole[..whole.len() / 2]).expect("half a model");
    insta::assert_snapshot!(told(&stage, "    model: file:./half.gguf\n").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_an_unknown_architecture_is_refused() {
    let stage = Stage::new();
    let mut bytes = std::fs::read(tiny()).expect("a model");
    let key = b"general.architecture";
    let at = bytes.windows(key.len()).position(|window| window == key).expect("the key") + key.len();
    let at = at + bytes[at..].windows(5).position(|window| window == b"llama").expect("the value");
    bytes[at..at + 5].copy_from_slice(b"lhama");
    std::fs::write(stage.folder().join("odd.gguf"), bytes).expect("a model");
    insta::assert_snapshot!(told(&stage, "    model: file:./odd.gguf\n").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_bigger_than_the_memory_is_refused_with_the_numbers() {
    let Some(stage) = Stage::with_engine() else { return };
    let said = told(&stage, &format!("    model: file:{}\nmemory: {{ budget: 20MiB }}\n", tiny())).await;
    let (before, after) = said.split_once("it needs ").expect("what it needs");
    let needs = after.split(',').next().expect("a number").to_owned();
    assert!(before.starts_with("507") && needs.ends_with(" MiB"), "{said}");
    insta::assert_snapshot!(said.replace(&needs, "SIZE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_missing_is_named_with_where_it_was_looked_for() {
    let stage = Stage::new();
    let wish = format!("    model: file:{}\nengines: {{ llama-server: {{ path: ./nowhere }} }}\n", tiny());
    insta::assert_snapshot!(told(&stage, &wish).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_taken_or_ill_formed_are_refused() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - name: taken\n    engine: echo\n").await;
    let client = stage.client(&house);
    let mut said = Vec::new();
    for name in ["taken", "a b", ""] {
        said.push(seen(&stage, &client.post("/api/v1/deployments", &json!({"name": name, "engine": "echo"})).await));
    }
    insta::assert_snapshot!(said.join("\n"));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_leave_nothing_are_refused_by_the_file_and_by_the_api() {
    let stage = Stage::new();
    let config = "client_write_timeout: 0\ndeployments:\n  - name: none\n    engine: echo\n    max_concurrent: 0\n    timeouts: { connect: 0, idle: 0 }\n";
    let mut said = vec![refused(&stage, config)];
    let house = stage.house("").await;
    let client = stage.client(&house);
    for times in
        [json!({"connect": 0}), json!({"first_token": "0s"}), json!({"idle": 0}), json!({"total": "0ms"}), json!({"total": "9999d"})]
    {
        let wish = json!({"name": "none", "engine": "echo", "timeouts": times});
        said.push(seen(&stage, &client.post("/api/v1/deployments", &wish).await));
    }
    insta::assert_snapshot!(said.join("\n"));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_malformed_are_refused() {
    let stage = Stage::new();
    let house = stage.house("max_body_bytes: 1KiB\ndeployments:\n  - name: echo\n    engine: echo\n").await;
    let client = stage.client(&house);
    let mut said = Vec::new();
    let large = format!("{{\"model\":\"echo\",\"prompt\":\"{}\"}}", "a".repeat(2000));
    for path in ["/v1/chat/completions", "/infer"] {
        for body in [large.as_str(), "{\"model\":\"echo\",", "{\"model\":7}", ""] {
            said.push(format!("{path} {:.20}\n{}", body, seen(&stage, &send(&client, path, body).await)));
        }
    }
    for body in ["{\"name\":", "{\"name\":\"x\",\"enginee\":\"echo\"}", "[]"] {
        said.push(format!("/api/v1/deployments {body}\n{}", seen(&stage, &send(&client, "/api/v1/deployments", body).await)));
    }
    insta::assert_snapshot!(said.join("\n"));
    stop(house).await;
}

async fn send(client: &Client, path: &str, body: &str) -> Reply {
    client.ask(Method::POST, path, body.to_owned().into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_models_that_is_not_there_is_refused() {
    let stage = Stage::new();
    insta::assert_snapshot!(refused(&stage, "models_dir: ./modles\n"));
}

#[test]
fn a_file_that_was_named_and_is_not_there_is_refused() {
    let stage = Stage::new();
    let output = penstock(&stage).args(["serve", "--config", "nowhere.yaml"]).output().expect("penstock");
    let text = String::from_utf8_lossy(&output.stderr);
    insta::assert_snapshot!(format!("{}status {}", redacted(&stage, &text), output.status.code().unwrap_or(-1)));
    assert!(!Path::new("nowhere.yaml").exists());
}
