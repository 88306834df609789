//! Section 1, pass-through: a body goes upstream byte for byte but for a few spliced members.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use testkit::upstream::Script;

use super::{CHAT, DONE, Door, HI, ROLE, STOP, TEXT, chat, wire};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_reaches_the_engine_byte_for_byte_but_for_the_model_name() {
    let door = Door::of(&[("public", "upstream_model: theirs")]).await;
    let body = concat!(
        "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0000 \\ud83d \u{1f600} \\/\",\"x\":1,\"x\":2}],\r\n\t\"seed\":123456789012345678901,",
        "\"temperature\":1.0e-0, \"service_tier\":null,\"x_vendor\":{\"b\":[1,{}],\"a\":-0.0},\"model\" :\t\"public\", \"x\":1, \"x\":2, \"\":0 }"
    );
    let reply = door.post(CHAT, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let got = &door.upstream.asks()[0];
    assert_eq!(got.text(), body.replace("\"public\"", "\"theirs\""));
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", CHAT));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_model_has_the_same_name_upstream_is_not_touched_at_all() {
    let door = Door::open().await;
    let asks = [
        (CHAT, chat("m", r#","tools":[],"metadata":{"k":"v"},"reasoning_effort":"low","n":1"#)),
        (TEXT, r#"{"prompt":"once", "model":"m","suffix":null,"logit_bias":{"50256":-100}}"#.to_owned()),
        ("/v1/embeddings", r#"{"input":[[1,2,3],[4]],"model":"m","encoding_format":"base64","dimensions":3}"#.to_owned()),
    ];
    for (path, body) in &asks {
        assert_eq!(door.post(path, body).await.status, 200);
    }
    let got: Vec<String> = door.upstream.asks().iter().map(testkit::upstream::Ask::text).collect();
    assert_eq!(got, asks.map(|(_, body)| body));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_is_asked_for_in_a_stream_whose_client_did_not_and_only_then() {
    let door = Door::open().await;
    let asks = [
        (r#","stream":true"#, r#","stream":true,"stream_options":{"include_usage":true}"#),
        (r#","stream":true,"stream_options":null"#, r#","stream":true,"stream_options":{"include_usage":true}"#),
        (
            r#","stream_options":{"include_obfuscation":false},"stream":true"#,
            r#","stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true"#,
        ),
        (
            r#","stream":true,"stream_options":{"include_usage":false,"x":1}"#,
            r#","stream":true,"stream_options":{"include_usage":true,"x":1}"#,
        ),
        (r#","stream":true,"stream_options":{ "include_usage":true }"#, r#","stream":true,"stream_options":{ "include_usage":true }"#),
        (r#","stream":false"#, r#","stream":false"#),
    ];
    for (more, expected) in asks {
        door.upstream.forget();
        door.open_stream(CHAT, &chat("m", more)).await.text().await;
        assert_eq!(door.upstream.asks()[0].text(), chat("m", expected));
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_says_reaches_the_client_byte_for_byte() {
    let door = Door::of(&[("m", "upstream_model: up")]).await;
    let reply = concat!(
        r#"{ "id":"1","x":1,"x":2, "object":"chat.completion","created":1,"model":"up","service_tier":"flex","system_fingerprint":"fp_1","#,
        r#""choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"h\u0000m","reasoning":"hm","content":"Hi \ud83d"},"#,
        r#""token_ids":[1,12345678901234567890],"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#
    );
    door.upstream.next("up", [Script::json(200, reply)]);
    assert_eq!(door.post(CHAT, &chat("m", "")).await.text, reply);
    let odd = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"reasoning_content":"h\u0000m","reasoning":"\ud83d"},"finish_reason":null,"token_ids":[12345678901234567890]}],"service_tier":"flex","system_fingerprint":"fp_1","x":1,"x":2}"#;
    let events = [ROLE, odd, HI, STOP, DONE];
    door.upstream.next("up", [Script::events(events)]);
    assert_eq!(door.streamed("m").await, wire(&events));
    door.close().await;
}

const BODIES: usize = 10_000;

/// Any JSON, written in any way: spaces, escapes, numbers of any size, keys twice.
fn value() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let letter = prop_oneof![
        "[a-zA-Z0-9 _.:,{}\\[\\]-]{1,6}",
        "[äß漢😀\u{7f}\u{2028}]{1,2}",
        r#"\\(u[0-9a-fA-F]{4}|["\\/bfnrt])"#.prop_map(|text: String| text),
    ];
    let string = proptest::collection::vec(letter, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        string.clone(),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let member = (string.clone(), space, inner.clone()).prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        prop_oneof![
            (proptest::collection::vec(inner, 0..4), space)
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (proptest::collection::vec(member, 0..4), space)
                .prop_map(|(items, space)| format!("{{{}{space}}}", items.join(&format!(",{space}")))),
        ]
    })
}

/// Members of a body: the two that a chat needs among any others, in any order.
fn body() -> impl Strategy<Value = Vec<String>> {
    let key = r"[a-zA-Z_]{1,3}(\\u00e9|ü)?".prop_map(|name| format!("\"x_{name}\""));
    let others = proptest::collection::vec((key, value()).prop_map(|(key, value)| format!("{key}:{value}")), 0..6);
    (others, value(), 0..3_u8).prop_flat_map(|(mut members, content, streams)| {
        members.push("\"model\": \"public\"".to_owned());
        let mut messages = String::from("\"messages\" :[");
        let _ = write!(messages, "{{\"role\":\"user\",\"content\":{content}}}]");
        members.push(messages);
        if streams == 0 {
            members.push("\"stream\":true".to_owned());
        }
        Just(members).prop_shuffle()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_generated_bodies_reach_the_engine_equal_but_for_the_spliced_members() {
    let door = Door::of(&[("public", "upstream_model: theirs")]).await;
    let events = wire(&[STOP, DONE]);
    door.upstream.plays_with("theirs", move |ask| {
        // Not every parser knows numbers of this size, so nothing is parsed here.
        let streams = ask.text().contains("\"stream\":true");
        if streams { Script::says(events.clone()) } else { Script::json(200, ask.body.clone()) }
    });
    let mut runner = TestRunner::deterministic();
    let (bodies, mut line) = (body(), door.client.line().await);
    for number in 0..BODIES {
        let members = bodies.new_tree(&mut runner).expect("a body").current();
        let sent = format!("{{{}}}", members.join(","));
        let streams = sent.contains("\"stream\":true");
        let reply = line.post(CHAT, sent.clone()).await;
        assert_eq!(reply.status, 200, "{sent}\n{}", reply.text);
        let mut expected = sent.replace("\"model\": \"public\"", "\"model\": \"theirs\"");
        if streams {
            expected.truncate(expected.len() - 1);
            expected.push_str(",\"stream_options\":{\"include_usage\":true}}");
        } else {
            assert_eq!(reply.text, expected, "the engine said what it got, and that came back as it was");
        }
        if number % 1000 == 999 || streams {
            let got = door.upstream.asks();
            assert_eq!(got.last().expect("a call").text(), expected);
            door.upstream.forget();
        }
    }
    assert!(door.upstream.connections() < 20, "connections are used again: {}", door.upstream.connections());
    door.close().await;
}
