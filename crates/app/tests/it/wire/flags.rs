//! Section 4: the flags of `serve`, each also a key of the config in YAML, JSON and TOML.

use serde_json::json;
use testkit::upstream::{Script, Step, Upstream};

use super::soon;
use crate::process::{Process, penstock};
use crate::stage::{Stage, until};

const FLAGS: [&str; 23] = [
    "models-dir",
    "default-model",
    "vram-budget-mb",
    "vram-margin-mb",
    "max-queue-depth",
    "max-wait",
    "infer-timeout",
    "max-body-bytes",
    "drain-timeout",
    "shutdown-timeout",
    "cors-enabled",
    "cors-origins",
    "cors-methods",
    "cors-headers",
    "llama-url",
    "llama-api-key",
    "llama-timeout",
    "llama-connect-timeout",
    "llama-bin",
    "llama-host",
    "llama-port-range",
    "llama-ctx",
    "events-file",
];

#[test]
fn each_flag_is_there_and_each_is_a_key_with_underscores() {
    let stage = Stage::new();
    let help = penstock(&stage).args(["serve", "--help"]).output().expect("penstock");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let reference = include_str!("../../../../../docs/reference/config.md");
    for flag in FLAGS.into_iter().chain(["llama-threads", "llama-ngl", "config"]) {
        assert!(help.contains(&format!("--{flag}")), "--{flag} is missing in\n{help}");
        assert!(flag == "config" || reference.contains(&format!("`{}`", flag.replace('-', "_"))), "{flag} is no key");
    }
}

/// Starts with these arguments and looks whether they hold.
async fn holds(stage: &Stage, upstream: &Upstream, process: &Process) {
    upstream.plays("mine", Script::silent().then(Step::Silence));
    let client = &process.client;
    let body = json!({"prompt": "once"});
    // On a machine that is busy the engine may be found too late for the first one.
    until("the engine is asked", async || {
        client.post("/infer", &body).await;
        (!upstream.asks().is_empty()).then_some(())
    })
    .await;
    let reply = soon(client.post("/infer", &body)).await;
    assert_eq!(reply.status, 504, "--infer-timeout: {}", reply.text);
    let status = client.get("/status").await.json();
    assert_eq!(status["instances"][0]["max_queue_depth"], 3, "--max-queue-depth: {status}");
    assert_eq!((&status["budget_mb"], &status["margin_mb"]), (&json!(512), &json!(64)));
    let large = client.post("/infer", &json!({"prompt": "x".repeat(4096)})).await;
    assert_eq!(large.status, 413, "--max-body-bytes");
    let origin = [("origin", "https://a.example")];
    let reply = client.ask_with(hyper::Method::GET, "/models", &origin, "").await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://a.example", "--cors-origins");
    assert_eq!(reply.json()["models"][0]["id"], "mine", "--default-model names the engine of --llama-url");
    let ask = &upstream.asks()[0];
    assert_eq!(ask.header("authorization"), Some("Bearer engine-key"), "--llama-api-key");
    let events = stage.folder().join("events.jsonl");
    until("--events-file has a line", async || std::fs::read_to_string(&events).ok().filter(|text| text.contains("\"mine\""))).await;
}

fn settings(upstream: &Upstream) -> serde_json::Map<String, serde_json::Value> {
    let url = upstream.url().trim_end_matches("/v1").to_owned();
    let all = json!({
        "llama_url": url, "llama_api_key": "engine-key", "default_model": "mine", "max_queue_depth": 3, "max_wait": "5s",
        "infer_timeout": "400ms", "max_body_bytes": 2048, "vram_budget_mb": 512, "vram_margin_mb": 64, "cors_enabled": true,
        "cors_origins": ["https://a.example"], "events_file": "./events.jsonl", "drain_timeout": "1s", "shutdown_timeout": "1s",
    });
    all.as_object().cloned().expect("an object")
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_hold_as_flags() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    let mut arguments = Vec::new();
    for (key, value) in settings(&upstream) {
        let text = match &value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => items[0].as_str().expect("text").to_owned(),
            other => other.to_string(),
        };
        arguments.push(format!("--{}={text}", key.replace('_', "-")));
    }
    let process = Process::start_as(&stage, &stage.write_config(""), &arguments).await;
    holds(&stage, &upstream, &process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_hold_as_a_file_in_each_format() {
    for format in ["yaml", "json", "toml"] {
        let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
        let mut all = settings(&upstream);
        all.insert("listen".to_owned(), json!("127.0.0.1:0"));
        all.insert("data_dir".to_owned(), json!("./data"));
        let text = match format {
            "yaml" => all.iter().fold(String::new(), |text, (key, value)| format!("{text}{key}: {value}\n")),
            "toml" => all.iter().fold(String::new(), |text, (key, value)| format!("{text}{key} = {value}\n")),
            _ => serde_json::Value::Object(all).to_string(),
        };
        let file = stage.folder().join(format!("penstock.{format}"));
        std::fs::write(&file, text).expect("a config");
        let process = Process::start_as(&stage, &file, &[]).await;
        holds(&stage, &upstream, &process).await;
    }
}
