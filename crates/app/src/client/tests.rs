//! What people see, and the statuses that scripts see.

use base::Timestamp;
use serde_json::json;

use super::http::segment;
use super::{Failure, chat, deploy, follow, look, out, token};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_600_000);
const THEN: &str = "2023-11-14T22:13:20.000Z";

#[test]
fn deployments_as_a_table() {
    let all = json!({"items": [
        {"name": "tiny", "spec": {"model": "file:/m/tiny.gguf"}, "status": {"state": "ready", "ready": 1}, "created_at": THEN},
        {"name": "org/remote:8b", "spec": {"url": "http://127.0.0.1:9/v1"}, "status": {"state": "failed", "ready": 0, "reason": {"message": "no answer"}}, "created_at": THEN},
    ]});
    insta::assert_snapshot!(look::deployment_table(&all, NOW));
}

#[test]
fn instances_as_a_table() {
    let all = json!({"items": [{"id": "0123456789abcdef", "deployment": "tiny", "engine": "llama-server", "phase": "ready", "in_flight": 1,
        "slots": 4, "memory": 25_000_000, "pid": 4242, "since": THEN}]});
    insta::assert_snapshot!(look::instance_table(&all, NOW));
}

#[test]
fn tokens_as_a_table_show_no_secret() {
    let all = json!({"items": [{"id": "t1", "name": "ci", "prefix": "psk_ab12", "scopes": ["inference", "admin"], "created_at": THEN}]});
    insta::assert_snapshot!(token::token_table(&all, NOW));
}

#[test]
fn an_event_is_one_line() {
    let event = json!({"id": 7, "at": THEN, "kind": "instance_phase", "message": "tiny: loading -> ready"});
    assert_eq!(follow::row(&event).join("|"), format!("7|{THEN}|instance_phase|tiny: loading -> ready|"));
}

#[test]
fn a_problem_becomes_its_detail_and_hint_and_a_status_for_scripts() {
    let body = r#"{"title":"Not Found","detail":"there is no deployment `x`","hint":"list them","problems":[]}"#;
    let failure = Failure::refused(404, body);
    assert_eq!((failure.to_string().as_str(), failure.hint().as_deref()), ("there is no deployment `x`", Some("list them")));
    let many = r#"{"detail":"two things","problems":[{"field":"a","what":"is bad"},{"field":"b","what":"is worse"}]}"#;
    assert_eq!(Failure::refused(400, many).to_string(), "a: is bad\n       b: is worse");
    assert_eq!(Failure::refused(502, r#"{"error":{"message":"upstream"}}"#).to_string(), "upstream");
    assert_eq!(Failure::refused(500, "<html>").to_string(), "the server answered with status 500");
}

#[test]
fn a_streamed_error_ends_the_answer_and_done_is_no_event() {
    assert!(chat::event("data: [DONE]").unwrap().is_none());
    assert!(chat::event(": ping").unwrap().is_none());
    assert!(chat::event(r#"data: {"choices":[]}"#).unwrap().is_some());
    let error = chat::event(r#"data: {"error":{"message":"the engine ended"}}"#).unwrap_err();
    assert_eq!(error.to_string(), "the engine ended");
}

#[test]
fn a_name_is_one_segment_and_a_path_is_absolute() {
    assert_eq!(segment("qwen/qwen3:8b"), "qwen%2Fqwen3%3A8b");
    assert_eq!(deploy::absolute("qwen3"), "qwen3");
    assert_eq!(deploy::absolute("https://h/m.gguf"), "https://h/m.gguf");
    assert!(deploy::absolute("./m.gguf").starts_with("file:/"));
    assert_eq!(deploy::absolute("file:/m.gguf"), "file:/m.gguf");
}

#[test]
fn ages_have_one_unit() {
    assert_eq!(out::age(&json!(THEN), NOW), "10m");
    assert_eq!(out::age(&json!("nonsense"), NOW), "");
}
