//! Do the older line-by-line clients get what they were promised?

use std::time::Duration;

use base::Fault as _;
use bytes::Bytes;

use super::{Ask, Lines, error_body, error_line};
use crate::Error;
use crate::openai::Shape;
use crate::sample::transcript;

const TOOK: Duration = Duration::from_millis(1500);

fn lines(stream: bool, shape_text: &'static [u8]) -> Result<String, Error> {
    let mut lines = Lines::new(stream);
    let mut out = Vec::new();
    lines.push(&Bytes::from_static(shape_text), &mut out)?;
    lines.finish(TOOK, &mut out)?;
    Ok(String::from_utf8(out.concat()).unwrap())
}

#[test]
fn zero_is_a_value() {
    let body = br#"{"prompt":"hi","max_tokens":0,"temperature":0,"top_k":0,"seed":0,"repeat_penalty":1.1,"stop":["x"],"else":1}"#;
    let ask = Ask::parse(body).unwrap();
    assert!(ask.wants_stream());
    assert_eq!(
        ask.body(Shape::Completions, "tiny"),
        r#"{"model":"tiny","prompt":"hi","stream":true,"stream_options":{"include_usage":true},"max_tokens":0,"temperature":0.0,"top_k":0,"stop":["x"],"seed":0,"repeat_penalty":1.1}"#
    );
}

#[test]
fn what_is_not_set_is_left_to_the_engine() {
    let ask = Ask::parse(br#"{"model":"m","prompt":"hi","stream":false,"temperature":null}"#).unwrap();
    assert!(!ask.wants_stream());
    assert_eq!(
        ask.body(Shape::Chat, "e"),
        r#"{"model":"e","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#
    );
}

#[test]
fn a_wrong_request_says_what_is_wrong() {
    let said = |body: &str| Ask::parse(body.as_bytes()).unwrap_err().public();
    assert_eq!(said("{"), "the body is not valid JSON: byte 1: expected a key in double quotes, found the end of the body");
    assert_eq!(said("{}"), "`prompt` is required and must not be blank");
    assert_eq!(said(r#"{"prompt":" \n"}"#), "`prompt` is required and must not be blank");
    assert!(said(r#"{"prompt":"x","max_tokens":"9"}"#).starts_with("the body does not fit this request: invalid type: string \"9\""));
    assert!(said(r#"{"prompt":"x","max_tokens":-1}"#).contains("invalid value: integer `-1`"));
}

#[test]
fn a_real_stream_becomes_lines() {
    insta::assert_snapshot!("completions", lines(true, transcript!("completions.sse")).unwrap());
    insta::assert_snapshot!("chat", lines(true, transcript!("chat-usage.sse")).unwrap());
    insta::assert_snapshot!("last_line_only", lines(false, transcript!("completions.sse")).unwrap());
}

#[test]
fn each_line_is_json_and_the_tokens_are_the_content() {
    let text = lines(
        true,
        b"data: {\"choices\":[{\"text\":\"\\\"a\\n\\\"\"}]}\n\ndata: {\"choices\":[{\"text\":\"\\\"\",\"finish_reason\":\"stop\"}]}\n\n",
    )
    .unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tokens: String = lines.iter().filter_map(|line| line["token"].as_str()).collect();
    let last = lines.last().unwrap();
    assert_eq!((tokens.as_str(), last["content"].as_str()), ("\"a\n\"\"", Some("\"a\n\"\"")));
    assert_eq!(last["stats"]["duration_ms"], 1500);
    assert_eq!(last["usage"]["completion_tokens"], 2, "counted by us, since the engine did not");
}

#[test]
fn an_error_or_an_early_end_is_the_callers_to_tell() {
    let cut = lines(true, b"data: {\"choices\":[{\"text\":\"a\"}]}\n\n");
    assert!(matches!(cut, Err(Error::Cut)));
    let failed = lines(true, b"data: {\"error\":{\"message\":\"no\"}}\n\n");
    assert!(matches!(failed, Err(Error::Engine { .. })));
    assert_eq!(error_line("a \"b\"", 504), "{\"error\":\"a \\\"b\\\"\",\"code\":504,\"done\":true}\n");
    assert_eq!(error_body("x", 429), "{\"error\":\"x\",\"code\":429}\n");
}
