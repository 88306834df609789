//! Section 3: Ollama's own paths.

use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Script, Step};

use super::streams::json_of;
use super::{Door, HI, ROLE, soon};
use crate::stage::{Stage, lazy, stop, tiny, until};

fn ask(more: &Value) -> Value {
    let mut ask = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    ask.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    ask
}

fn lines(text: &str) -> Vec<Value> {
    text.split_terminator('\n').map(json_of).collect()
}

/// The last line says how long it took and how much it was.
fn finished(last: &Value) {
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")), "{last}");
    for key in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "prompt_eval_count", "eval_count"] {
        assert!(last[key].is_u64(), "{key}: {last}");
    }
    assert!(last["total_duration"].as_u64().is_some_and(|ns| ns > 1000), "nanoseconds: {last}");
    assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(7), &json!(3)));
    assert!(last["created_at"].as_str().is_some_and(|time| time.ends_with('Z') && time.contains('T')), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_streams_lines_unless_told_otherwise() {
    let door = Door::open().await;
    let reply = door.client.post("/api/chat", &ask(&json!({}))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let mut all = lines(&reply.text);
    let last = all.pop().expect("a line");
    finished(&last);
    let said: String = all.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(said, "Hello there.");
    assert!(all.iter().all(|line| line["done"] == false && line["model"] == "m" && line["message"]["role"] == "assistant"), "{all:?}");
    let whole = door.client.post("/api/chat", &ask(&json!({"stream": false}))).await;
    assert!(whole.header("content-type").starts_with("application/json"));
    assert_eq!(whole.json()["message"]["content"], "Hello there.");
    finished(&whole.json());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_goes_on_with_a_prompt() {
    let door = Door::open().await;
    let body = json!({"model": "m", "prompt": "Hi", "options": {"num_predict": 5, "stop": ["x"], "temperature": 0, "seed": 0}});
    let reply = door.client.post("/api/generate", &body).await;
    let mut all = lines(&reply.text);
    finished(&all.pop().expect("a line"));
    let said: String = all.iter().filter_map(|line| line["response"].as_str()).collect();
    assert_eq!(said, "Hello there.");
    let got = door.upstream.asks()[0].json();
    assert_eq!(
        (&got["max_tokens"], &got["stop"], &got["temperature"], &got["seed"]),
        (&json!(5), &json!(["x"]), &json!(0), &json!(0)),
        "{got}"
    );
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_calls_are_whole_and_their_arguments_are_objects() {
    let door = Door::open().await;
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]);
    for stream in [false, true] {
        let reply = door.client.post("/api/chat", &ask(&json!({"tools": tools, "stream": stream}))).await;
        let calls: Vec<Value> = lines(reply.text.trim_end()).iter().filter_map(|line| line["message"].get("tool_calls").cloned()).collect();
        let expected = json!({"name": "get_weather", "arguments": {"city": "Paris"}});
        assert_eq!(
            (calls.len(), &calls[0][0]["function"]["name"], &calls[0][0]["function"]["arguments"]),
            (1, &expected["name"], &expected["arguments"]),
            "{}",
            reply.text
        );
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_one_word_in_an_object_also_within_a_stream() {
    let door = Door::open().await;
    let reply = door.client.post("/api/chat", &ask(&json!({"model": "llama9"}))).await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (404, true), "{}", reply.text);
    let reply = door.client.with_token(None).post("/api/chat", &ask(&json!({}))).await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (401, true), "{}", reply.text);
    let reply = door.client.ask(Method::POST, "/api/chat", "{".into()).await;
    assert_eq!((reply.status, reply.json()["error"].is_string()), (400, true), "{}", reply.text);
    door.upstream.plays("m", Script::events([ROLE, HI]).then(Step::Fin));
    let reply = soon(door.client.post("/api/chat", &ask(&json!({})))).await;
    let last = lines(&reply.text).pop().expect("a line");
    assert!(reply.status == 200 && last["error"].is_string() && last["done"] != true, "{}", reply.text);
    assert!(!reply.text.contains("\n\n"), "an empty line kills their client");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_shown_and_embedded_as_ollama_does_it() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("deployments:\n  - name: tiny\n    model: file:{}\n    embeddings: true\n", tiny())).await;
    let client = stage.client(&house);
    assert!(client.get("/api/version").await.json()["version"].is_string());
    assert_eq!(client.get("/api/ps").await.json()["models"], json!([]), "nothing is loaded yet");
    let vectors = soon(client.post("/api/embed", &json!({"model": "tiny", "input": ["France", "Paris"]}))).await.json();
    assert_eq!(
        vectors["embeddings"].as_array().map(|all| all.iter().filter(|one| one.as_array().is_some_and(|one| one.len() == 128)).count()),
        Some(2),
        "{vectors}"
    );
    let tags = client.get("/api/tags").await.json();
    let model = &tags["models"][0];
    assert!(model["name"].as_str().is_some_and(|name| name.starts_with("tiny")) && model["modified_at"].is_string(), "{tags}");
    assert_eq!(
        (&model["details"]["family"], &model["details"]["quantization_level"], &model["details"]["format"]),
        (&json!("llama"), &json!("F16"), &json!("gguf"))
    );
    assert!(model["size"].as_u64().is_some_and(|size| size > 1_000_000) && model["digest"].is_string(), "{tags}");
    let running = client.get("/api/ps").await.json();
    assert!(running["models"][0]["expires_at"].is_string() && running["models"][0]["size_vram"].is_u64(), "{running}");
    let shown = client.post("/api/show", &json!({"model": "tiny:latest"})).await.json();
    assert!(shown["model_info"].is_object() && shown["details"]["family"] == "llama", "{shown}");
    assert_eq!(client.post("/api/show", &json!({"model": "none"})).await.status, 404);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_reaches_the_fleet() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("{}    replicas: {{ keep_alive: 1s }}\n", lazy())).await;
    let client = stage.client(&house);
    let loaded = async || house.fleet().instances.len();
    let stay = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "keep_alive": -1, "stream": false, "options": {"num_predict": 2}});
    assert_eq!(soon(client.post("/api/chat", &stay)).await.status, 200);
    let until_then = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while std::time::Instant::now() < until_then {
        assert_eq!(loaded().await, 1, "-1: it stays beyond its own keep-alive");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let gone = client.post("/api/generate", &json!({"model": "tiny", "keep_alive": 0})).await;
    assert_eq!((gone.status, gone.text.contains("unload")), (200, true), "{}", gone.text);
    until("0: it is unloaded now", async || (loaded().await == 0).then_some(())).await;
    stop(house).await;
}
