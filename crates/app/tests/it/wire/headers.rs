//! Section 1, headers: those that every answer carries.

use std::fmt::Write as _;

use hyper::Method;
use serde_json::json;
use testkit::upstream::Script;

use super::{CHAT, Door, chat};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_the_clients_own_if_it_is_sane() {
    let door = Door::open().await;
    let long = "a".repeat(129);
    let paths = [(Method::POST, CHAT), (Method::GET, "/v1/models"), (Method::GET, "/healthz"), (Method::GET, "/nothing")];
    for (method, path) in paths {
        for (given, kept) in [("mine-1.2:x_y", true), ("with space", false), (long.as_str(), false), ("\u{7f}", false)] {
            let Ok(value) = hyper::header::HeaderValue::from_str(given) else { continue };
            let headers = [("x-request-id", value.to_str().expect("text"))];
            let reply = door.client.ask_with(method.clone(), path, &headers, chat("m", "")).await;
            let id = reply.header("x-request-id");
            assert_eq!(id == given, kept, "{path}: {given} became {id}");
            assert!(kept || id.starts_with("req_"), "{path}: {id}");
        }
    }
    let first = door.post(CHAT, &chat("m", "")).await;
    let second = door.post(CHAT, &chat("m", "")).await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    let last = door.upstream.asks().pop().expect("a call");
    assert_eq!(last.header("x-request-id"), Some(second.header("x-request-id")), "the engine's log has it too");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_it_took_is_on_every_answer() {
    let door = Door::open().await;
    for reply in [door.post(CHAT, &chat("m", "")).await, door.post(CHAT, "{").await, door.client.get("/v1/models").await] {
        assert!(reply.header("openai-processing-ms").parse::<u64>().is_ok(), "{:?}", reply.headers);
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_on_every_success_and_every_429() {
    let door = Door::open().await;
    let limits = json!({"requests_per_minute": 2, "tokens_per_minute": 1000});
    let client = door.with_token(json!({"name": "t", "limits": limits})).await;
    let mut seen = String::new();
    for _ in 0..3 {
        let reply = client.ask_with(Method::POST, CHAT, &[], chat("m", r#","max_tokens":10"#)).await;
        let header = |kind: &str, of: &str| reply.header(&format!("x-ratelimit-{kind}-{of}")).to_owned();
        assert_eq!((header("limit", "requests"), header("limit", "tokens")), ("2".to_owned(), "1000".to_owned()));
        assert!(header("remaining", "tokens").parse::<u64>().is_ok_and(|left| left < 1000), "{:?}", reply.headers);
        for of in ["requests", "tokens"] {
            let reset = header("reset", of);
            assert!(is_go_duration(&reset), "`{reset}` is a duration as Go writes it");
        }
        let _ = write!(seen, "{} {}; ", reply.status, header("remaining", "requests"));
    }
    assert_eq!(seen, "200 1; 200 0; 429 0; ");
    let streamed = door.with_token(json!({"name": "s", "limits": {"requests_per_minute": 9}})).await;
    let stream = streamed.stream_with(CHAT, &[], chat("m", r#","stream":true"#)).await;
    assert_eq!(stream.headers.get("x-ratelimit-remaining-requests").map(hyper::header::HeaderValue::as_bytes), Some(b"8".as_slice()));
    door.close().await;
}

/// `12ms`, `1s`, `6m0s`
fn is_go_duration(text: &str) -> bool {
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let Some(unit) = ["ms", "h", "m", "s"].into_iter().find(|unit| digits.starts_with(unit)) else { return false };
        if digits.len() == rest.len() {
            return false;
        }
        rest = &digits[unit.len()..];
        parts += 1;
    }
    parts > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_may_read_every_header_where_they_are_let_in() {
    let door = Door::with("cors_enabled: true\ncors_origins: [\"https://a.example\"]\n", &[("m", "")]).await;
    let ours = [("origin", "https://a.example")];
    let reply = door.client.ask_with(Method::POST, CHAT, &ours, chat("m", "")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://a.example");
    let exposed = reply.header("access-control-expose-headers").to_ascii_lowercase();
    let promised = ["x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms", "x-should-retry"];
    let rates = ["limit", "remaining", "reset"].map(|kind| ["requests", "tokens"].map(|of| format!("x-ratelimit-{kind}-{of}")));
    for name in promised.map(str::to_owned).into_iter().chain(rates.into_iter().flatten()) {
        assert!(exposed.split(',').any(|header| header.trim() == name), "{name} is missing in {exposed}");
    }
    let preflight =
        [("origin", "https://a.example"), ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")];
    let reply = door.client.with_token(None).ask_with(Method::OPTIONS, CHAT, &preflight, "").await;
    assert!(reply.status < 300, "{} {}", reply.status, reply.text);
    assert!(reply.header("access-control-allow-methods").contains("POST"));
    let theirs = door.client.ask_with(Method::POST, CHAT, &[("origin", "https://b.example")], chat("m", "")).await;
    assert_eq!(theirs.header("access-control-allow-origin"), "");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_let_in_unless_it_was_opted_for() {
    let door = Door::open().await;
    let reply = door.client.ask_with(Method::POST, CHAT, &[("origin", "https://a.example")], chat("m", "")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_clients_key_nor_its_cookies_reach_the_engine_but_its_trace_does() {
    let door = Door::open().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("cookie", "c=1"),
        ("x-api-key", "k"),
        ("x-conversation-id", "goes-on-after-its-caller"),
        ("traceparent", trace),
        ("accept-encoding", "gzip"),
        ("openai-organization", "org"),
    ];
    door.client.ask_with(Method::POST, CHAT, &headers, chat("m", "")).await;
    let got = &door.upstream.asks()[0];
    for name in ["authorization", "cookie", "x-api-key", "x-conversation-id"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    let theirs = got.header("traceparent").expect("a trace");
    assert_eq!(theirs.get(..35), trace.get(..35), "the same trace");
    assert_eq!(got.header("accept-encoding"), Some("identity"), "what is scanned must not be compressed");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_engine_asks_for_reaches_the_client_in_both_ways_of_writing_it() {
    let door = Door::of(&[("m", ""), ("spent", "")]).await;
    door.upstream.plays(
        "m",
        Script::json(429, r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#)
            .header("retry-after", "70"),
    );
    let reply = door.post(CHAT, &chat("m", "")).await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.header("retry-after-ms")), (429, "70", "70000"));
    door.upstream.plays(
        "spent",
        Script::json(429, r#"{"error":{"message":"no more","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#),
    );
    let reply = door.post(CHAT, &chat("spent", "")).await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.header("x-should-retry")), (429, "", "false"), "it will not pass");
    door.close().await;
}
