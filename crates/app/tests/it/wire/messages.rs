//! Section 2: Anthropic's `/v1/messages` in front of engines that only know chat.

use std::fmt::Write as _;

use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Script, Step};

use super::streams::json_of;
use super::{Asked, CHAT, DONE, Door, HI, ROLE, STOP, chat, shown, soon};

const MESSAGES: &str = "/v1/messages";

fn ask(more: &Value) -> Value {
    let mut ask = json!({"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]});
    ask.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    ask
}

/// Name and data of each event.
fn named(text: &str) -> Vec<(String, Value)> {
    let events = text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':'));
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap_or_else(|| panic!("two lines: {event}"));
            let (name, data) = (name.strip_prefix("event: ").expect("a name"), json_of(data.strip_prefix("data: ").expect("data")));
            assert_eq!(data["type"], name);
            (name.to_owned(), data)
        })
        .collect()
}

async fn streamed(door: &Door, more: &Value) -> Vec<(String, Value)> {
    let mut ask = ask(more);
    ask["stream"] = json!(true);
    let stream = door.open_stream(MESSAGES, &ask.to_string()).await;
    assert_eq!(stream.status, 200);
    named(&soon(stream.text()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_answers_with_blocks_and_true_counts() {
    let door = Door::open().await;
    let reply = door.client.post(MESSAGES, &ask(&json!({}))).await;
    let message = reply.json();
    assert_eq!((&message["type"], &message["role"], &message["model"]), (&json!("message"), &json!("assistant"), &json!("m")));
    assert_eq!(message["content"], json!([{"type": "text", "text": "Hello there."}]));
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("end_turn"), &Value::Null));
    assert_eq!((&message["usage"]["input_tokens"], &message["usage"]["output_tokens"]), (&json!(7), &json!(3)));
    assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{message}");
    assert!(!reply.header("request-id").is_empty() && reply.header("request-id") == reply.header("x-request-id"));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_events_of_a_message_with_true_input_tokens_at_its_start() {
    let door = Door::open().await;
    let events = streamed(&door, &json!({})).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "ping").collect();
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    let of = |wanted: &str| events.iter().find(|(name, _)| name == wanted).map(|(_, data)| data.clone()).expect("the event");
    let start = of("message_start")["message"].clone();
    assert_eq!((&start["content"], &start["stop_reason"]), (&json!([]), &Value::Null));
    assert!(start["usage"]["input_tokens"].as_u64().is_some_and(|count| count > 0), "{start}");
    let delta = of("message_delta");
    assert_eq!((&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]), (&json!("end_turn"), &json!(3)));
    let text: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Hello there.");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_images_stop_sequences_and_tools_become_those_of_a_chat_and_come_back() {
    let door = Door::open().await;
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}});
    let tools = json!([{"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}]);
    let more = json!({
        "system": [{"type": "text", "text": "Be brief."}], "stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.9, "tools": tools,
        "tool_choice": {"type": "any"}, "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}],
    });
    let message = door.client.post(MESSAGES, &ask(&more)).await.json();
    let call = &message["content"][0];
    assert_eq!((&call["type"], &call["name"], &call["input"]), (&json!("tool_use"), &json!("get_weather"), &json!({"city": "Paris"})));
    assert_eq!(message["stop_reason"], "tool_use");
    let got = door.upstream.asks()[0].json();
    assert_eq!(got["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(got["messages"][1]["content"][1], json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}));
    assert_eq!((&got["stop"], &got["temperature"], &got["tool_choice"]), (&json!(["END"]), &json!(0.5), &json!("required")));
    assert_eq!(
        got["tools"][0]["function"],
        json!({"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {}}})
    );
    let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "Sunny."}]});
    let again = json!({"tools": tools, "messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]});
    let message = door.client.post(MESSAGES, &ask(&again)).await.json();
    assert_eq!(message["content"][0]["text"], "Hello there.", "{message}");
    let messages = door.upstream.asks()[1].json()["messages"].clone();
    assert_eq!(
        (&messages[1]["tool_calls"][0]["id"], &messages[2]["tool_call_id"], &messages[2]["content"]),
        (&call["id"], &call["id"], &json!("Sunny."))
    );
    let events = streamed(&door, &json!({"tools": tools})).await;
    let pieces: String = events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(json_of(&pieces), json!({"city": "Paris"}));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_to_stop_have_their_own_names() {
    let door = Door::open().await;
    for (theirs, ours) in [("length", "max_tokens"), ("stop", "end_turn")] {
        door.upstream.next("m", [Script::events([ROLE, HI, &STOP.replace("stop", theirs), DONE])]);
        assert_eq!(door.client.post(MESSAGES, &ask(&json!({}))).await.json()["stop_reason"], ours);
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_this_face() {
    let door = Door::of(&[("m", ""), ("busy", ""), ("broken", ""), ("full", "")]).await;
    door.upstream.plays(
        "busy",
        Script::json(429, r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#)
            .header("retry-after", "60"),
    );
    door.upstream.plays("full", Script::json(503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#));
    door.upstream.plays("broken", Script::silent().then(Step::Reset));
    let model = |model: &str| ask(&json!({"model": model})).to_string();
    let no_messages = ask(&json!({"messages": []})).to_string();
    let wrong = [("authorization", ""), ("x-api-key", "psk_wrong")];
    let text = [("content-type", "text/plain")];
    let (m, nobody, busy, broken, full) = (model("m"), model("claude-9"), model("busy"), model("broken"), model("full"));
    let asks: [Asked<'_>; 8] = [
        ("a wrong key", &wrong, &m),
        ("no such model", &[], &nobody),
        ("bad JSON", &[], "{"),
        ("no messages", &[], &no_messages),
        ("a wrong media type", &text, "{}"),
        ("the engine is busy", &[], &busy),
        ("the engine is overloaded", &[], &full),
        ("the engine breaks", &[], &broken),
    ];
    let mut seen = String::new();
    for (what, headers, body) in asks {
        let reply = soon(door.client.ask_with(Method::POST, MESSAGES, headers, body.to_owned())).await;
        let error = reply.json();
        assert_eq!((&error["type"], error["request_id"].is_string()), (&json!("error"), true), "{what}: {error}");
        assert!(error["error"]["type"].is_string() && error["error"]["message"].is_string(), "{what}: {error}");
        let _ = writeln!(seen, "## {what}\n{}", shown(&reply));
    }
    insta::assert_snapshot!(seen);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_full_is_529() {
    let door = Door::of(&[("m", "parallel: 1\nmax_queue: 0")]).await;
    door.upstream.plays("m", Script::silent().then(Step::Silence));
    let client = door.client.clone();
    let running = base::tasks::spawn("runs", async move { drop(client.stream_with(CHAT, &[], chat("m", "")).await) });
    soon(door.upstream.saw(|asks| asks.len() == 1)).await;
    let reply = soon(door.client.post(MESSAGES, &ask(&json!({})))).await;
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (529, Some("overloaded_error")), "{}", reply.text);
    drop(running);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_with_an_error_event() {
    let door = Door::open().await;
    door.upstream.plays("m", Script::events([ROLE, HI]).then(Step::Fin));
    let events = streamed(&door, &json!({})).await;
    let (name, last) = events.last().expect("an event");
    assert_eq!((name.as_str(), &last["error"]["type"]), ("error", &json!("api_error")), "{events:?}");
    assert!(!events.iter().any(|(name, _)| name == "message_stop" || name == "message_delta"), "{events:?}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_for_every_model_without_asking_it() {
    let tiny = format!("model: file:{}", crate::stage::tiny());
    let door = Door::of(&[("m", ""), ("tiny", &tiny)]).await;
    let count = async |model: &str| {
        door.client.post("/v1/messages/count_tokens", &ask(&json!({"model": model}))).await.json()["input_tokens"].as_u64()
    };
    assert!(count("m").await.is_some_and(|count| count > 0));
    assert!(count("tiny").await.is_some_and(|count| count > 0), "also of one that is not loaded");
    assert!(door.upstream.asks().is_empty(), "nobody was asked");
    let missing = door.client.post("/v1/messages/count_tokens", &ask(&json!({"model": "claude-9"}))).await;
    assert_eq!((missing.status, missing.json()["error"]["type"].as_str()), (404, Some("not_found_error")));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_header_carries_the_key_and_models_are_listed_in_this_manner_too() {
    let door = Door::open().await;
    let key = door.client.post("/api/v1/tokens", &json!({"name": "k"})).await.json()["token"].as_str().expect("a token").to_owned();
    let headers = [("authorization", ""), ("x-api-key", key.as_str()), ("anthropic-version", "2023-06-01")];
    assert_eq!(door.client.ask_with(Method::POST, MESSAGES, &headers, ask(&json!({})).to_string()).await.status, 200);
    let list = door.client.ask_with(Method::GET, "/v1/models", &headers, "").await.json();
    assert_eq!(
        (&list["data"][0]["type"], &list["data"][0]["id"], &list["has_more"]),
        (&json!("model"), &json!("m"), &json!(false)),
        "{list}"
    );
    door.close().await;
}
