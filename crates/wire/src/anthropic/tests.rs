//! Messages and their events as Anthropic's clients read them; requests as a chat engine does.

use serde_json::{Value, json};

use super::*;
use crate::talk::tests::{CALLS, HALLO, LENGTH, STOP, stream, told, transcript_of};
use crate::{scan, splice};

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
fn a_call_that_broke_off_has_no_words_of_ours_as_its_input() {
    let bytes = stream(&[CALLS[0], CALLS[1], LENGTH]);
    let told = |streams| told(Box::new(Message::new("msg_1", "m").stream(streams)), &bytes, &[bytes.len()]);
    let whole: Value = serde_json::from_str(&told(false)).unwrap();
    assert_eq!((&whole["stop_reason"], &whole["content"][0]["input"]), (&json!("max_tokens"), &json!({})), "{whole}");
    assert!(told(true).contains(r#""partial_json":"{\"city\":""#), "events tell what there is");
}

#[test]
fn the_text_at_which_an_answer_stopped_is_told_where_it_is_the_clients() {
    let said = String::from_utf8(stream(&[HALLO, STOP])).unwrap();
    let of_vllm = |word: &str| said.replace(r#""delta":{},"#, &format!(r#""delta":{{}},"stop_reason":"{word}","#));
    let of_llama = |word: &str| {
        said.replace(
            r#""delta":{},"finish_reason":"stop"}]"#,
            &format!(r#""delta":{{}},"finish_reason":"stop"}}],"__verbose":{{"stopping_word":"{word}"}}"#),
        )
    };
    let ended = |bytes: String| {
        let codec = Message::new("msg_1", "m").stops(&["END".to_owned()]);
        let whole: Value = serde_json::from_str(&told(Box::new(codec), bytes.as_bytes(), &[bytes.len()])).unwrap();
        (whole["stop_reason"].clone(), whole["stop_sequence"].clone())
    };
    let (stopped, over) = ((json!("stop_sequence"), json!("END")), (json!("end_turn"), Value::Null));
    assert_eq!((ended(of_vllm("END")), ended(of_llama("END"))), (stopped.clone(), stopped));
    for other in [of_llama(""), of_llama("<|im_end|>"), of_vllm("</s>"), said.clone()] {
        assert_eq!(ended(other), over, "the engine's own");
    }
}

#[test]
fn llama_server_is_told_what_only_it_knows() {
    let told = |more: &str| {
        let request = Request::parse(format!(r#"{{"model":"m","max_tokens":1{more}}}"#).as_bytes(), false).unwrap();
        let (body, members) = (request.chat("m").unwrap(), request.for_llama());
        let body: Value = serde_json::from_str(&splice::apply_to_text(&scan::object(&body).unwrap(), &members)).unwrap();
        ["continue_final_message", "add_generation_prompt", "response_fields"].map(|key| body[key].clone())
    };
    let user = r#"{"role":"user","content":"What?"}"#;
    let nothing = [Value::Null, Value::Null, Value::Null];
    assert_eq!(told(&format!(r#","messages":[{user}]"#)), nothing);
    let begun = format!(r#","messages":[{user},{{"role":"assistant","content":"The"}}]"#);
    assert_eq!(told(&begun), [json!(true), json!(false), Value::Null], "the answer's beginning is not said again");
    let called =
        format!(r#","messages":[{user},{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f","input":{{}}}}]}}]"#);
    assert_eq!(told(&called), nothing, "a call is no beginning");
    let stops = format!(r#","stop_sequences":["END"],"messages":[{user}]"#);
    assert_eq!(told(&stops), [Value::Null, Value::Null, json!(["stopping_word"])]);
}

#[test]
fn null_is_as_good_as_nothing() {
    let nulls = ["system", "tools", "tool_choice", "stop_sequences", "temperature", "stream", "thinking", "output_config", "output_format"];
    let nulls = nulls.map(|key| format!(r#","{key}":null"#)).concat();
    let bare = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}]}"#;
    assert_eq!(chat(&bare.replace(r#","messages""#, &format!(r#"{nulls},"messages""#))).unwrap(), chat(bare).unwrap());
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
