//! Models of other machines through the front door: pulled by people, fetched for deployments, stopped in the middle, pruned.

use std::path::Path;
use std::process::Stdio;

use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::{FileHost, HostedFile};

use crate::client::{Client, Reply};
use crate::meanwhile::HARDLY;
use crate::process::{Process, penstock};
use crate::stage::{Stage, stop, tiny, until};

#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    reply.json()
}

fn hex(bytes: &[u8]) -> String {
    <[u8; 32]>::from(Sha256::digest(bytes)).map(|byte| format!("{byte:02x}")).concat()
}

/// A hub with the small model in it; each byte takes its time.
pub(crate) async fn hub(rate: Option<u64>) -> FileHost {
    let host = FileHost::open().await.expect("a host");
    let bytes = std::fs::read(tiny()).expect("the small model");
    let digest = hex(&bytes);
    host.add_hub("me/capitals-GGUF", None, &[("capitals-Q8_0.gguf", bytes.into(), Some(&digest))]);
    host.change(&format!("/cdn/{digest}"), |file| file.rate = rate);
    host
}

/// Where that hub has the small model.
pub(crate) fn cdn() -> String {
    format!("/cdn/{}", hex(&std::fs::read(tiny()).expect("the small model")))
}

pub(crate) fn config(host: &FileHost) -> String {
    format!("pull: {{ hub: \"{0}\", ollama: \"{0}\", stall: 2s }}\n", host.url())
}

async fn ended(client: &Client, id: &Value) -> Value {
    let path = format!("/api/v1/operations/{}", id.as_str().expect("an id"));
    until("the pull has ended", async || {
        let operation = client.get(&path).await.json();
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_a_hub_is_pulled_with_progress_and_served() {
    let Some(stage) = Stage::with_engine() else { return };
    let host = hub(Some(512 << 10)).await;
    let house = stage.house(&config(&host)).await;
    let client = stage.client(&house);
    let begun =
        done(client.post("/api/v1/models", &json!({"name": "capitals", "source": "hf:me/capitals-GGUF", "tags": ["v1"]})).await, 202);
    // The stream ends with the pull.
    let told = client.get(&format!("/api/v1/operations/{}?watch=1", begun["id"].as_str().expect("an id"))).await.text;
    let states = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let states: Vec<Value> = states.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let moves = |state: &&Value| state["transfer"]["rate"].is_u64() && state["transfer"]["eta_ms"].is_u64();
    let seen = states.iter().find(moves).unwrap_or_else(|| panic!("how fast it comes, and for how long: {told}"));
    assert!(seen["transfer"]["done"].as_u64() > Some(0) && seen["transfer"]["total"].as_u64() > Some(0), "{seen}");
    assert_eq!(states.last().map(|state| &state["state"]), Some(&json!("succeeded")), "{told}");
    let model = client.get("/api/v1/models/capitals").await.json();
    assert_eq!((&model["spec"]["source"], &model["spec"]["licence"]), (&json!("hf:me/capitals-GGUF"), &json!("apache-2.0")));
    done(client.post("/api/v1/deployments", &json!({"name": "capitals", "model": "capitals:v1"})).await, 202);
    assert!(client.capital("capitals").await.said().contains("Paris"));
    let swept = done(client.post("/api/v1/blobs/prune", &json!({"grace": "0s"})).await, 200);
    assert_eq!((&swept["blobs"], &swept["kept"]), (&json!([]), &json!(1)), "an engine runs on it: {swept}");
    done(client.post("/api/v1/deployments/capitals/unload", &json!({})).await, 202);
    until("the engine has ended", async || {
        let instances = client.get("/api/v1/instances").await.json();
        instances["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    assert!(client.capital("capitals").await.said().contains("Paris"), "and its files are where it left them");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_a_hub_is_fetched_and_everybody_sees_how_far_it_is() {
    let Some(stage) = Stage::with_engine() else { return };
    let host = hub(Some(HARDLY)).await;
    let house = stage.house(&format!("{}deployments:\n  - {{ name: capitals, model: hf:me/capitals-GGUF:Q8_0 }}\n", config(&host))).await;
    let client = stage.client(&house);
    let status = async |phase: &str| {
        let status = client.get("/api/v1/deployments/capitals").await.json()["status"].clone();
        (status["state"] == phase || status["phase"] == phase).then_some(status)
    };
    let seen = until("it is fetched", async || status("fetching").await).await;
    let message = seen["reason"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("are being fetched: ") && message.contains(" of "), "{seen}");
    assert_eq!(seen["reason"]["facts"]["bytes_total"].as_u64(), std::fs::metadata(tiny()).ok().map(|seen| seen.len()), "{seen}");
    let hurries = async {
        until("who calls waits", async || {
            (client.get("/api/v1/deployments/capitals").await.json()["status"]["waiting"] == 1).then_some(())
        })
        .await;
        host.change(&cdn(), |file| file.rate = None);
    };
    let (answer, ()) = tokio::join!(client.capital("capitals"), hurries);
    assert!(answer.said().contains("Paris"), "who calls meanwhile waits");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_said_with_what_to_do() {
    let stage = Stage::new();
    let host = hub(None).await;
    let house = stage.house(&config(&host)).await;
    let client = stage.client(&house);
    for (source, code, words) in [
        ("hf:me/capitals-GGUF:Q4_0", "model_missing", "capitals-Q8_0.gguf"),
        ("hf:me/nothing", "model_missing", "HF_TOKEN"),
        ("ollama:nothing", "model_missing", "check the name"),
    ] {
        let begun = done(client.post("/api/v1/models", &json!({"name": "m", "source": source})).await, 202);
        let reason = ended(&client, &begun["id"]).await["reason"].clone();
        assert_eq!(reason["code"], code, "{reason}");
        assert!(reason["remedy"].as_str().is_some_and(|remedy| remedy.contains(words)), "{reason}");
    }
    // A URL that came through the API leads nowhere inside, unless the operator allows it.
    let inside = format!("{}/x.gguf", host.url().replace("127.0.0.1", "127.0.0.2"));
    let refused = async |client: &Client, source: &str| {
        let begun = done(client.post("/api/v1/models", &json!({"name": "m", "source": source})).await, 202);
        let reason = ended(client, &begun["id"]).await["reason"].clone();
        assert!(reason["remedy"].as_str().is_some_and(|remedy| remedy.contains("outbound.allow")), "{reason}");
    };
    refused(&client, &inside).await;
    // Nor by way of a host that may be asked: the hub's own, and one that the operator allows.
    for (path, place) in [("/away.gguf", inside.clone()), ("/farther.gguf", "http://169.254.169.254/latest".to_owned())] {
        host.put(path, HostedFile { redirect: Some(place), ..HostedFile::of(bytes::Bytes::new()) });
        refused(&client, &format!("{}{path}", host.url())).await;
    }
    stop(house).await;
    let house = stage.house("outbound: { allow: [127.0.0.1] }\n").await;
    let client = stage.client(&house);
    refused(&client, &format!("{}/away.gguf", host.url())).await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_an_address_is_kept_for_the_fetch_and_shown_to_nobody() {
    const SECRET: &str = "hush-hush";
    let stage = Stage::new();
    let host = FileHost::open().await.expect("a host");
    let bytes = std::fs::read(tiny()).expect("the small model");
    host.put(&format!("/m.gguf?sig={SECRET}"), HostedFile::of(bytes));
    let house = stage.house("outbound: { allow: [127.0.0.1] }\n").await;
    let client = stage.client(&house);
    let (source, shown) = (format!("{}/m.gguf?sig={SECRET}", host.url()), format!("{}/m.gguf?…", host.url()));
    let pull = async |source: &str| {
        let begun = done(client.post("/api/v1/models", &json!({"name": "m", "source": source})).await, 202);
        ended(&client, &begun["id"]).await
    };
    assert_eq!(pull(&source).await["state"], "succeeded");
    let model = client.get("/api/v1/models/m").await.json();
    assert_eq!(model["spec"]["source"], json!(shown), "{model}");
    assert_eq!(pull(&shown).await["state"], "succeeded", "who asks for what they were shown means what is there");
    done(client.post("/api/v1/deployments", &json!({"name": "d", "model": source})).await, 202);
    let mut wish = client.get("/api/v1/deployments/d").await.json()["spec"].clone();
    assert_eq!(wish["model"], json!(shown), "{wish}");
    let put = async |wish: &Value| done(client.ask(Method::PUT, "/api/v1/deployments/d", wish.to_string().into()).await, 202);
    assert_eq!(put(&wish).await["generation"], 1, "it is as it was");
    wish["max_queue"] = json!(7);
    assert_eq!(put(&wish).await["generation"], 2);
    done(client.ask(Method::PATCH, "/api/v1/deployments/d", json!({"model": shown, "max_queue": 8}).to_string().into()).await, 202);
    assert!(std::fs::metadata(tiny()).is_ok_and(|seen| host.sent(&format!("/m.gguf?sig={SECRET}")) == seen.len()), "it came once");
    done_empty(&client.ask(Method::DELETE, "/api/v1/models/m", "".into()).await);
    for path in [
        "models?limit=9",
        "deployments",
        "deployments/d",
        "deployments/d/revisions",
        "deployments/d/rollout",
        "deployments/d/explain",
        "operations",
        "events?limit=500",
        "events?kind=audit&limit=500",
        "instances",
    ] {
        let told = client.get(&format!("/api/v1/{path}")).await;
        assert_eq!(told.status, 200, "{path}: {}", told.text);
        assert!(!told.text.contains(SECRET), "{path}: {}", told.text);
    }
    let bad = pull(&format!("{}/?sig={SECRET}", host.url())).await;
    assert!(bad["state"] == "failed" && !bad.to_string().contains(SECRET), "{bad}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_stopped_goes_on_where_it_was_and_what_nobody_needs_is_pruned() {
    let stage = Stage::new();
    let host = hub(Some(512 << 10)).await;
    let house = stage.house(&config(&host)).await;
    let client = stage.client(&house);
    let wanted = json!({"name": "capitals", "source": "hf:me/capitals-GGUF"});
    let begun = done(client.post("/api/v1/models", &wanted).await, 202);
    let again = done(client.post("/api/v1/models", &wanted).await, 202);
    assert_eq!(begun["id"], again["id"], "the one that runs already");
    let path = format!("/api/v1/operations/{}", begun["id"].as_str().expect("an id"));
    until("bytes come", async || (client.get(&path).await.json()["transfer"]["done"].as_u64() > Some(1 << 19)).then_some(())).await;
    host.change(&cdn(), |file| file.rate = Some(HARDLY)); // it does not end by itself meanwhile
    let stopped = done(client.ask(Method::DELETE, &path, "".into()).await, 200);
    assert_eq!(stopped["state"], "failed", "{stopped}");
    assert_eq!(client.get("/api/v1/models/capitals").await.status, 404);
    let kept = client.get("/api/v1/blobs").await.json();
    assert!(kept["unfinished"][0]["done"].as_u64() > Some(0), "{kept}");

    host.change(&cdn(), |file| file.rate = None);
    host.asked();
    let begun = done(client.post("/api/v1/models", &wanted).await, 202);
    assert_eq!(ended(&client, &begun["id"]).await["state"], "succeeded");
    let range = host.asked().into_iter().find_map(|asked| asked.range).unwrap_or_default();
    assert!(range.starts_with("bytes=") && !range.starts_with("bytes=0-"), "it went on: {range}");

    let prune = async |body: Value| done(client.post("/api/v1/blobs/prune", &body).await, 200);
    assert_eq!(prune(json!({"grace": "0s"})).await["kept"], 1, "its model refers to it");
    done_empty(&client.ask(Method::DELETE, "/api/v1/models/capitals", "".into()).await);
    let told = prune(json!({"grace": "0s", "dry_run": true})).await;
    assert_eq!(told["blobs"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(prune(json!({})).await["kept"], 1, "it is younger than the grace");
    assert_eq!(prune(json!({"grace": "0s"})).await["freed"], told["freed"]);
    assert_eq!(client.get("/api/v1/blobs").await.json()["count"], 0);
    stop(house).await;
}

fn done_empty(reply: &Reply) {
    assert_eq!(reply.status, 204, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verb_pulls_detaches_stops_at_an_interrupt_and_goes_on() {
    let stage = Stage::new();
    let host = hub(Some(512 << 10)).await;
    let server = Process::start(&stage, &config(&host)).await;
    let verb = |words: &[&str]| {
        let mut program = penstock(&stage);
        program.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    };
    let child = verb(&["pull", "hf:me/capitals-GGUF"]).spawn().expect("a process");
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("an id"));
    let cdn = cdn();
    until("bytes come", async || (host.sent(&cdn) > 300_000).then_some(())).await;
    host.change(&cdn, |file| file.rate = Some(HARDLY)); // it does not end by itself meanwhile
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("an interrupt");
    let stopped = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("a thread").expect("an end");
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(!stopped.status.success() && said.contains("what has come is kept"), "{said}");

    host.change(&cdn, |file| file.rate = None);
    let run = async |words: &[&str]| {
        let mut program = verb(words);
        let out = tokio::task::spawn_blocking(move || program.output()).await.expect("a thread").expect("an end");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let done: Value = serde_json::from_str(&run(&["pull", "hf:me/capitals-GGUF", "-o", "json"]).await).expect("JSON");
    assert_eq!((&done["state"], &done["target"]), (&json!("succeeded"), &json!("capitals")), "{done}");
    assert!(run(&["pull", "capitals"]).await.contains("is here"), "it is looked at again");
    assert!(run(&["pull", "hf:me/capitals-GGUF", "second:v1", "--detach"]).await.contains("goes on as operation"));
    assert!(run(&["model", "prune", "--dry-run", "--grace", "0s"]).await.contains("0 files and 0 unfinished ones would go"));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_a_kill_cut_off_says_what_to_do_and_comes_no_further() {
    let stage = Stage::new();
    let host = hub(Some(HARDLY)).await;
    let mut server = Process::start(&stage, &config(&host)).await;
    let begun = server.client.post("/api/v1/models", &json!({"name": "m", "source": "hf:me/capitals-GGUF"})).await.json();
    let path = format!("/api/v1/operations/{}", begun["id"].as_str().expect("an id"));
    until("it has a rate", async || server.client.get(&path).await.json()["transfer"]["eta_ms"].is_u64().then_some(())).await;
    server.signal(nix::sys::signal::Signal::SIGKILL);
    server.ended().await;
    let server = Process::start(&stage, &config(&host)).await;
    let cut = server.client.get(&path).await.json();
    assert_eq!((&cut["state"], &cut["reason"]["code"]), (&json!("failed"), &json!("shutting_down")), "{cut}");
    assert_eq!(cut["reason"]["remedy"], "pull it again to go on", "{cut}");
    assert!(cut["transfer"]["total"].is_u64() && cut["transfer"]["rate"].is_null() && cut["transfer"]["eta_ms"].is_null(), "{cut}");
}

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.";

/// A program's end, waited for beside everything else.
async fn ended_program(mut program: std::process::Command) -> std::process::Output {
    tokio::task::spawn_blocking(move || program.output()).await.expect("a thread").expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn run_pulls_what_it_is_told_puts_it_into_service_and_answers() {
    let Some(stage) = Stage::with_engine() else { return };
    let host = hub(None).await;
    let server = Process::start(&stage, &config(&host)).await;
    let run = async |source: &str| {
        let mut program = penstock(&stage);
        program.args(["run", source, QUESTION]);
        ended_program(program).await
    };
    let first = run("hf:me/capitals-GGUF/capitals-Q8_0.gguf").await;
    let (out, told) = (String::from_utf8_lossy(&first.stdout), String::from_utf8_lossy(&first.stderr));
    assert_eq!(out.trim_end(), ANSWER, "{told}");
    assert!(told.contains("capitals: put into service from capitals"), "{told}");
    assert!(host.asked().iter().any(|asked| asked.path.starts_with("/cdn/")));
    let again = run("hf://me/capitals-GGUF/capitals-Q8_0.gguf").await;
    assert_eq!(String::from_utf8_lossy(&again.stdout).trim_end(), ANSWER, "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(host.asked(), [], "it is here");
    let other = run("hf:me/capitals-GGUF:Q8_0").await;
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && told.contains("there is a model `capitals` already") && told.contains("penstock pull"), "{told}");
    let missing = run("hf:me/nothing").await;
    assert!(!missing.status.success() && String::from_utf8_lossy(&missing.stderr).contains("HF_TOKEN"), "{missing:?}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_runs_an_ollama_model_sees_it_come_and_its_card_is_filled() {
    let Some(stage) = Stage::with_engine() else { return };
    let host = FileHost::open().await.expect("a host");
    let bytes = std::fs::read(tiny()).expect("the small model");
    let params = br#"{"temperature":0,"num_ctx":512,"stop":["<end>"]}"#.to_vec();
    let digests = [&bytes, &params].map(|layer| format!("sha256:{}", hex(layer)));
    host.add_ollama("library/tiny", "q8", &[("model", bytes.into(), &digests[0]), ("params", params.into(), &digests[1])]);
    host.change(&format!("/v2/library/tiny/blobs/{}", digests[0]), |file| file.rate = Some(256 << 10));
    let server = Process::start(&stage, &config(&host)).await;
    let program = penstock(&stage);
    let words = format!("{} run ollama://tiny:q8 '{QUESTION}'", program.get_program().to_string_lossy());
    let screen = if Path::new("/usr/bin/script").exists() {
        let variables: Vec<_> = program.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        let mut script = std::process::Command::new("/usr/bin/script");
        script.args(["-qec", &words, "/dev/null"]).env_clear().envs(variables).env("TERM", "xterm").stdin(Stdio::null());
        script.current_dir(stage.folder());
        let screen = String::from_utf8_lossy(&ended_program(script).await.stdout).into_owned();
        assert!(screen.contains("MiB/") && screen.contains("/s"), "a bar, a rate: {screen}");
        screen
    } else {
        let mut plain = penstock(&stage);
        plain.args(["run", "ollama://tiny:q8", QUESTION]);
        String::from_utf8_lossy(&ended_program(plain).await.stdout).into_owned()
    };
    assert!(screen.contains(ANSWER), "{screen}");
    let card = server.client.get("/api/v1/models/tiny").await.json()["spec"].clone();
    assert_eq!(
        (&card["source"], &card["parameters"], &card["context_limit"]),
        (&json!("ollama:tiny:q8"), &json!({"temperature": 0.0}), &json!(512))
    );
    drop(server);
}
