//! Responses and their events as OpenAI's clients read them; requests as a chat engine does.

use serde_json::Value;

use super::*;
use crate::talk::Codec;
use crate::talk::tests::{CALLS, LENGTH, stream, told, transcript_of};

pub(crate) fn codec(stream: bool) -> Box<dyn Codec> {
    let request = Request::parse(br#"{"model":"m","input":"hi","metadata":{"a":"b"},"temperature":0.5}"#).unwrap();
    Box::new(Events::new(Object::new(&request, "resp_0", 1), stream))
}

fn chat(body: &str) -> Result<Value, crate::Error> {
    let request = Request::parse(body.as_bytes())?;
    let items = request.items()?;
    Ok(serde_json::from_slice(&request.chat("m", &items)?).unwrap())
}

#[test]
fn an_answer_reads_as_a_response_or_as_its_events() {
    insta::assert_snapshot!(transcript_of(codec));
}

#[test]
fn every_event_has_the_next_number_and_the_name_that_its_data_has() {
    let said = transcript_of(codec);
    let tools = said.split("=== tools, stream").nth(1).unwrap().split("===").next().unwrap();
    let mut expected = 0;
    for event in tools.trim().split("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["sequence_number"], expected, "{event}");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        expected += 1;
    }
    assert!(expected > 20 && !tools.contains("[DONE]"));
}

#[test]
fn what_broke_off_is_incomplete_and_what_came_before_is_not() {
    let bytes = stream(&[
        CALLS[0],
        CALLS[1],
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"b","function":{"name":"f","arguments":"{"}}]}}"#,
        LENGTH,
    ]);
    let whole: Value = serde_json::from_str(&told(codec(false), &bytes, &[bytes.len()])).unwrap();
    let standing: Vec<&str> = whole["output"].as_array().unwrap().iter().filter_map(|item| item["status"].as_str()).collect();
    assert_eq!((whole["status"].as_str(), standing), (Some("incomplete"), vec!["completed", "incomplete"]), "{whole}");
    assert!(told(codec(true), &bytes, &[bytes.len()]).contains(r#"{"id":"fc_001","type":"function_call","status":"incomplete""#));
}

#[test]
fn a_request_becomes_a_chat() {
    let body = r#"{"model":"m","instructions":"Be brief.","max_output_tokens":64,"temperature":0,"top_p":0.5,"user":"u",
        "reasoning":{"effort":"low"},"parallel_tool_calls":false,"tool_choice":{"type":"function","name":"weather"},
        "tools":[{"type":"function","name":"weather","description":"d","parameters":{"type":"object"},"strict":true}],
        "text":{"format":{"type":"json_schema","name":"s","schema":{"type":"object"},"strict":true}},
        "input":[
            {"role":"developer","content":"Rules."},
            {"role":"user","content":[{"type":"input_text","text":"What?"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]},
            {"type":"reasoning","id":"rs_1","summary":[]},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Let me see.","annotations":[]}]},
            {"type":"function_call","call_id":"c1","name":"weather","arguments":"{}"},
            {"type":"function_call","call_id":"c2","name":"weather","arguments":"{}"},
            {"type":"function_call_output","call_id":"c1","output":"sunny"},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"rainy"}]}
        ]}"#;
    insta::assert_json_snapshot!(chat(body).unwrap());
}

#[test]
fn what_cannot_be_translated_is_named() {
    let with = |more: &str| format!(r#"{{"model":"m","input":"a"{more}}}"#);
    let cases = [
        (r#"{"model":"m"}"#.to_owned(), Some("input")),
        (r#"{"input":"a"}"#.to_owned(), Some("model")),
        (r#"{"model":"m","input":7}"#.to_owned(), Some("input")),
        (r#"{"model":"m","input":[]}"#.to_owned(), Some("input")),
        (r#"{"model":"m","input":[{"type":"item_reference","id":"x"}]}"#.to_owned(), Some("input")),
        (r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}"#.to_owned(), Some("input")),
        (with(r#","tools":[{"type":"web_search"}]"#), Some("tools")),
        (with(r#","tool_choice":"perhaps""#), Some("tool_choice")),
        (with(r#","text":{"format":{"type":"xml"}}"#), Some("text")),
        (with(r#","conversation":"conv_1""#), Some("conversation")),
        (with(r#","prompt":{"id":"p"}"#), Some("prompt")),
        (with(r#","background":true,"stream":true"#), Some("background")),
        (with(r#","background":true,"store":false"#), Some("background")),
        (with(r#","top_logprobs":3"#), Some("top_logprobs")),
        (with(r#","temperature":"hot""#), None),
    ];
    for (body, param) in cases {
        let error = chat(&body).unwrap_err();
        assert_eq!(error.param(), param, "{body}: {error}");
    }
}
