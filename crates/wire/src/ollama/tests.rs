//! Lines and objects as Ollama's clients read them; requests as a chat engine does.

use std::time::Duration;

use base::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::openai::Shape;
use crate::talk::tests::{CALLS, LENGTH, stream, told, transcript_of};

const CAME: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn body(kind: Kind, text: &str) -> Result<Value, crate::Error> {
    let request = Request::parse(text.as_bytes())?;
    Ok(serde_json::from_slice(&request.body(kind, "m")?).unwrap())
}

#[test]
fn an_answer_reads_as_lines_or_as_one_object() {
    let load = Duration::from_millis(3);
    insta::assert_snapshot!("chat", transcript_of(|stream| Box::new(Lines::new(Kind::Chat, "m:latest", CAME).stream(stream).load(load))));
    let generate = transcript_of(|stream| Box::new(Lines::new(Kind::Generate, "m", CAME).stream(stream).thinks(false)));
    insta::assert_snapshot!("generate", generate);
    assert!(!generate.contains("thinking"));
    for line in generate.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn a_request_becomes_a_chat() {
    let chat = r#"{"model":"m","think":false,"format":{"type":"object"},"keep_alive":"5m",
        "options":{"num_predict":64,"temperature":0,"top_k":5,"seed":0,"stop":["END"],"num_ctx":8192,"repeat_penalty":1.1},
        "tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}],
        "messages":[
            {"role":"system","content":"Be brief."},
            {"role":"user","content":"What?","images":["/9j/AAAA"]},
            {"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Paris"}}},{"function":{"name":"time","arguments":{}}}]},
            {"role":"tool","content":"noon","tool_name":"time"},
            {"role":"tool","content":"sunny"}
        ]}"#;
    insta::assert_json_snapshot!("chat request", body(Kind::Chat, chat).unwrap());
    let prompt = r#"{"model":"m","prompt":"What?","system":"Be brief.","format":"json","template":"{{ .Prompt }}","think":"high","options":{"num_predict":-1}}"#;
    insta::assert_json_snapshot!("generate request", body(Kind::Generate, prompt).unwrap());
    let raw = Request::parse(br#"{"model":"m","prompt":"What?","raw":true}"#).unwrap();
    assert_eq!(raw.shape(Kind::Generate), Shape::Completions);
    assert_eq!(body(Kind::Generate, r#"{"model":"m","prompt":"What?","raw":true}"#).unwrap()["prompt"], "What?");
}

#[test]
fn null_is_as_good_as_nothing() {
    let nulls = ["messages", "prompt", "system", "suffix", "images", "raw", "stream", "format", "options", "tools", "think", "keep_alive"];
    let nulls = nulls.map(|key| format!(r#","{key}":null"#)).concat();
    let request = Request::parse(format!(r#"{{"model":"m"{nulls}}}"#).as_bytes()).unwrap();
    assert!(request.is_empty(Kind::Chat) && request.is_empty(Kind::Generate));
    let turn = r#"{"model":"m","messages":[{"role":"user","content":null,"images":null,"tool_calls":null,"tool_name":null,"name":null}]}"#;
    assert_eq!(body(Kind::Chat, turn).unwrap()["messages"][0]["content"], "");
}

#[test]
fn a_tools_answer_may_name_it_twice() {
    let chat = r#"{"model":"m","messages":[
        {"role":"assistant","tool_calls":[{"id":"a","function":{"name":"weather"}},{"id":"b","function":{"name":"time"}}]},
        {"role":"tool","content":"noon","name":"time","tool_name":""},
        {"role":"tool","content":"sunny","name":"weather","tool_name":"weather"}]}"#;
    let body = body(Kind::Chat, chat).unwrap();
    assert_eq!((&body["messages"][1]["tool_call_id"], &body["messages"][2]["tool_call_id"]), (&json!("b"), &json!("a")));
}

#[test]
fn whole_numbers_may_be_written_with_a_fraction() {
    let options = |options: &str| body(Kind::Generate, &format!(r#"{{"model":"m","prompt":"a","options":{options}}}"#));
    for (said, most) in [
        ("3", json!(3)),
        ("3.0", json!(3)),
        ("3.9", json!(3)),
        ("0", Value::Null),
        ("0.5", Value::Null),
        ("-1", Value::Null),
        ("-2.0", Value::Null),
        ("null", Value::Null),
    ] {
        assert_eq!(options(&format!(r#"{{"num_predict":{said}}}"#)).unwrap()["max_tokens"], most, "{said}");
    }
    let body = options(r#"{"top_k":40.0,"seed":7.0,"repeat_last_n":-1,"mirostat":2.0,"temperature":0.5,"num_ctx":4096.0}"#).unwrap();
    let told = ["top_k", "seed", "repeat_last_n", "mirostat", "temperature"].map(|key| body[key].clone());
    assert_eq!(told, [json!(40), json!(7), json!(-1), json!(2), json!(0.5)]);
    let error = options(r#"{"num_predict":"many"}"#).unwrap_err();
    assert!(error.param() == Some("options") && error.to_string().contains("num_predict"), "{error}");
}

#[test]
fn a_call_that_broke_off_is_not_told() {
    let bytes = stream(&[CALLS[0], CALLS[1], LENGTH]);
    for streams in [false, true] {
        let said = told(Box::new(Lines::new(Kind::Chat, "m", CAME).stream(streams)), &bytes, &[bytes.len()]);
        assert!(!said.contains("tool_calls") && said.contains(r#""done_reason":"length""#), "{said}");
    }
}

#[test]
fn the_beginning_of_an_answer_is_gone_on_with() {
    let goes_on = |turns: &str| {
        let request = Request::parse(format!(r#"{{"model":"m","messages":[{turns}]}}"#).as_bytes()).unwrap();
        format!("{:?}", request.for_llama(Kind::Chat)).contains("continue_final_message")
    };
    assert!(goes_on(r#"{"role":"user","content":"What?"},{"role":"assistant","content":"The"}"#));
    assert!(!goes_on(r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f"}}]}"#));
    assert!(!goes_on(r#"{"role":"user","content":"What?"}"#));
}

#[test]
fn a_model_stays_as_long_as_its_caller_says() {
    let cases = [
        (json!(null), Some(None)),
        (json!(0), Some(Some(Keep::For(Duration::ZERO)))),
        (json!("0"), Some(Some(Keep::For(Duration::ZERO)))),
        (json!(1.5), Some(Some(Keep::For(Duration::from_millis(1500))))),
        (json!("1h30m"), Some(Some(Keep::For(Duration::from_mins(90))))),
        (json!("250ms"), Some(Some(Keep::For(Duration::from_millis(250))))),
        (json!(-1), Some(Some(Keep::Forever))),
        (json!("-1m"), Some(Some(Keep::Forever))),
        (json!(1e300), Some(Some(Keep::Forever))),
        (json!("soon"), None),
        (json!(""), None),
        (json!("5 parsecs"), None),
        (json!(true), None),
    ];
    for (value, expected) in cases {
        let read = keep_alive(&value);
        assert_eq!(read.as_ref().ok().copied(), expected, "{value}: {read:?}");
        assert!(read.is_ok() || read.unwrap_err().param() == Some("keep_alive"));
    }
}

#[test]
fn what_cannot_be_translated_is_named() {
    let cases = [
        (r#"{"prompt":"a"}"#, Some("model")),
        (r#"{"model":"m","prompt":"a","suffix":"b"}"#, Some("suffix")),
        (r#"{"model":"m","prompt":"a","format":"xml"}"#, Some("format")),
        (r#"{"model":"m","prompt":"a","think":7}"#, Some("think")),
        (r#"{"model":"m","prompt":7}"#, None),
    ];
    for (text, param) in cases {
        assert_eq!(body(Kind::Generate, text).unwrap_err().param(), param, "{text}");
    }
    let role = r#"{"model":"m","messages":[{"role":"nobody","content":"a"}]}"#;
    assert_eq!(body(Kind::Chat, role).unwrap_err().param(), Some("messages"));
}

#[test]
fn embeddings_are_told_on_as_they_were_written() {
    let answer =
        br#"{"object":"list","data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1.50,-2e-3]}],"usage":{"prompt_tokens":4}}"#;
    let write = |old| {
        let embedded = Embedded { model: "m".to_owned(), old };
        String::from_utf8(embedded.write(answer, Duration::from_nanos(9), Duration::ZERO).unwrap().to_vec()).unwrap()
    };
    assert_eq!(
        write(false),
        r#"{"model":"m","embeddings":[[1.50,-2e-3],[3,4]],"total_duration":9,"load_duration":0,"prompt_eval_count":4}"#
    );
    assert_eq!(write(true), r#"{"embedding":[1.50,-2e-3]}"#);
    assert!(Embed::parse(br#"{"model":"m"}"#, false).is_err() && Embed::parse(br#"{"model":"m","input":[]}"#, false).unwrap().is_empty());
    let body: Value = serde_json::from_slice(&Embed::parse(br#"{"model":"m","prompt":"a"}"#, true).unwrap().body("n")).unwrap();
    assert_eq!(body, json!({ "model": "n", "input": "a", "encoding_format": "float" }));
}
