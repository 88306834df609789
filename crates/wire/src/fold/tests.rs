//! Is the folded reply the one that the engine gives without a stream, with no field lost?

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::Fold;
use crate::Error;
use crate::openai::Shape;
use crate::sample::{self, transcript};

fn fold(shape: Shape, chunks: &[Bytes]) -> Result<String, Error> {
    let mut fold = Fold::new(shape);
    for chunk in chunks {
        fold.push(chunk)?;
    }
    Ok(String::from_utf8(fold.finish()?.to_vec()).unwrap())
}

fn folded(shape: Shape, stream: &str) -> String {
    fold(shape, &[Bytes::copy_from_slice(stream.as_bytes())]).unwrap()
}

fn chat(choice: &str) -> String {
    format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{choice}]}}\n\n")
}

fn delta(delta: &str) -> String {
    chat(&format!("{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}"))
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A reply without what differs from call to call, and with what OpenAI's description adds to llama-server's.
fn essence(reply: &[u8]) -> Value {
    let mut reply: Value = serde_json::from_slice(reply).unwrap();
    let members = reply.as_object_mut().unwrap();
    for key in ["id", "created", "timings", "usage"] {
        assert!(members.remove(key).is_some(), "{key} is missing");
    }
    for choice in reply["choices"].as_array_mut().unwrap() {
        choice.as_object_mut().unwrap().entry("logprobs").or_insert(Value::Null);
        if let Some(message) = choice.get_mut("message") {
            message.as_object_mut().unwrap().entry("refusal").or_insert(Value::Null);
            if message["content"] == "" {
                message["content"] = Value::Null;
            }
            for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
                call.as_object_mut().unwrap().remove("id");
            }
        }
    }
    reply
}

#[test]
fn a_folded_stream_is_the_reply_that_llama_server_gives_without_one() {
    let pairs = [
        (Shape::Chat, transcript!("chat-usage.sse"), transcript!("chat.json")),
        (Shape::Chat, transcript!("tools.sse"), transcript!("tools.json")),
        (Shape::Completions, transcript!("completions.sse"), transcript!("completions.json")),
        (Shape::Completions, transcript!("completions-logprobs.sse"), transcript!("completions-logprobs.json")),
    ];
    for (shape, stream, reply) in pairs {
        let folded = fold(shape, &[Bytes::from_static(stream)]).unwrap();
        assert_eq!(essence(folded.as_bytes()), essence(reply));
    }
    let logprobs = fold(Shape::Chat, &[Bytes::from_static(transcript!("chat-logprobs.sse"))]).unwrap();
    let expected: Value = serde_json::from_slice(transcript!("chat-logprobs.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&logprobs).unwrap()["choices"][0]["logprobs"], expected["choices"][0]["logprobs"]);
}

#[test]
fn real_streams_fold_into_these_replies() {
    insta::assert_snapshot!("chat", fold(Shape::Chat, &[Bytes::from_static(transcript!("chat-usage.sse"))]).unwrap());
    insta::assert_snapshot!("two_choices", fold(Shape::Chat, &[Bytes::from_static(transcript!("chat-n2.sse"))]).unwrap());
    insta::assert_snapshot!("tools", fold(Shape::Chat, &[Bytes::from_static(transcript!("tools.sse"))]).unwrap());
    insta::assert_snapshot!("completions", fold(Shape::Completions, &[Bytes::from_static(transcript!("completions.sse"))]).unwrap());
}

#[test]
fn texts_are_joined_as_they_are_written() {
    let parts = [
        delta(r#"{"role":"assistant","content":null,"reasoning_content":"th","reasoning":"x"}"#),
        delta(r#"{"content":"a\u0000\"","reasoning_content":"ink","role":"assistant"}"#),
        delta(r#"{"content":"\ud83d","refusal":null}"#),
        delta(r#"{"content":"\ude00","vendor":"p","annotations":[1],"big":1}"#),
        delta(r#"{"vendor":"q","annotations":[2],"big":123456789012345678901234567890}"#),
    ];
    let reply = folded(Shape::Chat, &(parts.concat() + STOP));
    assert_eq!(
        reply,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a\u0000\"\ud83d\ude00","refusal":null,"reasoning_content":"think","reasoning":"x","vendor":"pq","annotations":[1,2],"big":123456789012345678901234567890},"logprobs":null,"finish_reason":"stop"}]}"#
    );
}

#[test]
fn tool_calls_are_put_together_by_their_index() {
    let parts = [
        delta(r#"{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]}"#),
        delta(r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}"#),
        delta(
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}},{"index":1,"function":{"arguments":"{}"}}]}"#,
        ),
    ];
    let reply: Value = serde_json::from_str(&folded(Shape::Chat, &(parts.concat() + STOP))).unwrap();
    let expected = serde_json::json!([
        {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
        {"id":"b","type":"function","function":{"name":"g","arguments":"{}"}},
    ]);
    assert_eq!(reply["choices"][0]["message"]["tool_calls"], expected);
    assert_eq!(reply["choices"][0]["message"]["content"], Value::Null);
}

#[test]
fn tool_calls_without_an_index_are_told_apart_by_their_ids() {
    let parts = [
        delta(r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}}]}"#),
        delta(r#"{"tool_calls":[{"function":{"arguments":"2"}}]}"#),
        delta(r#"{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"3"}}]}"#),
        delta(r#"{"tool_calls":[{"id":"a","function":{"arguments":"4"}}],"function_call":{"name":"old","arguments":"{"}}"#),
        delta(r#"{"function_call":{"arguments":"}"}}"#),
    ];
    let reply: Value = serde_json::from_str(&folded(Shape::Chat, &(parts.concat() + STOP))).unwrap();
    let message = &reply["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], "124");
    assert_eq!(message["tool_calls"][1]["function"]["arguments"], "3");
    assert_eq!(message["function_call"], serde_json::json!({"name":"old","arguments":"{}"}));
}

#[test]
fn lists_of_log_probabilities_and_token_ids_are_joined() {
    let part = |text: &str, n: u32| {
        format!(
            "data: {{\"id\":\"x\",\"system_fingerprint\":\"f\",\"choices\":[{{\"text\":\"{text}\",\"index\":0,\"token_ids\":[{n}],\"stop_reason\":null,\
             \"logprobs\":{{\"tokens\":[\"{text}\"],\"token_logprobs\":[-{n}.5],\"top_logprobs\":[null],\"text_offset\":[{n}]}},\"finish_reason\":\"\"}}]}}\n\n"
        )
    };
    let end = r#"data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length","stop_reason":"z"}]}"#;
    let reply = folded(Shape::Completions, &format!("{}{}{end}\n\n", part("a", 1), part("b", 2)));
    assert_eq!(
        reply,
        r#"{"id":"x","object":"text_completion","choices":[{"text":"ab","index":0,"logprobs":{"tokens":["a","b"],"token_logprobs":[-1.5,-2.5],"top_logprobs":[null,null],"text_offset":[1,2]},"finish_reason":"length","token_ids":[1,2],"stop_reason":"z"}],"system_fingerprint":"f"}"#
    );
}

#[test]
fn a_delta_on_the_completions_path_becomes_text() {
    let reply: Value = serde_json::from_str(&folded(Shape::Completions, &(delta(r#"{"content":"a"}"#) + STOP))).unwrap();
    assert_eq!(reply["choices"][0], serde_json::json!({"text":"a","index":0,"logprobs":null,"finish_reason":"stop"}));
}

#[test]
fn an_engine_without_usage_is_counted_for_if_we_know_the_prompt() {
    let stream = Bytes::from(delta(r#"{"content":"a"}"#) + STOP);
    let mut fold = Fold::new(Shape::Chat).prompt_estimate(4);
    fold.push(&stream).unwrap();
    let reply: Value = serde_json::from_slice(&fold.finish().unwrap()).unwrap();
    assert_eq!(reply["usage"]["total_tokens"], 5);
    assert_eq!(fold.summary().usage, None);
}

#[test]
fn an_error_in_the_stream_is_the_answer() {
    let stream =
        delta(r#"{"content":"a"}"#) + "data: {\"error\":{\"code\":500,\"message\":\"out of memory\",\"type\":\"server_error\"}}\n\n";
    match fold(Shape::Chat, &[Bytes::from(stream)]) {
        Err(Error::Engine { body }) => {
            assert_eq!(body, r#"{"error":{"message":"out of memory","type":"server_error","param":null,"code":null}}"#);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_that_ends_early_or_is_none_is_an_error() {
    let cut = fold(Shape::Chat, &[Bytes::from(delta(r#"{"content":"a"}"#))]);
    assert!(matches!(cut, Err(Error::Cut)), "{cut:?}");
    assert!(matches!(fold(Shape::Chat, &[]), Err(Error::Cut)));
    assert!(matches!(fold(Shape::Chat, &[Bytes::from_static(b"data: [DONE]\n\n")]), Err(Error::Cut)));
    assert!(matches!(fold(Shape::Chat, &[Bytes::from_static(b"data: nonsense\n\n")]), Err(Error::Event(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_folds_into_the_same_reply(lengths in sample::lengths()) {
        let stream = transcript!("chat-n2.sse");
        let whole = fold(Shape::Chat, &[Bytes::from_static(stream)]).unwrap();
        prop_assert_eq!(fold(Shape::Chat, &sample::cut(stream, &lengths)).unwrap(), whole);
    }

    #[test]
    fn whatever_a_delta_holds_the_reply_is_json(values in prop::collection::vec(sample::value_in_a_line(), 1..4)) {
        let keys = ["content", "tool_calls", "function_call", "role", "x"];
        let mut stream = String::new();
        for value in &values {
            for key in keys {
                stream += &delta(&format!("{{\"{key}\":{value}}}"));
            }
        }
        let reply = folded(Shape::Chat, &(stream + STOP));
        prop_assert!(crate::scan::object_in(&reply).is_ok(), "{}", reply);
    }
}
