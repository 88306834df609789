//! Models through the front door: registered with what is said of them, sent in pieces by a program that knows nothing of ours,
//! served by a real engine, moved by a tag under load, and the walk of an administrator from a file to a limited route.

use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply, capital};
use crate::process::Process;
use crate::rollouts::reaches;
use crate::stage::{Stage, stop, tiny, until};

mod parts;

async fn change(client: &Client, method: Method, path: &str, body: &Value) -> Reply {
    client.ask(method, path, body.to_string().into()).await
}

#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    reply.json()
}

/// Another version of the small model: the same weights, with a word at its end that changes its digest.
fn other(stage: &Stage, name: &str) -> String {
    let path = stage.folder().join(name);
    let mut bytes = std::fs::read(tiny()).expect("the small model");
    bytes.extend([0; 32]);
    std::fs::write(&path, bytes).expect("a copy");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_walks_from_a_file_to_a_limited_route_by_the_api() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house("").await;
    let admin = stage.client(&house);
    let card = json!({"name": "capitals", "source": format!("file:{}", tiny()), "keep": "copy", "tags": ["v1"], "licence": "Apache-2.0",
        "description": "Knows a few capitals", "labels": {"team": "geo"}, "parameters": {"temperature": 0.0}, "context_limit": 512,
        "input_schema": {"type": "object", "required": ["country"]}, "output_schema": {"type": "string", "maxLength": 40}});
    done(admin.post("/api/v1/models", &card).await, 201);
    let model = done(admin.get("/api/v1/models/capitals").await, 200);
    for schema in ["input_schema", "output_schema"] {
        assert_eq!(model["spec"][schema], card[schema], "{model}");
    }
    let digest = model["status"]["tags"]["v1"].clone();
    let found = admin.get("/api/v1/models?q=capitals&labels=team%3Dgeo&capability=chat").await.json();
    assert_eq!(found["items"][0]["name"], "capitals");
    let nodes = admin.get("/api/v1/nodes").await.json();
    assert!(nodes["items"][0]["devices"].as_array().is_some_and(|devices| !devices.is_empty()), "{nodes}");
    let fits = done(admin.post("/api/v1/fit", &json!({"model": "capitals:v1", "parallel": 2})).await, 200);
    assert_eq!(fits["verdict"], "fits", "{fits}");
    let service = json!({"name": "capitals", "model": "capitals:v1", "parallel": 2, "gpu_layers": 0, "threads": 1, "replicas": {"min": 1},
        "limits": {"concurrency": 2, "requests_per_minute": 100}});
    done(admin.post("/api/v1/deployments", &service).await, 202);
    let token = done(admin.post("/api/v1/tokens", &json!({"name": "team", "scopes": ["inference"], "models": ["geo"]})).await, 201);
    let route = json!({"name": "geo", "targets": [{"deployment": "capitals", "weight": 1}]});
    done(admin.post("/api/v1/routes", &route).await, 201);

    let team = admin.with_token(token["token"].as_str());
    until("the gateway has the route", async || team.get("/v1/models").await.text.contains("\"geo\"").then_some(())).await;
    let reply = team.capital("geo").await;
    assert_eq!(reply.headers.get("warning"), None);
    assert!(reply.said().contains("Paris"));
    assert_eq!(team.capital("capitals").await.status, 403, "its token knows the route only");
    assert_eq!(team.get("/api/v1/models").await.status, 403);
    let served = admin.get("/api/v1/deployments/capitals/revisions").await.json();
    assert_eq!((&served["items"][0]["digest"], &served["items"][0]["version"]["context_length"]), (&digest, &json!(512)));

    done(change(&admin, Method::PATCH, "/api/v1/models/capitals", &json!({"deprecated": "use atlas"})).await, 200);
    let warning = until("callers are told", async || team.capital("geo").await.headers.get("warning").cloned()).await;
    assert_eq!(warning, r#"299 - "the model `capitals` is deprecated: use atlas""#);
    let used = done(admin.ask(Method::DELETE, "/api/v1/models/capitals", "".into()).await, 409);
    assert!(used["detail"].as_str().is_some_and(|detail| detail.contains("`capitals`")), "{used}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_under_load_fails_no_call() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house("").await;
    let client = stage.client(&house);
    for (path, tag) in [(tiny(), "one"), (other(&stage, "other.gguf"), "two")] {
        let body = json!({"name": "m", "source": format!("file:{path}"), "keep": "copy", "tags": [tag]});
        done(client.post("/api/v1/models", &body).await, 201);
    }
    done(change(&client, Method::PUT, "/api/v1/models/m/tags/prod", &json!({"version": "one"})).await, 200);
    let body = json!({"name": "m", "model": "m:prod", "context": 128, "parallel": 2, "replicas": {"min": 1}});
    done(client.post("/api/v1/deployments", &body).await, 202);
    let one = client.get("/api/v1/models/m").await.json()["status"]["tags"]["one"].as_str().expect("a digest").to_owned();
    done(client.post("/api/v1/deployments", &json!({"name": "pinned", "model": format!("m@{one}"), "context": 128})).await, 202);
    reaches(&client, "m", "complete", 1).await;
    let calls = |count: u32| {
        let client = client.clone();
        base::tasks::spawn("callers", async move {
            for _ in 0..count {
                assert_eq!(client.capital("m").await.status, 200);
            }
        })
    };
    let callers = calls(30);
    done(change(&client, Method::PUT, "/api/v1/models/m/tags/prod", &json!({"version": "two"})).await, 200);
    reaches(&client, "m", "complete", 2).await;
    callers.join().await;
    let undone = done(client.post("/api/v1/deployments/m/rollout/undo", &json!({})).await, 202);
    assert!(undone["spec"]["model"].as_str().is_some_and(|model| model.starts_with("m@sha256:")), "{undone}");
    reaches(&client, "m", "complete", 3).await;
    client.capital("m").await.said();
    let pinned = client.get("/api/v1/deployments/pinned/revisions").await.json();
    let digests: Vec<_> = pinned["items"].as_array().expect("revisions").iter().map(|revision| &revision["digest"]).collect();
    assert_eq!(digests, [&json!(one)], "what is named by its digest follows no tag");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_card_says_reaches_a_real_engine() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house("").await;
    let client = stage.client(&house);
    let template = "{% for m in messages %}{{ m['content'] }}{% endfor %}";
    let body = json!({"name": "m", "source": format!("file:{}", tiny()), "parameters": {"max_tokens": 2, "temperature": 0.0, "seed": 7}});
    done(client.post("/api/v1/models", &body).await, 201);
    done(client.post("/api/v1/deployments", &json!({"name": "m", "model": "m", "context": 128, "replicas": {"min": 1}})).await, 202);
    let mut call = capital("m");
    if let Some(fields) = call.as_object_mut() {
        fields.remove("max_tokens");
    }
    let said = client.post("/v1/chat/completions", &call).await.json();
    assert_eq!(said["usage"]["completion_tokens"], 2, "the card's, since the call says nothing: {said}");
    call["max_tokens"] = json!(1);
    let said = client.post("/v1/chat/completions", &call).await.json();
    assert_eq!(said["usage"]["completion_tokens"], 1, "the caller's own word counts: {said}");
    let before = said["usage"]["prompt_tokens"].as_u64().expect("a count");
    done(change(&client, Method::PATCH, "/api/v1/models/m", &json!({"chat_template": template})).await, 200);
    reaches(&client, "m", "complete", 2).await;
    let said = client.post("/v1/chat/completions", &call).await.json();
    let after = said["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert!(after < before, "a template without any words of its own takes fewer tokens: {after} of {before}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_a_kill_of_the_server_and_goes_on() {
    let stage = Stage::new();
    let mut server = Process::start(&stage, "").await;
    let bytes: Vec<u8> = (0..24_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest = registry::Digest::of(&bytes);
    let all = "/api/v1/models/m/versions/upload";
    let one = format!("{all}/{}", digest.hex());
    let metadata = format!("sha256 {}", base64(digest.hex()));
    let length = bytes.len().to_string();
    let begin = [("tus-resumable", "1.0.0"), ("upload-length", &*length), ("upload-metadata", &*metadata)];
    assert_eq!(server.client.ask_with(Method::POST, all, &begin, "").await.status, 201);
    let send = async |client: &Client, from: usize, to: usize| {
        let offset = from.to_string();
        let headers = [("tus-resumable", "1.0.0"), ("upload-offset", &*offset), ("content-type", "application/offset+octet-stream")];
        client.ask_with(Method::PATCH, &one, &headers, bytes[from..to].to_vec()).await
    };
    let offset = async |client: &Client| -> usize {
        let look = client.ask_with(Method::HEAD, &one, &[("tus-resumable", "1.0.0")], "").await;
        look.headers["upload-offset"].to_str().expect("a number").parse().expect("a number")
    };
    assert_eq!(send(&server.client, 0, 9 << 20).await.status, 204);
    server.signal(nix::sys::signal::Signal::SIGKILL);
    server.ended().await;
    let server = Process::start(&stage, "").await;
    let at = offset(&server.client).await;
    assert!((5 << 20..=9 << 20).contains(&at), "all but the last chunk is there: {at}");
    assert_eq!(send(&server.client, at, bytes.len()).await.status, 204);
    assert_eq!(offset(&server.client).await, bytes.len());
    let body = json!({"files": [{"name": "m.bin", "digest": digest.to_string()}], "format": "opaque"});
    let made = done(server.client.post("/api/v1/models/m/versions", &body).await, 201);
    assert_eq!(made["status"]["versions"][0]["digest"], digest.to_string());
}

/// Sends a file in one go, as a program does that knows nothing of ours; the status, and its digest.
async fn send(client: &Client, bytes: &[u8]) -> (u16, String) {
    let digest = registry::Digest::of(bytes);
    let (length, metadata) = (bytes.len().to_string(), format!("sha256 {}", base64(digest.hex())));
    let headers = [
        ("tus-resumable", "1.0.0"),
        ("content-type", "application/offset+octet-stream"),
        ("upload-length", &length),
        ("upload-metadata", &metadata),
    ];
    let reply = client.ask_with(Method::POST, "/api/v1/models/m/versions/upload", &headers, bytes.to_vec()).await;
    (reply.status, digest.to_string())
}

const PICKLE: &[u8] = b"\x80\x02}q\x00.";

/// One tensor of two numbers.
fn safetensors() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat()
}

/// A graph without a node, as the numbers of its fields: the version of the format, who wrote it, the graph with its name.
const ONNX: &[u8] = b"\x08\x08\x12\x02me\x3a\x06\x12\x04main";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_bare_is_looked_at_as_closely_as_what_our_own_client_sends() {
    let stage = Stage::new();
    let house = stage.house("max_model_bytes: 1MiB\n").await;
    let client = stage.client(&house);
    assert_eq!(send(&client, &vec![7; (1 << 20) + 1]).await.0, 413);
    let (sent, weights) = send(&client, &safetensors()).await;
    assert_eq!(sent, 201);
    let (sent, pickle) = send(&client, PICKLE).await;
    assert_eq!(sent, 201, "what it is is seen when somebody says what it is to be");
    let long = "a/".repeat(3_000) + "m.safetensors";
    for (name, digest, words) in [
        ("../m.safetensors", &weights, "cannot be the name"),
        ("/etc/m.safetensors", &weights, "cannot be the name"),
        ("a/../../m.safetensors", &weights, "cannot be the name"),
        ("a\\..\\m.safetensors", &weights, "cannot be the name"),
        ("", &weights, "cannot be the name"),
        (&long, &weights, "cannot be the name"),
        ("pytorch_model.bin", &pickle, "a Python pickle"),
        ("m.safetensors", &pickle, "a Python pickle"),
    ] {
        for format in [Value::Null, json!("opaque")] {
            let body = json!({"files": [{"name": name, "digest": digest}], "format": format});
            let refused = done(client.post("/api/v1/models/m/versions", &body).await, 422);
            assert!(refused["detail"].as_str().is_some_and(|said| said.contains(words)), "{name}: {refused}");
        }
    }
    assert_eq!(client.get("/api/v1/models/m").await.status, 404);
    let body = json!({"files": [{"name": "m.safetensors", "digest": weights}]});
    done(client.post("/api/v1/models/m/versions", &body).await, 201);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_registered_from_a_file_and_from_what_was_sent() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let gguf = std::fs::read(tiny()).expect("the small model");
    let table: [(&str, Vec<u8>, Value, &str); 5] = [
        ("m.gguf", gguf, Value::Null, "gguf"),
        ("m.safetensors", safetensors(), Value::Null, "safetensors"),
        ("m.onnx", ONNX.to_vec(), Value::Null, "onnx"),
        ("m.bin", b"only its engine can read it".to_vec(), json!("opaque"), "opaque"),
        ("also.onnx", ONNX.to_vec(), json!("onnx"), "onnx"),
    ];
    for (number, (file, bytes, said, found)) in table.iter().enumerate() {
        let path = stage.folder().join(file);
        std::fs::write(&path, bytes).expect("a file");
        let (sent, digest) = send(&client, bytes).await;
        assert_eq!(sent, 201, "{file}");
        let here = json!({"name": format!("here-{number}"), "source": format!("file:{}", path.display()), "format": said, "keep": "copy"});
        done(client.post("/api/v1/models", &here).await, 201);
        let body = json!({"files": [{"name": file, "digest": digest}], "format": said});
        done(client.post(&format!("/api/v1/models/sent-{number}/versions"), &body).await, 201);
        for name in ["here", "sent"] {
            let version = client.get(&format!("/api/v1/models/{name}-{number}")).await.json()["status"]["versions"][0].clone();
            assert_eq!((&version["format"], &version["digest"]), (&json!(found), &json!(digest)), "{file}: {version}");
        }
        let query = format!("/api/v1/models?format={found}&q=sent-{number}");
        assert_eq!(client.get(&query).await.json()["items"].as_array().map(Vec::len), Some(1), "{query}");
    }
    let nameless = json!({"name": "x", "source": format!("file:{}", stage.folder().join("m.bin").display())});
    let refused = done(client.post("/api/v1/models", &nameless).await, 422);
    assert!(refused["hint"].as_str().is_some_and(|hint| hint.contains("format: opaque")), "{refused}");
    stop(house).await;
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}
