//! What a real engine shows better: llama-server with the small model, through every manner of asking.

use serde_json::{Value, json};

use super::streams::json_of;
use super::{CHAT, DONE, TEXT, data, soon};
use crate::client::capital;
use crate::stage::{Stage, lazy, stop, tiny};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_of_an_engine_that_has_to_stream_has_lost_no_field() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let mut ask = capital("tiny");
    ask["logprobs"] = json!(true);
    ask["top_logprobs"] = json!(2);
    let reply = client.post(CHAT, &ask).await.json();
    let choice = &reply["choices"][0];
    assert_eq!(choice["message"], json!({"role": "assistant", "content": "The capital of France is Paris.", "refusal": null}));
    assert_eq!((&choice["finish_reason"], &reply["object"]), (&json!("stop"), &json!("chat.completion")));
    let logprobs = choice["logprobs"]["content"].as_array().expect("a list");
    assert_eq!(logprobs.len(), 7, "one for each token of the text: {reply}");
    assert!(logprobs.iter().all(|one| one["token"].is_string() && one["bytes"].is_array() && one["top_logprobs"].is_array()), "{reply}");
    assert!(reply["timings"].is_object() && reply["system_fingerprint"].is_string(), "what the engine adds of its own: {reply}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_real_engine_keeps_every_rule() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    for wants_usage in [false, true] {
        let mut ask = capital("tiny");
        ask["stream"] = json!(true);
        if wants_usage {
            ask["stream_options"] = json!({"include_usage": true});
        }
        let text = soon(client.stream(CHAT, &ask).await.text()).await;
        let mut events = data(&text);
        assert_eq!((events.pop(), text.matches(DONE).count()), (Some(DONE), 1));
        let mut chunks: Vec<Value> = events.into_iter().map(json_of).collect();
        if wants_usage {
            let last = chunks.pop().expect("a chunk");
            assert!(last["choices"] == json!([]) && last["usage"]["total_tokens"].as_u64().is_some_and(|count| count > 0), "{last}");
            assert!(chunks.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)), "{text}");
        } else {
            assert!(!text.contains("\"usage\""), "{text}");
        }
        let roles = chunks.iter().filter(|chunk| chunk["choices"][0]["delta"].get("role").is_some()).count();
        let finishes: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|reason| !reason.is_null()).collect();
        assert_eq!((roles, finishes), (1, vec![&json!("stop")]), "{text}");
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["object"] == "chat.completion.chunk"));
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_begun_is_gone_on_with_and_what_stopped_it_is_told() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let mut ask = capital("tiny");
    ask["stop_sequences"] = json!(["France"]);
    let stopped = soon(client.post("/v1/messages", &ask)).await.json();
    assert_eq!((&stopped["stop_reason"], &stopped["stop_sequence"]), (&json!("stop_sequence"), &json!("France")), "{stopped}");
    ask["stop_sequences"] = json!(["Lyon"]);
    ask["messages"].as_array_mut().expect("a list").push(json!({"role": "assistant", "content": "The capital of"}));
    let whole = soon(client.post("/v1/messages", &ask)).await.json();
    assert_eq!((&whole["content"][0]["text"], &whole["stop_reason"]), (&json!(" France is Paris."), &json!("end_turn")), "{whole}");
    ask["stream"] = json!(true);
    let text = soon(client.stream("/v1/messages", &ask).await.text()).await;
    assert!(text.contains("Paris") && !text.contains("capital"), "{text}");
    ask["stream"] = json!(false);
    ask["options"] = json!({"temperature": 0});
    let whole = soon(client.post("/api/chat", &ask)).await.json();
    assert_eq!(whole["message"]["content"], " France is Paris.", "{whole}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_the_context_is_refused_with_the_numbers_before_any_header() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("{}    context: 256\n", lazy())).await;
    let client = stage.client(&house);
    let long = "word ".repeat(2000);
    let asks = [
        (CHAT, json!({"model": "tiny", "messages": [{"role": "user", "content": long}]}), "messages"),
        (CHAT, json!({"model": "tiny", "messages": [{"role": "user", "content": long}], "stream": true}), "messages"),
        (TEXT, json!({"model": "tiny", "prompt": long}), "prompt"),
    ];
    for (path, ask, param) in asks {
        let reply = soon(client.post(path, &ask)).await;
        let error = &reply.json()["error"];
        let found = (reply.status, error["type"].as_str(), error["code"].as_str());
        assert_eq!(found, (400, Some("invalid_request_error"), Some("context_length_exceeded")), "{error}");
        assert!([param, "messages"].contains(&error["param"].as_str().expect("a param")), "{error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains("256")), "{error}");
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_still_loading_says_how_far_it_is() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("{}    timeouts: {{ start: 1ms }}\n", lazy())).await;
    let reply = soon(stage.client(&house).capital("tiny")).await;
    let error = &reply.json()["error"];
    assert_eq!(
        (reply.status, error["type"].as_str(), error["code"].as_str()),
        (503, Some("model_loading"), Some("model_loading")),
        "{error}"
    );
    assert!(error["loading"]["state"].is_string() && error["loading"].get("progress").is_some(), "{error}");
    assert!(error["loading"].get("eta_seconds").is_some(), "{error}");
    assert!(!reply.header("retry-after").is_empty() && !reply.header("retry-after-ms").is_empty());
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_of_a_real_model_streams_in_fragments() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool =
        json!({"type": "function", "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": parameters}});
    let mut ask = json!({
        "model": "tiny", "temperature": 0, "max_tokens": 64, "tools": [tool],
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    });
    let whole = soon(client.post(CHAT, &ask)).await.json();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        (&call["function"]["name"], &whole["choices"][0]["finish_reason"]),
        (&json!("get_weather"), &json!("tool_calls")),
        "{whole}"
    );
    ask["stream"] = json!(true);
    let text = soon(client.stream(CHAT, &ask).await.text()).await;
    let fragments: Vec<Value> = data(&text)
        .into_iter()
        .filter(|event| *event != DONE)
        .map(json_of)
        .flat_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(fragments.iter().all(|fragment| fragment["index"] == 0), "{text}");
    assert_eq!(fragments.iter().filter(|fragment| fragment.get("id").is_some()).count(), 1, "{text}");
    assert_eq!(fragments[0]["function"]["name"], "get_weather");
    let arguments: String = fragments.iter().filter_map(|fragment| fragment["function"]["arguments"].as_str()).collect();
    assert_eq!(json_of(&arguments), json_of(call["function"]["arguments"].as_str().expect("text")));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_prompts_and_choices_of_a_real_engine_are_numbered() {
    let Some(stage) = Stage::with_engine() else { return };
    let config = format!("deployments:\n  - name: tiny\n    model: file:{}\n    embeddings: true\n", tiny());
    let house = stage.house(&config).await;
    let client = stage.client(&house);
    let ask = json!({"model": "tiny", "input": ["France", "Paris"], "encoding_format": "base64"});
    let vectors = soon(client.post("/v1/embeddings", &ask)).await.json();
    let ask = json!({"model": "tiny", "input": ["France", "Paris"]});
    let floats = soon(client.post("/v1/embeddings", &ask)).await.json();
    for place in 0..2 {
        let coded = vectors["data"][place]["embedding"].as_str().expect("base64");
        let list = floats["data"][place]["embedding"].as_array().expect("floats");
        assert_eq!(coded.trim_end_matches('=').len(), (list.len() * 4 * 4).div_ceil(3), "four bytes for each of {}", list.len());
        assert_eq!((&vectors["data"][place]["index"], &floats["data"][place]["index"]), (&json!(place), &json!(place)));
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_as_the_engine_counts_them() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    let client = stage.client(&house);
    let ask = json!({"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "What is the capital of France?"}]});
    let message = soon(client.post("/v1/messages", &ask)).await.json();
    let counted = soon(client.post("/v1/messages/count_tokens", &ask)).await.json();
    let taken = ["input_tokens", "cache_read_input_tokens"].map(|part| message["usage"][part].as_u64().expect("a count"));
    assert_eq!(counted["input_tokens"], taken.iter().sum::<u64>(), "{message}");
    stop(house).await;
}
