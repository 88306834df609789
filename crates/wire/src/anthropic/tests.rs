//! Messages and their events as Anthropic's clients read them; requests as a chat engine does.

use serde_json::Value;

use super::*;
use crate::talk::tests::transcript_of;

fn chat(body: &str) -> Result<Value, crate::Error> {
    let request = Request::parse(body.as_bytes(), false)?;
    Ok(serde_json::from_slice(&request.chat("m")?).unwrap())
}

#[test]
fn an_answer_reads_as_a_message_or_as_its_events() {
    insta::assert_snapshot!(transcript_of(|stream| Box::new(Message::new("msg_1", "m").stream(stream).thinks(true))));
}

#[test]
fn reasoning_is_shown_only_to_those_who_ask() {
    let said = transcript_of(|stream| Box::new(Message::new("msg_1", "m").stream(stream)));
    assert!(!said.contains("thinking"), "{said}");
    assert!(said.contains(r#""index":0,"content_block":{"type":"text""#), "its block takes no number: {said}");
}

#[test]
fn a_request_becomes_a_chat() {
    let body = r#"{"model":"m","max_tokens":64,"temperature":0,"top_k":5,"stop_sequences":["END"],"stream":true,
        "system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"u"},
        "thinking":{"type":"enabled","budget_tokens":1024},
        "tools":[{"name":"weather","description":"d","input_schema":{"type":"object"}}],
        "tool_choice":{"type":"any","disable_parallel_tool_use":true},
        "messages":[
            {"role":"user","content":[{"type":"text","text":"What?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Let me see."},
                {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Paris"}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"sunny"}]},{"type":"text","text":"So?"}]}
        ]}"#;
    insta::assert_json_snapshot!(chat(body).unwrap());
}

#[test]
fn what_cannot_be_translated_is_named() {
    let with = |more: &str| format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"a"}}]{more}}}"#);
    let cases = [
        (r#"{"model":"m","messages":[]}"#.to_owned(), Some("max_tokens")),
        (r#"{"model":"m","max_tokens":1,"messages":[]}"#.to_owned(), Some("messages")),
        (
            r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64"}}]}]}"#
                .to_owned(),
            Some("messages"),
        ),
        (r#"{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"a"}]}"#.to_owned(), Some("messages")),
        (with(r#","tools":[{"type":"web_search_20250305","name":"web_search"}]"#), Some("tools")),
        (with(r#","tool_choice":{"type":"some"}"#), Some("tool_choice")),
        (with(r#","output_config":{"format":{"type":"xml"}}"#), Some("output_config")),
        (with(r#","max_tokens":"many""#), None),
    ];
    for (body, param) in cases {
        let error = chat(&body).unwrap_err();
        assert_eq!(error.param(), param, "{body}: {error}");
    }
    assert!(Request::parse(br#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#, true).is_ok(), "counting needs no max_tokens");
}

#[test]
fn errors_have_the_type_of_their_status() {
    let types: Vec<String> = [400, 401, 403, 404, 413, 415, 429, 500, 502, 504, 529]
        .map(|status| String::from_utf8(error_body(&Shown { status, message: "no".to_owned() }, "req_1").to_vec()).unwrap())
        .to_vec();
    insta::assert_snapshot!(types.join("\n"));
}
