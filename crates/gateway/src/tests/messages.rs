//! Anthropic's face.

use std::sync::Arc;

use axum::body::Body;
use board::Entry;
use http::Request;
use spec::{Dialect, Limits};

use super::fake::{self, Fake, Step};
use super::house::{ALL, House, MS, STREAMS, entry, limited, piece, tiny};

const ASK: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stop_sequences":["END"]}"#;

fn streamed() -> String {
    ASK.replace(r#""max_tokens""#, r#""stream":true,"max_tokens""#)
}

/// A piece of a tool call, as an event of the engine's.
fn call(index: u32, id: &str, name: &str, arguments: &str) -> String {
    let names = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","type":"function","#) };
    let name = if name.is_empty() { String::new() } else { format!(r#""name":"{name}","#) };
    format!(
        r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{index},{names}"function":{{{name}"arguments":"{arguments}"}}}}]}},"finish_reason":null}}]}}"#
    )
}

/// Ids are random.
fn without_id(body: &str) -> String {
    let Some((before, after)) = body.split_once("\"msg_") else { return body.to_owned() };
    format!("{before}\"msg_{}", after.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

#[tokio::test]
async fn a_message_comes_whole_and_as_events_from_an_engine_that_knows_only_chat() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut request = Request::post("/v1/messages").header("x-api-key", &house.token).header("anthropic-version", "2023-06-01");
    request = request.header("content-type", "application/json").header("x-request-id", "mine");
    let whole = house.ask(request.body(Body::from(ASK)).unwrap()).await;
    assert_eq!((whole.status.as_u16(), whole.header("content-type"), whole.header("request-id")), (200, "application/json", "mine"));
    let stream = house.ask(house.request("/v1/messages", streamed())).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    insta::assert_snapshot!(format!("{}\n\n{}", without_id(&whole.body), without_id(&stream.body)));
    let seen: serde_json::Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
    assert_eq!((seen["stream"].as_bool(), seen["stop"][0].as_str(), seen["max_tokens"].as_u64()), (Some(true), Some("END"), Some(9)));
    assert!(engine.seen()[0].head.starts_with("POST /v1/chat/completions "));
    assert_eq!(house.rows("m").await, (2, 2, 14, 6), "{}", whole.body);
}

#[tokio::test]
async fn parallel_tool_calls_are_blocks_one_after_the_other() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| {
        let stop = fake::STOP.replace("stop", "tool_calls");
        fake::events(&[
            fake::ROLE,
            &call(0, "a", "f", ""),
            &call(0, "", "", "{}"),
            &call(1, "b", "g", r#"{\"x\":1}"#),
            &stop,
            fake::USAGE,
            fake::DONE,
        ])
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.ask(house.request("/v1/messages", ASK)).await.json();
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(answer["content"][0], serde_json::json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}));
    assert_eq!(answer["content"][1]["input"], serde_json::json!({"x": 1}));
    let stream = house.ask(house.request("/v1/messages", streamed())).await;
    insta::assert_snapshot!(without_id(&stream.body));
}

#[tokio::test]
async fn the_beginning_of_an_answer_is_not_said_again_and_what_stopped_it_is_told() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| {
        let stop = fake::STOP.replace("\"id\"", r#""__verbose":{"stopping_word":"END"},"id""#);
        fake::events(&[fake::ROLE, fake::HI, &stop, fake::USAGE, fake::DONE])
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let begun = ASK.replace(r#""content":"hi"}"#, r#""content":"hi"},{"role":"assistant","content":"Well,"}"#);
    let answer = house.ask(house.request("/v1/messages", begun)).await.json();
    assert_eq!((answer["stop_reason"].as_str(), answer["stop_sequence"].as_str()), (Some("stop_sequence"), Some("END")), "{answer}");
    let seen: serde_json::Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
    let told = ["continue_final_message", "add_generation_prompt", "verbose"].map(|key| seen[key].as_bool());
    assert_eq!(told, [Some(true), Some(false), Some(true)], "llama-server is asked for it: {seen}");
    house.ask(house.request("/v1/messages", ASK)).await;
    let seen: serde_json::Value = serde_json::from_str(&engine.seen()[1].body).unwrap();
    assert!(seen["continue_final_message"].is_null(), "{seen}");
}

#[tokio::test]
async fn the_prompt_is_counted_before_the_first_word() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| {
        let progress = fake::ROLE.replace("\"id\"", r#""prompt_progress":{"total":42,"cache":0,"processed":42,"time_ms":1},"id""#);
        fake::events(&[&progress, fake::HI, fake::STOP, fake::USAGE, fake::DONE])
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let stream = house.ask(house.request("/v1/messages", streamed())).await;
    assert!(stream.body.lines().nth(1).unwrap().contains(r#""input_tokens":42"#), "{}", stream.body);
    let seen: serde_json::Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
    assert_eq!(seen["return_progress"], true, "llama-server is asked for it");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_one_that_never_began_has_a_status() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 => vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()), Step::Hang],
        2 => fake::whole(
            "400 Bad Request",
            r#"{"error":{"message":"no such thing","type":"invalid_request_error","param":null,"code":null}}"#,
        ),
        3 => fake::events(&[r#"{"error":{"message":"out of memory","type":"server_error","code":500}}"#]),
        _ => fake::whole("503 Service Unavailable", r#"{"error":{"message":"busy","type":"unavailable_error","code":503}}"#),
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let broken = house.ask(house.request("/v1/messages", streamed())).await;
    let last = broken.body.trim_end().rsplit("\n\n").next().unwrap().to_owned();
    assert!(last.starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""), "{}", broken.body);
    assert!(!broken.body.contains("message_stop"));
    for (status, kind) in [(400, "invalid_request_error"), (502, "api_error"), (529, "overloaded_error")] {
        let answer = house.ask(house.request("/v1/messages", streamed())).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"]["type"].as_str()), (status, Some(kind)), "{}", answer.body);
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
        assert_eq!(answer.json()["type"], "error");
    }
}

#[tokio::test]
async fn what_is_refused_here_is_refused_in_the_manner_of_anthropic() {
    let mut house = House::new().await;
    house.publish([
        limited(entry("m", STREAMS, &[]), |wish| wish.timeouts.start = 50 * MS),
        entry("e", Dialect { chat: false, ..ALL }, &[]),
    ]);
    let ask = async |path: &'static str, body: String| {
        let answer = house.ask(house.request(path, body)).await;
        let error = &answer.json()["error"];
        (answer.status.as_u16(), error["type"].as_str().unwrap().to_owned(), !answer.header("request-id").is_empty())
    };
    let invalid = |status| (status, "invalid_request_error".to_owned(), true);
    assert_eq!(ask("/v1/messages", "{".to_owned()).await, invalid(400));
    assert_eq!(ask("/v1/messages", r#"{"model":"m"}"#.to_owned()).await, invalid(400));
    assert_eq!(ask("/v1/messages", ASK.replace("\"m\"", "\"e\"")).await, invalid(400));
    assert_eq!(ask("/v1/messages", ASK.replace("\"m\"", "\"nope\"")).await, (404, "not_found_error".to_owned(), true));
    assert_eq!(ask("/v1/messages/batches", "{}".to_owned()).await, (404, "not_found_error".to_owned(), true));
    assert_eq!(ask("/v1/messages", ASK.to_owned()).await, (529, "overloaded_error".to_owned(), true), "it does not load");
    house.token = "wrong".to_owned();
    let stranger = house.ask(house.request("/v1/messages", ASK)).await;
    assert_eq!((stranger.status.as_u16(), stranger.json()["error"]["type"].as_str()), (401, Some("authentication_error")));
}

#[tokio::test]
async fn tokens_are_counted_for_every_model_without_calling_it() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"What is the capital of France?"}]}"#;
    let answer = house.ask(house.request("/v1/messages/count_tokens", body)).await;
    let estimate = answer.json()["input_tokens"].as_u64().unwrap();
    assert!((6..30).contains(&estimate), "{}", answer.body);
    let more = body.replace("\"messages\"", r#""tools":[{"name":"f","input_schema":{"type":"object"}}],"messages""#);
    let with_tools = house.ask(house.request("/v1/messages/count_tokens", more)).await.json()["input_tokens"].as_u64().unwrap();
    assert!(with_tools > estimate);
    let unknown = house.ask(house.request("/v1/messages/count_tokens", body.replace("\"m\"", "\"nope\""))).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["type"].as_str()), (404, Some("error")));
    let responses =
        house.ask(house.request("/v1/responses/input_tokens", r#"{"model":"m","input":"What is the capital of France?"}"#)).await;
    assert_eq!(responses.json()["input_tokens"], estimate, "{}", responses.body);
    assert_eq!(engine.seen().len(), 0);
}

#[tokio::test]
async fn a_long_chat_is_counted_like_a_short_one() {
    let house = House::new().await;
    house.publish([Entry { version: Some(Arc::new(tiny())), ..entry("m", STREAMS, &[]) }]);
    let ask = async |times: u64| {
        let words = "The capital of France is Paris. ".repeat(usize::try_from(times).unwrap());
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{words}"}}]}}"#);
        house.ask(house.request("/v1/messages/count_tokens", body)).await.json()["input_tokens"].as_u64().unwrap()
    };
    let (one, two, many) = (ask(1).await, ask(2).await, ask(6_000).await);
    assert_eq!(many, one + 5_999 * (two - one));
}

#[tokio::test]
async fn models_are_listed_as_the_client_reads_them() {
    let mut house = House::new().await;
    house.publish([entry("a", ALL, &[]), entry("org/b:8b", ALL, &[])]);
    let get = async |house: &House, path: &str| {
        let mut request = house.get(path);
        request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
        house.ask(request).await
    };
    insta::assert_snapshot!(get(&house, "/v1/models").await.body);
    assert_eq!(get(&house, "/v1/models/org/b:8b").await.json()["display_name"], "org/b:8b");
    house.token = house.token_for(Some(vec!["a".to_owned()]), Limits::default()).await;
    let hidden = get(&house, "/v1/models/org/b:8b").await;
    assert_eq!((hidden.status.as_u16(), hidden.json()["error"]["type"].as_str()), (404, Some("not_found_error")));
    assert_eq!(get(&house, "/v1/models").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_pings() {
    let config = crate::Config { keep_alive_comment: 20 * MS, ..crate::Config::default() };
    let house = House::with(config).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let wait = std::sync::Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        vec![
            fake::sse_head(),
            Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()),
            Step::Wait(std::sync::Arc::clone(&wait)),
            Step::Hang,
        ]
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/messages", streamed())).await.into_body();
    let first = piece(&mut body).await.unwrap();
    assert!(first.starts_with(b"event: message_start"));
    assert_eq!(piece(&mut body).await.unwrap(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    gate.add_permits(1);
}
