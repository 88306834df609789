//! The clients of other products ask the real model: a text, a tool, a stream; at each of its faces.

use serde_json::{Value, json};

use crate::stage::{Stage, lazy, stop};

const RIGHT: &str = "The capital of France is Paris.";
const QUESTION: &str = "What is the capital of France?";
const WEATHER: &str = "What is the weather in Paris?";

fn parameters() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

/// The data of named events, each with the name that its data has.
fn named(text: &str) -> Vec<Value> {
    let events = text.split("\n\n").filter(|event| event.starts_with("event: "));
    let read = |event: &str| {
        let (name, data) = event.split_once('\n').expect("a name and data");
        let data: Value = serde_json::from_str(data.trim_start_matches("data: ")).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{event}");
        data
    };
    events.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_responses_api_answers_calls_tools_and_goes_on() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let ask = json!({"model": "tiny", "input": QUESTION, "temperature": 0});
    let whole = client.post("/v1/responses", &ask).await.json();
    assert_eq!((&whole["output"][0]["content"][0]["text"], &whole["status"]), (&json!(RIGHT), &json!("completed")), "{whole}");
    let used = whole["usage"]["input_tokens"].as_u64().expect("a count");
    let counted = client.post("/v1/responses/input_tokens", &ask).await.json();
    assert_eq!(counted["input_tokens"], used, "counted here as the engine counts");
    let go_on = json!({"model": "tiny", "input": "Hello", "temperature": 0, "previous_response_id": whole["id"], "stream": true});
    let events = named(&client.post("/v1/responses", &go_on).await.text);
    let last = &events.last().expect("events")["response"];
    assert!(last["usage"]["input_tokens"].as_u64().is_some_and(|tokens| tokens > used), "the conversation so far counts: {last}");
    assert!(events.iter().enumerate().all(|(at, event)| event["sequence_number"] == at));
    let tool = json!({"type": "function", "name": "get_weather", "parameters": parameters()});
    let call = client.post("/v1/responses", &json!({"model": "tiny", "input": WEATHER, "temperature": 0, "tools": [tool]})).await.json();
    let item = &call["output"][0];
    assert_eq!((&item["type"], &item["name"]), (&json!("function_call"), &json!("get_weather")), "{call}");
    let arguments: Value = serde_json::from_str(item["arguments"].as_str().expect("a text")).expect("JSON");
    assert_eq!(arguments["city"], "Paris");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_api_answers_calls_tools_and_counts() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let mut ask = json!({"model": "tiny", "max_tokens": 64, "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]});
    let whole = client.post("/v1/messages", &ask).await.json();
    assert_eq!((&whole["content"][0]["text"], &whole["stop_reason"]), (&json!(RIGHT), &json!("end_turn")), "{whole}");
    let counted = client.post("/v1/messages/count_tokens", &ask).await.json();
    let taken = ["input_tokens", "cache_read_input_tokens"].map(|part| whole["usage"][part].as_u64().expect("a count"));
    assert_eq!(counted["input_tokens"], taken.iter().sum::<u64>(), "counted here as the engine counts");
    ask["stream"] = json!(true);
    let events = named(&client.post("/v1/messages", &ask).await.text);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], counted["input_tokens"], "known before the first word");
    let said: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(said, RIGHT);
    let tool = json!({"name": "get_weather", "input_schema": parameters()});
    ask["messages"][0]["content"] = json!(WEATHER);
    ask["tools"] = json!([tool]);
    let events = named(&client.post("/v1/messages", &ask).await.text);
    let arguments: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("JSON")["city"], "Paris");
    assert!(events.iter().any(|event| event["delta"]["stop_reason"] == "tool_use"), "{events:?}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ollamas_clients_chat_call_tools_and_unload() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let mut ask = json!({"model": "tiny:latest", "options": {"temperature": 0}, "messages": [{"role": "user", "content": QUESTION}]});
    let lines: Vec<Value> =
        client.post("/api/chat", &ask).await.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let said: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    let last = lines.last().expect("lines");
    assert_eq!((said.as_str(), &last["done_reason"]), (RIGHT, &json!("stop")));
    assert!(
        ["eval_count", "prompt_eval_count", "eval_duration", "total_duration"].iter().all(|key| last[*key].as_u64() > Some(0)),
        "{last}"
    );
    ask["stream"] = json!(false);
    ask["messages"][0]["content"] = json!(WEATHER);
    ask["tools"] = json!([{"type": "function", "function": {"name": "get_weather", "parameters": parameters()}}]);
    let call = client.post("/api/chat", &ask).await.json();
    assert_eq!(call["message"]["tool_calls"][0]["function"]["arguments"], json!({"city": "Paris"}), "{call}");
    let raw = json!({"model": "tiny", "prompt": "The capital of France is", "raw": true, "stream": false, "options": {"num_predict": 4}});
    assert!(client.post("/api/generate", &raw).await.json()["response"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(client.get("/api/ps").await.json()["models"][0]["name"], "tiny:latest");
    let shown = client.post("/api/show", &json!({"model": "tiny"})).await.json();
    assert_eq!(shown["model_info"]["general.architecture"], "llama", "{shown}");
    let gone = client.post("/api/generate", &json!({"model": "tiny", "keep_alive": 0})).await.json();
    assert_eq!(gone["done_reason"], "unload");
    crate::stage::until("the model is unloaded", async || {
        let loaded = client.get("/api/ps").await.json();
        loaded["models"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_in_a_list_are_answered_in_their_order() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let ask = json!({"model": "tiny", "prompt": ["The capital of France is", "1, 2, 3,"], "max_tokens": 4, "temperature": 0});
    let both = client.post("/v1/completions", &ask).await.json();
    let choices = both["choices"].as_array().unwrap_or_else(|| panic!("{both}"));
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)], "{both}");
    for (prompt, choice) in ask["prompt"].as_array().expect("prompts").iter().zip(choices) {
        let alone =
            client.post("/v1/completions", &json!({"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 0})).await.json();
        assert_eq!(alone["choices"][0]["text"], choice["text"]);
    }
    stop(house).await;
}
