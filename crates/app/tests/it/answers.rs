//! A question goes in at the front door and the real model's answer comes out.

use serde_json::{Value, json};

use crate::client::capital;
use crate::stage::{Stage, lazy, stop, tiny, until};

const RIGHT: &str = "The capital of France is Paris.";

#[tokio::test(flavor = "multi_thread")]
async fn the_small_model_answers_whole_and_as_a_stream() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let whole = client.capital("tiny").await;
    assert_eq!(whole.said(), RIGHT);
    assert!(whole.json()["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{}", whole.text);
    let mut ask = capital("tiny");
    ask["stream"] = json!(true);
    let stream = client.stream("/v1/chat/completions", &ask).await;
    assert_eq!(stream.status, 200);
    let events = stream.events().await;
    assert_eq!(events.iter().filter(|event| *event == "[DONE]").count(), 1, "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let said: String = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok()).map(|event| word(&event)).collect();
    assert_eq!(said, RIGHT);
    stop(house).await;
}

fn word(event: &Value) -> String {
    assert!(event["usage"].is_null(), "usage was not asked for: {event}");
    event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_embeddings_and_ndjson_are_served_too() {
    let Some(stage) = Stage::with_engine() else { return };
    let config = format!("default_model: tiny\ndeployments:\n  - name: tiny\n    model: file:{}\n    embeddings: true\n", tiny());
    let house = stage.house(&config).await;
    let client = stage.client(&house);
    let ask = json!({"model": "tiny", "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0});
    let text = client.post("/v1/completions", &ask).await;
    let said = text.json()["choices"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(!said.is_empty(), "{}", text.text);
    let ask = json!({"model": "tiny", "input": ["France", "Paris"]});
    let vectors = client.post("/v1/embeddings", &ask).await.json();
    assert_eq!(vectors["data"].as_array().map(Vec::len), Some(2), "{vectors}");
    let lines = client.post("/infer", &json!({"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0})).await;
    let last: Value = serde_json::from_str(lines.text.lines().last().unwrap_or_default()).expect("a line of JSON");
    assert_eq!((lines.status, &last["done"]), (200, &json!(true)), "{}", lines.text);
    assert_eq!(last["content"], said.as_str(), "the same question has the same answer on every face");
    assert!(last["usage"]["total_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{last}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_of_a_folder_is_served_under_its_file_name_and_a_broken_one_does_no_harm() {
    let Some(stage) = Stage::with_engine() else { return };
    let models = stage.folder().join("models");
    std::fs::create_dir(&models).expect("a folder");
    std::fs::copy(tiny(), models.join("tiny.gguf")).expect("a model");
    std::fs::write(models.join("broken.gguf"), "this is no model").expect("a file");
    let house = stage.house("models_dir: ./models\ndefault_model: tiny.gguf\n").await;
    let client = stage.client(&house);
    assert_eq!((client.get("/readyz").await.status, client.get("/healthz").await.text.as_str()), (503, "ok"), "nothing was asked for yet");
    assert_eq!(client.capital("tiny.gguf").await.said(), RIGHT);
    assert_eq!(client.get("/readyz").await.text, "ready");
    let models = client.get("/models").await.json();
    let listed = models["models"].as_array().expect("a list").iter().find(|model| model["id"] == "tiny.gguf").expect("the model").clone();
    assert_eq!((&listed["family"], listed["quant"].as_str().is_some_and(|quant| !quant.is_empty())), (&json!("llama"), true), "{listed}");
    let broken = client.capital("broken.gguf").await;
    assert_eq!(broken.status, 503, "{}", broken.text);
    let status = until("the status tells of the broken one", async || {
        let status = client.get("/status").await.json();
        status["error"].is_string().then_some(status)
    })
    .await;
    assert_eq!((&status["state"], &status["loads_total"]), (&json!("ready"), &json!(1)), "{status}");
    assert!(status["error"].as_str().is_some_and(|error| error.starts_with("broken.gguf: ")), "{status}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_says_what_it_is_asked_without_any_model() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - name: echo\n    engine: echo\n").await;
    let reply = stage.client(&house).capital("echo").await;
    assert_eq!(reply.said(), "What is the capital of France?");
    assert_eq!(reply.json()["usage"]["completion_tokens"], 6);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_already_is_served_by_its_address() {
    let stage = Stage::new();
    let upstream = testkit::upstream::Upstream::open().await.expect("an engine");
    let url = upstream.url().trim_end_matches("/v1").to_owned();
    let house = stage.house(&format!("llama_url: {url}\nllama_api_key: secret\ndefault_model: other\n")).await;
    let said = stage.client(&house).capital("other").await.said();
    assert_eq!(said, "Hello there.");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_for_people_and_the_api_document_are_there() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let document = client.get("/api/v1/openapi.json").await;
    assert!(document.json()["paths"]["/api/v1/deployments"].is_object(), "{}", document.status);
    for path in ["/", "/docs/"] {
        let page = client.get(path).await;
        assert!(page.status < 400, "{path}: {}", page.status);
    }
    until("what was asked is counted", async || client.get("/metrics").await.text.contains("modeld_http_requests_total{").then_some(()))
        .await;
    stop(house).await;
}
