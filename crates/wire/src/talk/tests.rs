//! What is said comes out the same however it was cut, one block at a time.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::sample::{cut, lengths, transcript};

/// A stream as engines write it, from the choices of its events.
pub(crate) fn stream(choices: &[&str]) -> Vec<u8> {
    let events = choices.iter().map(|choice| format!("data: {{\"id\":\"c\",\"choices\":[{choice}]}}\n\n"));
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2}}}"#;
    format!("{}{usage}\n\ndata: [DONE]\n\n", events.collect::<String>()).into_bytes()
}

pub(crate) const ROLE: &str = r#"{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}"#;
pub(crate) const HALLO: &str = r#"{"index":0,"delta":{"content":"Hällo \"you\""},"finish_reason":null}"#;
pub(crate) const MORE: &str = r#"{"index":0,"delta":{"content":"\n\ud83d\ude00"},"finish_reason":null}"#;
pub(crate) const THINK: &str = r#"{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}"#;
pub(crate) const STOP: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
pub(crate) const LENGTH: &str = r#"{"index":0,"delta":{},"finish_reason":"length"}"#;
/// Two calls whose pieces are mixed, and a third that comes in one piece.
pub(crate) const CALLS: [&str; 6] = [
    r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"weather","arguments":""}}]}}"#,
    r#"{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}"#,
    r#"{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"time","arguments":"{"}},{"index":0,"function":{"arguments":"\"Paris\"}"}}]}}"#,
    r#"{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}}"#,
    r#"{"index":0,"delta":{"tool_calls":[{"index":2,"id":"call_c","function":{"name":"news","arguments":"{\"n\":12345678901234567890}"}}]}}"#,
    r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#,
];

/// Text, tools after it, a stop by length: what each face is shown.
pub(crate) fn plays() -> Vec<(&'static str, Vec<u8>)> {
    let mut tools = vec![ROLE, HALLO];
    tools.extend(CALLS);
    vec![
        ("text", stream(&[ROLE, THINK, HALLO, MORE, STOP])),
        ("tools", stream(&tools)),
        ("length", stream(&[ROLE, HALLO, LENGTH])),
        ("real tools", transcript!("tools.sse").to_vec()),
    ]
}

/// What a codec writes of these bytes; then, if they break off, its last words.
pub(crate) fn told(codec: Box<dyn Codec>, bytes: &[u8], lengths: &[usize]) -> String {
    let mut talk = Talk::new(codec, 5, "seed");
    let mut out = Vec::new();
    let mut to = To { now: Duration::from_millis(250), out: &mut out };
    let mut outcome = cut(bytes, lengths).iter().try_for_each(|chunk| talk.push(chunk, &mut to));
    outcome = outcome.and_then(|()| talk.finish(&mut to));
    if let Err(error) = outcome {
        let message = error.to_string();
        out.push(talk.broken(&Trouble { status: 502, code: Some("upstream_error"), message: &message }));
    }
    out.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
}

/// Everything that a face says, for a snapshot.
pub(crate) fn transcript_of(codec: impl Fn(bool) -> Box<dyn Codec>) -> String {
    let mut all = String::new();
    for (name, bytes) in plays() {
        for stream in [true, false] {
            let said = told(codec(stream), &bytes, &[bytes.len()]);
            writeln!(all, "=== {name}, {}\n{said}", if stream { "stream" } else { "whole" }).unwrap();
        }
    }
    let (cut, _) = transcript!("tools.sse").split_at(900);
    writeln!(all, "=== broken\n{}", told(codec(true), cut, &[cut.len()])).unwrap();
    all
}

#[derive(Debug, Default)]
struct Plain;

impl Codec for Plain {
    fn begin(&mut self, prompt: u64, to: &mut To<'_>) {
        to.out.push(format!("begin {prompt}\n").into());
    }
    fn open(&mut self, block: &Block, to: &mut To<'_>) {
        to.out.push(format!("open {} {:?}\n", block.at, block.part).into());
    }
    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>) {
        assert!(block.text.ends_with(text));
        to.out.push(format!("delta {} {text:?}\n", block.at).into());
    }
    fn close(&mut self, block: &Block, to: &mut To<'_>) {
        to.out.push(format!("close {} {:?}\n", block.at, block.text).into());
    }
    fn end(&mut self, end: &End<'_>, to: &mut To<'_>) {
        to.out.push(format!("end {} {:?} {:?} {}\n", end.reason, end.stop, end.usage, end.blocks.len()).into());
    }
    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        format!("broken {}\n", trouble.message).into()
    }
}

#[test]
fn blocks_open_grow_and_close_one_after_the_other() {
    let all: Vec<String> =
        plays().iter().map(|(name, bytes)| format!("=== {name}\n{}", told(Box::new(Plain), bytes, &[bytes.len()]))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn odd_tool_calls_come_apart() {
    let calls = |pieces: &[&str]| {
        let choices: Vec<String> = pieces.iter().map(|piece| format!(r#"{{"index":0,"delta":{{"tool_calls":[{piece}]}}}}"#)).collect();
        let mut choices: Vec<&str> = choices.iter().map(String::as_str).collect();
        choices.push(STOP);
        let bytes = stream(&choices);
        let said = told(Box::new(Plain), &bytes, &[bytes.len()]);
        let ends = said.lines().filter(|line| line.starts_with("open") || line.starts_with("close"));
        ends.fold(String::new(), |all, line| all + line + "\n")
    };
    let all = [
        (
            "no ids",
            calls(&[r#"{"index":0,"function":{"name":"a","arguments":"{}"}}"#, r#"{"index":1,"function":{"name":"b","arguments":"{}"}}"#]),
        ),
        (
            "no index",
            calls(&[
                r#"{"id":"x","function":{"name":"a","arguments":"{"}}"#,
                r#"{"function":{"arguments":"}"}}"#,
                r#"{"id":"y","function":{"name":"b","arguments":"{}"}}"#,
            ]),
        ),
        (
            "always index 0",
            calls(&[
                r#"{"index":0,"id":"x","function":{"name":"a","arguments":"{}"}}"#,
                r#"{"index":0,"id":"y","function":{"name":"a","arguments":"{}"}}"#,
            ]),
        ),
        (
            "id and name in each",
            calls(&[
                r#"{"index":0,"id":"x","function":{"name":"a","arguments":"{"}}"#,
                r#"{"index":0,"id":"x","function":{"name":"a","arguments":"}"}}"#,
            ]),
        ),
        (
            "name late",
            calls(&[r#"{"index":0,"id":"x","function":{"arguments":""}}"#, r#"{"index":0,"function":{"name":"a","arguments":"{}"}}"#]),
        ),
        ("arguments as an object", calls(&[r#"{"index":0,"id":"x","function":{"name":"a","arguments":{"b":1}}}"#])),
    ];
    insta::assert_snapshot!(all.map(|(name, said)| format!("{name}\n{said}")).join("\n"));
}

#[test]
fn the_prompt_is_known_from_the_first_event_that_tells_it() {
    let progress = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}],\"prompt_progress\":{\"total\":42,\"cache\":0,\"processed\":42}}\n\n";
    assert!(told(Box::new(Plain), progress, &[999]).starts_with("begin 42\n"));
    let usage = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":0}}\n\n";
    assert!(told(Box::new(Plain), usage, &[999]).starts_with("begin 9\n"));
    assert!(told(Box::new(Plain), &stream(&[ROLE, STOP]), &[999]).starts_with("begin 5\n"));
}

#[test]
fn half_a_surrogate_pair_spoils_only_itself() {
    let bytes = stream(&[r#"{"index":0,"delta":{"content":"a\ud83d b\\n"}}"#, STOP]);
    assert!(told(Box::new(Plain), &bytes, &[999]).contains("delta 0 \"a\u{fffd} b\\\\n\""));
}

#[test]
fn an_error_is_an_error_however_it_comes() {
    for event in
        ["data: {\"error\":{\"message\":\"no\"}}\n\n", "event: error\ndata: {\"message\":\"no\"}\n\n", "error: {\"message\":\"no\"}\n"]
    {
        let mut talk = Talk::new(Box::new(Plain), 5, "seed");
        let pushed = talk.push(&Bytes::copy_from_slice(event.as_bytes()), &mut To { now: Duration::ZERO, out: &mut Vec::new() });
        assert!(matches!(pushed, Err(Error::Engine { .. })), "{event}");
        assert!(talk.summary().error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_cutting_tells_the_same(lengths in lengths(), play in 0_usize..4) {
        let (_, bytes) = plays().swap_remove(play);
        let codecs: [fn() -> Box<dyn Codec>; 4] = [
            || Box::new(Plain),
            || Box::new(crate::anthropic::Message::new("msg_1", "m").stream(true).thinks(true)),
            || Box::new(crate::ollama::Lines::new(crate::ollama::Kind::Chat, "m", base::Timestamp::from_millis(0))),
            || crate::responses::tests::codec(true),
        ];
        for codec in codecs {
            prop_assert_eq!(told(codec(), &bytes, &[bytes.len()]), told(codec(), &bytes, &lengths));
        }
    }
}
