//! What stands in the books after each way that a call can end.

use std::path::PathBuf;

use base::Timestamp;
use board::State;
use http::Request;
use spec::{Ending, Endpoint, Limits, Name, Prices, Reason, ReasonCode, Tokens, Usage, Usd};
use store::CallQuery;

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece};
use crate::Config;

const PRICES: Prices = Prices {
    input_per_million: Usd::dollars(2),
    cached_input_per_million: Some(Usd::dollars(1)),
    output_per_million: Usd::dollars(8),
    per_request: Usd(5),
};

async fn books(house: &House) -> Vec<Usage> {
    house.gateway.flush().await;
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let calls = house.store.list_calls(&CallQuery { from, to, request_id: None, after: None, limit: 100 }).await.unwrap();
    calls.into_iter().map(|booked| booked.call).collect()
}

fn cost(row: &Usage) -> Usd {
    PRICES.cost(Tokens { input: row.prompt_tokens, cached: row.cached_tokens, output: row.completion_tokens })
}

#[tokio::test]
async fn a_whole_answer_pays_by_the_engines_count_cached_and_reasoned() {
    let usage = r#"{"prompt_tokens":70,"completion_tokens":30,"total_tokens":100,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":20}}"#;
    let house = House::new().await;
    let reply = format!(r#"{{"id":"c1","object":"chat.completion","created":1,"model":"up","choices":[],"usage":{usage}}}"#);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::whole("200 OK", &reply));
    house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 1)]), |spec| spec.prices = PRICES)]);
    assert_eq!(house.chat(CHAT).await.status, 200);
    let [row] = books(&house).await.try_into().unwrap();
    assert_eq!((row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.reasoning_tokens), (70, 64, 30, 20));
    assert_eq!((row.ending, row.estimated, row.error.as_deref(), row.status), (Ending::Completed, false, None, 200));
    assert_eq!((row.deployment.as_deref(), row.instance.as_deref(), row.operation.as_str()), (Some("m"), Some("m-0"), "chat"));
    assert_eq!(row.cost, Usd(6 * 2_000 + 64 * 1_000 + 30 * 8_000 + 5), "two, one and eight thousand billionths a token");
}

#[tokio::test]
async fn a_whole_answer_that_counts_nothing_is_counted_here() {
    let text = "What is the capital of France?"; // 30 bytes, four to a token
    let call = format!(r#"{{"id":"c","type":"function","function":{{"name":"find","arguments":"{text}"}}}}"#);
    let replies = [
        (format!(r#""choices":[{{"message":{{"role":"assistant","content":"{text}"}}}},{{"message":{{"content":"{text}"}}}}]"#), 16),
        (format!(r#""choices":[{{"message":{{"content":null,"reasoning_content":"{text}","tool_calls":[{call},{call}]}}}}]"#), 26),
        (format!(r#""choices":[{{"text":"{text}"}}]"#), 8),
        (r#""choices":[]"#.to_owned(), 0),
        (format!(r#""choices":[{{"text":"{text}"}}],"usage":{{"completion_tokens":3}}"#), 3),
    ];
    for (reply, made) in replies {
        let house = House::new().await;
        let whole = format!("{{{reply}}}");
        let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::whole("200 OK", &whole));
        house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 1)]), |spec| spec.prices = PRICES)]);
        assert_eq!(house.chat(CHAT).await.status, 200);
        let [row] = books(&house).await.try_into().unwrap();
        assert_eq!((row.completion_tokens, row.estimated, row.cost), (made, true, cost(&row)), "{reply}");
        assert!(row.prompt_tokens > 0, "ours, as the engine says nothing of it: {row:?}");
    }
}

#[tokio::test]
async fn each_prompt_of_a_call_is_paid_for() {
    const ASK: &str = r#"{"model":"m","prompt":["a","b","c"],"max_tokens":3}"#;
    let ended = |index: u64, prompt: u64| {
        let choice = format!(r#"{{"text":"a","index":{index},"logprobs":null,"finish_reason":"length"}}"#);
        let usage = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":3,"prompt_tokens_details":{{"cached_tokens":{index}}}}}"#);
        format!(r#"{{"id":"c","object":"text_completion","created":1,"model":"up","choices":[{choice}],"usage":{usage}}}"#)
    };
    let house = House::new().await;
    let parts = [ended(1, 201), ended(0, 101), ended(2, 301)];
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::events(&[&parts[0], &parts[1], &parts[2], fake::DONE]));
    house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.prices = PRICES)]);
    let streamed = ASK.replace('}', r#","stream":true,"stream_options":{"include_usage":true}}"#);
    for body in [ASK.to_owned(), streamed] {
        let answer = house.ask(house.request("/v1/completions", body)).await;
        assert!(answer.body.contains(r#""usage":{"prompt_tokens":603,"completion_tokens":9,"total_tokens":612,"#), "{}", answer.body);
    }
    let rows = books(&house).await;
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.estimated), (603, 3, 9, false));
        assert_eq!(row.cost, cost(&row));
    }
}

#[tokio::test]
async fn a_call_that_is_left_pays_for_what_was_made() {
    let house = House::new().await;
    let chunk = |data: &str| Step::Chunk(format!("data: {data}\n\n").into_bytes());
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        vec![fake::sse_head(), chunk(fake::ROLE), chunk(fake::HI), chunk(fake::HI), Step::AwaitClose]
    });
    house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.prices = PRICES)]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    let mut seen = 0;
    while seen < 2 {
        seen += String::from_utf8_lossy(&piece(&mut body).await.unwrap()).matches("Hi ").count();
    }
    drop(body);
    engine.closed(1).await;
    let [row] = books(&house).await.try_into().unwrap();
    assert_eq!((row.ending, row.estimated, row.error.as_deref()), (Ending::Cancelled, true, Some("cancelled")));
    assert!(row.prompt_tokens > 0 && row.completion_tokens == 2, "{row:?}");
    assert_eq!(row.cost, cost(&row));
    assert!(row.first_byte_ms.is_some());
}

#[tokio::test]
async fn what_never_began_costs_nothing_and_stands_in_the_books_all_the_same() {
    let house = House::new().await;
    let gone = Endpoint::Unix(PathBuf::from("/nonexistent/e.sock"));
    house.publish([limited(entry("m", ALL, &[(&gone, 1), (&gone, 1)]), |spec| spec.prices = PRICES)]);
    assert_eq!(house.chat(CHAT).await.status, 502);
    let unknown = CHAT.replace(r#""m""#, &format!(r#""{}""#, "x".repeat(1_000)));
    assert_eq!(house.chat(&unknown).await.status, 404);
    let poor = house.token_for(None, Limits { tokens_per_minute: Some(1), ..Limits::default() }).await;
    let request = Request::post("/v1/chat/completions").header("authorization", format!("Bearer {poor}"));
    let refused = house.ask(request.header("content-type", "application/json").body(CHAT.into()).unwrap()).await;
    assert_eq!(refused.status, 429);
    let rows = books(&house).await;
    let told: Vec<_> =
        rows.iter().map(|row| (row.status, row.ending, row.error.as_deref(), row.deployment.as_deref(), row.cost.0)).collect();
    assert_eq!(
        told,
        [
            (502, Ending::Failed, Some("upstream_error"), Some("m"), 0),
            (404, Ending::Rejected, Some("model_not_found"), None, 0),
            (429, Ending::Rejected, Some("rate_limit_exceeded"), Some("m"), 0),
        ]
    );
    assert!(rows[0].retries > 0, "it was tried at the other one: {:?}", rows[0]);
    assert_eq!(rows[1].model.len(), 128, "the client's word, cut");
    assert_ne!(rows[0].token, rows[2].token);
}

#[tokio::test]
async fn a_row_has_the_status_that_the_client_has_seen_whatever_became_of_the_call_then() {
    let house = House::with(Config { cold_comment: MS * 20, keep_alive_comment: MS * 40, ..Config::default() }).await;
    house.publish([entry("m", ALL, &[])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), ": ping\n\n");
    let mut down = entry("m", ALL, &[]);
    down.state = State::Down(Reason::new(ReasonCode::DoesNotFit, "needs 90 GiB of 8 GiB", "use a smaller quantisation"));
    house.publish([down]);
    while piece(&mut body).await.is_some() {}
    drop(body);
    let chunk = |data: &str| Step::Chunk(format!("data: {data}\n\n").into_bytes());
    let engine =
        Fake::unix(house.dir.path(), "e.sock", move |_, _| vec![fake::sse_head(), chunk(fake::ROLE), chunk(fake::HI), Step::AwaitClose]);
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    tokio::select! {
        _ = house.begin(house.request("/v1/chat/completions", CHAT)) => panic!("it never ends"),
        () = async {
            super::until(|| engine.seen().len() == 1).await;
            for _ in 0..200 {
                tokio::task::yield_now().await; // what the engine has said is taken meanwhile
            }
        } => {}
    }
    engine.closed(1).await;
    let [told, left] = books(&house).await.try_into().unwrap();
    assert_eq!(
        (told.status, told.ending, told.error.as_deref()),
        (200, Ending::Rejected, Some("model_unavailable")),
        "a comment was the head"
    );
    assert_eq!(
        (left.status, left.ending, left.first_byte_ms.is_some()),
        (499, Ending::Cancelled, true),
        "the head of a folded answer never went out"
    );
}

#[tokio::test]
async fn what_an_engine_counted_that_then_failed_does_not_stand_in_the_row_of_the_next() {
    const COUNTED: &str = r#"{"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":20}}}"#;
    const FAILED: &str = r#"{"error":{"message":"out of memory","type":"server_error","param":null,"code":null}}"#;
    let house = House::new().await;
    let fails = Fake::unix(house.dir.path(), "fails.sock", |_, _| fake::events(&[COUNTED, FAILED]));
    let spare = Fake::unix(house.dir.path(), "spare.sock", |_, _| fake::events(&[fake::ROLE, fake::HI, fake::STOP, fake::DONE]));
    let m = limited(entry("m", STREAMS, &[(&fails.endpoint, 1)]), |spec| spec.fallback = vec![Name::parse("spare").unwrap()]);
    house.publish([m, entry("spare", STREAMS, &[(&spare.endpoint, 1)])]);
    assert_eq!(house.chat(STREAM).await.status, 200);
    assert_eq!((fails.seen().len(), spare.seen().len()), (1, 1));
    let [row] = books(&house).await.try_into().unwrap();
    assert_eq!((row.retries, row.estimated, row.cached_tokens, row.reasoning_tokens), (1, true, 0, 0), "{row:?}");
    assert!(row.prompt_tokens < 70 && row.completion_tokens == 1, "{row:?}");
}

#[tokio::test]
async fn an_id_that_comes_twice_is_two_calls() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    for _ in 0..2 {
        let mut request = house.request("/v1/chat/completions", CHAT);
        request.headers_mut().insert("x-request-id", "the-same".parse().unwrap());
        assert_eq!(house.ask(request).await.header("x-request-id"), "the-same");
    }
    let rows = books(&house).await;
    assert_eq!(rows.iter().map(|row| row.request_id.as_str()).collect::<Vec<_>>(), ["the-same", "the-same"]);
}

#[tokio::test]
async fn tools_and_their_calls_are_part_of_the_prompt_that_is_paid_for_on_every_face() {
    let long = "word ".repeat(1_000);
    let (user, schema) = (r#"{"role":"user","content":"hi"}"#, format!(r#"{{"type":"object","description":"{long}"}}"#));
    let tool = format!(r#"{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}"#);
    let called = |arguments: &str| format!(r#"{{"id":"c","type":"function","function":{{"name":"f","arguments":{arguments}}}}}"#);
    let (spelt, object) = (called(&format!(r#""{{\"a\":\"{long}\"}}""#)), called(&format!(r#"{{"a":"{long}"}}"#)));
    let chat = |call: &str| {
        let turns = format!(
            r#"{user},{{"role":"assistant","content":"","tool_calls":[{call}]}},{{"role":"tool","tool_call_id":"c","content":"1"}}"#
        );
        format!(r#"{{"model":"m","messages":[{turns}],"tools":[{tool}],"stream":false}}"#)
    };
    let used = format!(r#"{{"role":"assistant","content":[{{"type":"tool_use","id":"c","name":"f","input":{{"a":"{long}"}}}}]}}"#);
    let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"1"}]}"#;
    let messages =
        format!(r#"{{"model":"m","max_tokens":9,"messages":[{user},{used},{result}],"tools":[{{"name":"f","input_schema":{schema}}}]}}"#);
    let said = format!(r#"{{"type":"function_call","call_id":"c","name":"f","arguments":"{{\"a\":\"{long}\"}}"}}"#);
    let input = format!(r#"[{user},{said},{{"type":"function_call_output","call_id":"c","output":"1"}}]"#);
    let responses =
        format!(r#"{{"model":"m","input":{input},"tools":[{{"type":"function","name":"f","parameters":{schema}}}],"store":false}}"#);
    let reply = r#"{"id":"c1","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;
    for (path, body) in
        [("/v1/chat/completions", chat(&spelt)), ("/v1/messages", messages), ("/v1/responses", responses), ("/api/chat", chat(&object))]
    {
        let house = House::new().await;
        let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::whole("200 OK", reply));
        house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 1)]), |spec| spec.prices = PRICES)]);
        let answer = house.ask(house.request(path, body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let [row] = books(&house).await.try_into().unwrap();
        assert!(row.estimated && (2_500..2_700).contains(&row.prompt_tokens) && row.cost == cost(&row), "{path}: {row:?}");
    }
}
