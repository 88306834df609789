//! What comes whole is told as a stream, and comes whole again when it is folded.

use bytes::Bytes;

use super::{is_whole, unfold};
use crate::Error;
use crate::fold::Fold;
use crate::openai::Shape;

const REPLY: &str = "{\n  \"id\": \"c1\",\n  \"object\": \"chat.completion\",\n  \"created\": 12345678901234567890,\n  \"model\": \"up\",\n  \"choices\": [\n    \
    {\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"a\\u0000\\nb\", \"reasoning_content\": \"hm\"}, \"logprobs\": null, \"finish_reason\": \"stop\"},\n    \
    {\"message\": {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"x\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": \"{}\"}}, {\"id\": \"y\", \"type\": \"function\", \"function\": {\"name\": \"g\", \"arguments\": \"\"}}]}, \"finish_reason\": \"tool_calls\"}\n  ],\n  \
    \"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 4, \"total_tokens\": 7}, \"service_tier\": \"x\"\n}";

fn folded(shape: Shape, stream: &Bytes) -> serde_json::Value {
    let mut fold = Fold::new(shape);
    fold.push(stream).unwrap();
    serde_json::from_slice(&fold.finish().unwrap()).unwrap()
}

#[test]
fn a_reply_becomes_an_event_for_each_choice_one_for_the_usage_and_the_end() {
    let stream = unfold(Shape::Chat, REPLY.as_bytes()).unwrap();
    insta::assert_snapshot!(std::str::from_utf8(&stream).unwrap());
}

#[test]
fn what_is_unfolded_and_folded_again_has_lost_nothing() {
    let stream = unfold(Shape::Chat, REPLY.as_bytes()).unwrap();
    let mut expected: serde_json::Value = serde_json::from_str(REPLY).unwrap();
    expected["choices"][1]["index"] = 1.into();
    expected["choices"][1]["logprobs"] = serde_json::Value::Null;
    for choice in 0..2 {
        expected["choices"][choice]["message"]["refusal"] = serde_json::Value::Null;
    }
    assert_eq!(folded(Shape::Chat, &stream), expected);
    let text = r#"{"id":"c","object":"text_completion","created":1,"model":"up","choices":[{"text":"4","index":0,"logprobs":null,"finish_reason":"length"}]}"#;
    let stream = unfold(Shape::Completions, text.as_bytes()).unwrap();
    assert_eq!(folded(Shape::Completions, &stream), serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn an_error_is_an_event_and_what_is_no_reply_is_refused_with_words_that_say_so() {
    let error = unfold(Shape::Chat, br#"{"error":{"message":"no"}}"#).unwrap();
    assert_eq!(&error[..], b"data: {\"error\":{\"message\":\"no\"}}\n\n");
    for body in ["<html>", "[]", "{\"status\":\"ok\"}", "{\"choices\":7}", "{\"choices\":[7]}", "{\"choices\":["] {
        assert!(matches!(unfold(Shape::Chat, body.as_bytes()), Err(Error::NoStream)), "{body}");
    }
    assert!(is_whole(b"\n {\"id\"") && is_whole(b"<html>"));
    assert!(!is_whole(b"data: {}") && !is_whole(b": ping") && !is_whole(b""));
}
