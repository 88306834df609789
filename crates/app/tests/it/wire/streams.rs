//! Section 1, streams: whatever an engine does, the client sees one thing.

use serde_json::{Value, json};
use testkit::upstream::{Gate, Script, Step};

use super::{CHAT, DONE, Door, HI, ROLE, STOP, TEXT, USAGE, chat, data, soon, wire};

const WITH_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_headers_that_keep_proxies_from_holding_it_back() {
    let door = Door::open().await;
    let headers = [("accept-encoding", "gzip, br, zstd")];
    let stream = door.client.stream_with(CHAT, &headers, chat("m", r#","stream":true"#)).await;
    let header = |name: &str| stream.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!((header("content-encoding"), header("content-length")), (None, None));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_flushed_when_it_is_made() {
    let door = Door::open().await;
    let gate = Gate::new();
    door.upstream.plays("m", Script::events([ROLE, HI, HI, STOP, DONE]).between(&Step::Wait(gate.clone())));
    gate.open();
    let mut stream = door.open_stream(CHAT, &chat("m", r#","stream":true"#)).await;
    for event in [ROLE, HI, HI, STOP] {
        assert_eq!(soon(stream.next()).await.as_deref(), Some(event), "the next one has not been made yet");
        gate.open();
    }
    assert_eq!(soon(stream.text()).await, wire(&[DONE]));
    door.close().await;
}

/// The same stream, as engines and their networks write it.
fn quirks() -> Vec<(&'static str, Script)> {
    let plain = wire(&[ROLE, HI, STOP, DONE]);
    let mut all = vec![
        ("plain", Script::says(plain.clone())),
        ("CRLF", Script::says(plain.replace('\n', "\r\n"))),
        ("CRLF, cut between CR and LF", Script::says(plain.replace('\n', "\r\n")).cut_every(1)),
        ("comments", Script::says(format!(": hello\n\n{}", plain.replace("\n\ndata", "\n\n: ping\n\n:\ndata")))),
        ("no space after the colon", Script::says(plain.replace("data: ", "data:"))),
        ("no [DONE]", Script::events([ROLE, HI, STOP])),
        ("no [DONE] and no last newline", Script::says(wire(&[ROLE, HI, STOP]).trim_end().to_owned())),
        ("[DONE] twice", Script::events([ROLE, HI, STOP, DONE, DONE])),
        ("something after [DONE]", Script::events([ROLE, HI, STOP, DONE, HI])),
        ("usage in a chunk of its own", Script::events([ROLE, HI, STOP, USAGE, DONE])),
        ("empty-string finish reasons", Script::says(plain.replace("\"finish_reason\":null", "\"finish_reason\":\"\""))),
        ("the role in each delta", Script::says(plain.replace("{\"content\":\"Hi", "{\"role\":\"assistant\",\"content\":\"Hi"))),
        ("empty events", Script::says(plain.replace("\n\n", "\n\n\n\ndata:\n\n"))),
        ("a charset", Script::events([ROLE, HI, STOP, DONE]).header("x-vendor", "1")),
        ("single newlines", Script::says(plain.replace("\n\n", "\n"))),
        ("single newlines, split anywhere", Script::says(plain.replace("\n\n", "\n")).cut_every(5)),
    ];
    for size in [1, 2, 3, 5, 7, 16, 61] {
        all.push(("split anywhere, also within UTF-8", Script::says(plain.clone()).cut_every(size)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_differ_and_the_client_does_not_notice() {
    let door = Door::open().await;
    let expected = wire(&[ROLE, HI, STOP, DONE]);
    for (quirk, script) in quirks() {
        door.upstream.next("m", [script]);
        assert_eq!(soon(door.streamed("m")).await, expected, "{quirk}");
    }
    door.close().await;
}

/// Usage as engines place it.
fn placings() -> Vec<(&'static str, Script)> {
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#;
    let growing = |made: u32| format!(r#""usage":{{"prompt_tokens":7,"completion_tokens":{made},"total_tokens":{}}}"#, 7 + made);
    let with = |event: &str, usage: &str| format!("{},{usage}}}", &event[..event.len() - 1]);
    let on_last = with(STOP, usage);
    let on_each = [with(ROLE, &growing(1)), with(HI, &growing(2)), with(STOP, &growing(3))];
    let nulls = [with(ROLE, r#""usage":null"#), with(HI, r#""usage":null"#), with(STOP, r#""usage":null"#)];
    let strs = |events: &[String; 3]| Script::events(events.iter().map(String::as_str).chain([DONE]));
    vec![
        ("in a chunk of its own", Script::events([ROLE, HI, STOP, USAGE, DONE])),
        ("on the last choice", Script::events([ROLE, HI, &on_last, DONE])),
        ("on every chunk", strs(&on_each)),
        ("null on every chunk, then in one of its own", Script::events([&nulls[0], &nulls[1], &nulls[2], USAGE, DONE])),
        ("twice", Script::events([ROLE, HI, &on_last, USAGE, DONE])),
        ("no [DONE] behind it", Script::events([ROLE, HI, STOP, USAGE])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_was_asked_for_stands_in_one_last_chunk_wherever_the_engine_puts_it() {
    let door = Door::open().await;
    for (placing, script) in placings() {
        door.upstream.next("m", [script]);
        let text = soon(door.open_stream(CHAT, &chat("m", WITH_USAGE)).await.text()).await;
        let events = data(&text);
        assert_eq!(events.len(), 5, "{placing}: {text}");
        for event in &events[..3] {
            assert_eq!(json_of(event).get("usage"), Some(&Value::Null), "{placing}: every chunk says null: {event}");
        }
        let last = json_of(events[3]);
        assert_eq!(last["choices"], json!([]), "{placing}");
        assert_eq!(last["usage"], json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}), "{placing}");
        assert_eq!((&last["id"], &last["object"]), (&json!("c1"), &json!("chat.completion.chunk")), "{placing}");
        assert_eq!(events[4], DONE, "{placing}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_was_not_asked_for_is_never_seen_wherever_the_engine_puts_it() {
    let door = Door::open().await;
    for (placing, script) in placings() {
        door.upstream.next("m", [script]);
        let text = soon(door.streamed("m")).await;
        assert!(!text.contains("usage") && !text.contains("\"choices\":[]"), "{placing}: {text}");
        assert_eq!(data(&text).len(), 4, "{placing}: {text}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_an_engine_that_tells_none_is_counted_by_us() {
    let door = Door::open().await;
    door.upstream.plays("m", Script::events([ROLE, HI, HI, STOP, DONE]));
    let text = soon(door.open_stream(CHAT, &chat("m", WITH_USAGE)).await.text()).await;
    let usage = json_of(data(&text)[4])["usage"].clone();
    assert!(usage["prompt_tokens"].as_u64().is_some_and(|count| count > 0), "{usage}");
    assert_eq!(usage["completion_tokens"], 2, "{usage}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_over_several_lines_is_one_event() {
    let door = Door::open().await;
    let lines = HI.replace(",\"object\"", ",\ndata: \"object\"").replace(",\"choices\"", ",\ndata:\"choices\"");
    door.upstream.plays("m", Script::says(format!("{}data: {lines}\n\n{}", wire(&[ROLE]), wire(&[STOP, DONE]))).cut_every(9));
    let events = soon(door.open_stream(CHAT, &chat("m", r#","stream":true"#)).await.events()).await;
    assert_eq!(json_of(&events[1]), json_of(HI), "{events:?}");
    assert_eq!(events.len(), 4);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_mebibyte_goes_through() {
    let door = Door::open().await;
    let huge = HI.replace("Hi", &"Hi".repeat(1 << 19));
    door.upstream.plays("m", Script::events([ROLE, &huge, STOP, DONE]).cut_every(70_001));
    assert_eq!(soon(door.streamed("m")).await, wire(&[ROLE, &huge, STOP, DONE]));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_kept_alive_by_comments_between_events_and_never_within_one() {
    let door = Door::with("keep_alive_comment: 20ms\n", &[("m", "")]).await;
    let gate = Gate::new();
    let (start, rest) = HI.split_at(40);
    let script = Script::stream().event(ROLE).body(format!("data: {start}")).then(Step::Wait(gate.clone()));
    door.upstream.plays("m", script.body(format!("{rest}\n\n{}", wire(&[STOP, DONE]))));
    let mut stream = door.open_stream(CHAT, &chat("m", r#","stream":true"#)).await;
    let mut text = String::new();
    // Those before the first event, of an engine that is busy, do not count.
    while text.split_once(ROLE).is_none_or(|(_, after)| after.matches(": ping\n\n").count() < 3) {
        text.push_str(&soon(stream.piece()).await.expect("it goes on"));
    }
    gate.open();
    text.push_str(&soon(stream.text()).await);
    assert_eq!(text.replace(": ping\n\n", ""), wire(&[ROLE, HI, STOP, DONE]));
    assert!(text.contains(&format!(": ping\n\ndata: {HI}\n\n")), "before the whole event, not within it: {text}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_reason_is_null_until_the_last_chunk_and_then_what_the_engine_said() {
    let door = Door::open().await;
    for reason in ["stop", "length", "tool_calls", "content_filter", "vendor_reason"] {
        door.upstream.next("m", [Script::events([ROLE, HI, &STOP.replace("stop", reason), DONE])]);
        let text = soon(door.streamed("m")).await;
        let reasons: Vec<Value> = data(&text)[..3].iter().map(|event| json_of(event)["choices"][0]["finish_reason"].clone()).collect();
        assert_eq!(reasons, [Value::Null, Value::Null, json!(reason)]);
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_options_without_a_stream_are_refused() {
    let door = Door::open().await;
    for more in [r#","stream_options":{"include_usage":true}"#, r#","stream":false,"stream_options":{}"#] {
        let reply = door.post(CHAT, &chat("m", more)).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, error["param"].as_str()), (400, Some("stream_options")), "{error}");
    }
    assert!(door.upstream.asks().is_empty(), "the engine never hears of it");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_stream_as_text_also_from_an_engine_that_answers_with_deltas() {
    let door = Door::open().await;
    let body = r#"{"model":"m","prompt":"once","stream":true}"#;
    door.upstream.next("m", [Script::events([ROLE, HI, STOP, DONE])]);
    let text = soon(door.open_stream(TEXT, body).await.text()).await;
    for event in &data(&text)[..3] {
        let event = json_of(event);
        assert_eq!(event["object"], "text_completion");
        assert!(event["choices"][0]["text"].is_string() && event["choices"][0].get("delta").is_none(), "{event}");
    }
    assert_eq!(json_of(data(&text)[1])["choices"][0]["text"], "Hi 😀 über");
    let own = r#"{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"length"}]}"#;
    door.upstream.next("m", [Script::events([own, DONE])]);
    assert_eq!(soon(door.open_stream(TEXT, body).await.text()).await, wire(&[own, DONE]));
    door.close().await;
}

pub(crate) fn json_of(event: &str) -> Value {
    serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"))
}
