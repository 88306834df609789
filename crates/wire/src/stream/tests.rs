//! Does the client see one stream, whatever stream the engine sends?

use bytes::Bytes;
use proptest::prelude::*;

use super::{Filter, Outcome, Wish};
use crate::Error;
use crate::openai::{Shape, Usage};
use crate::sample::{self, transcript};

const PLAIN: Wish = Wish { usage: false, shape: Shape::Chat };
const USAGE: Wish = Wish { usage: true, shape: Shape::Chat };

struct Seen {
    text: String,
    outcome: Outcome,
    filter: Filter,
}

fn see(filter: Filter, chunks: &[Bytes]) -> Seen {
    let mut filter = filter;
    let mut out = Vec::new();
    for chunk in chunks {
        filter.push(chunk, &mut out).unwrap();
    }
    let outcome = filter.finish(&mut out);
    Seen { text: String::from_utf8(out.concat()).unwrap(), outcome, filter }
}

fn seen(wish: Wish, stream: &str) -> Seen {
    see(Filter::new(wish), &[Bytes::copy_from_slice(stream.as_bytes())])
}

fn golden(wish: Wish, stream: &'static [u8]) -> String {
    let Seen { text, outcome, filter } = see(Filter::new(wish), &[Bytes::from_static(stream)]);
    format!("{text}{outcome:?} {:#?}", filter.summary())
}

fn chat(choice: &str) -> String {
    format!("data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{choice}]}}\n\n")
}

const ROLE: &str = r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#;
const WORD: &str = r#"{"index":0,"delta":{"content":"a"},"finish_reason":null}"#;
const STOP: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn real_streams_become_what_the_client_asked_for() {
    let completions = Wish { shape: Shape::Completions, ..PLAIN };
    insta::assert_snapshot!("chat", golden(PLAIN, transcript!("chat.sse")));
    insta::assert_snapshot!("chat_usage_unasked", golden(PLAIN, transcript!("chat-usage.sse")));
    insta::assert_snapshot!("chat_usage", golden(USAGE, transcript!("chat-usage.sse")));
    insta::assert_snapshot!("chat_two_choices", golden(USAGE, transcript!("chat-n2.sse")));
    insta::assert_snapshot!("tools", golden(PLAIN, transcript!("tools.sse")));
    insta::assert_snapshot!("completions", golden(completions, transcript!("completions.sse")));
    insta::assert_snapshot!("completions_usage", golden(Wish { usage: true, ..completions }, transcript!("completions.sse")));
}

#[test]
fn a_stream_that_needs_nothing_passes_byte_for_byte() {
    let stream = transcript!("chat.sse");
    assert_eq!(see(Filter::new(PLAIN), &[Bytes::from_static(stream)]).text.as_bytes(), stream);
}

#[test]
fn a_usage_nobody_asked_for_is_taken_out() {
    let null = STOP.replace("\"stop\"}", "\"stop\"}],\"usage\":null,\"x\":[1");
    let usage = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let Seen { text, outcome, filter } = seen(PLAIN, &format!("{}{}{usage}\n\n{DONE}", chat(ROLE), chat(&null)));
    assert!(!text.contains("usage"), "{text}");
    assert!(text.contains(r#""x":[1]"#));
    assert_eq!((outcome, filter.summary().usage), (Outcome::Done, Some(Usage::new(1, 2))));
}

#[test]
fn a_usage_on_the_last_choice_moves_to_a_chunk_of_its_own() {
    let last =
        chat(&STOP.replace("\"stop\"}", "\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3},\"x\":[1"));
    let Seen { text, .. } = seen(USAGE, &format!("{}{}{last}{DONE}", chat(ROLE), chat(WORD)));
    insta::assert_snapshot!(text);
}

#[test]
fn usages_of_several_prompts_come_as_one() {
    let wish = Wish { usage: true, shape: Shape::Completions };
    let ended = |index: u64, prompt: u64| {
        let usage = Usage::new(prompt, 3).to_json();
        let choice = format!(r#"{{"text":"a","index":{index},"finish_reason":"length"}}"#);
        chat(&choice).replace("]}\n\n", &format!("],\"usage\":{usage}}}\n\n"))
    };
    let stream = [ended(1, 200), ended(0, 100), ended(2, 300), DONE.to_owned()].concat();
    let Seen { text, filter, .. } = see(Filter::new(wish).prompts(3), &[Bytes::from(stream)]);
    assert_eq!(filter.summary().usage, Some(Usage::new(600, 9)));
    assert!(text.contains(&format!(r#""choices":[],"usage":{}"#, Usage::new(600, 9).to_json())), "{text}");
}

#[test]
fn an_engine_without_usage_is_counted_for() {
    let stream = format!("{}{}{}{}{DONE}", chat(ROLE), chat(WORD), chat(WORD), chat(STOP));
    let chunks = [Bytes::from(stream.clone())];
    let Seen { text, filter, .. } = see(Filter::new(USAGE).prompt_estimate(9), &chunks);
    assert!(text.contains(r#""choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"#), "{text}");
    assert_eq!(filter.summary().usage, None, "the account must know that the engine did not count");
    assert!(!seen(USAGE, &stream).text.contains("\"choices\":[]"), "nothing is made up");
}

#[test]
fn the_role_stands_in_the_first_delta_of_each_choice_only() {
    let again = WORD.replace("{\"content\"", "{\"role\":\"assistant\",\"content\"");
    let second = again.replace("\"index\":0", "\"index\":1");
    let Seen { text, .. } = seen(PLAIN, &[chat(ROLE), chat(&again), chat(&second), chat(&second)].concat());
    assert_eq!(text.matches("\"role\"").count(), 2, "{text}");
    assert_eq!(text.matches("\"content\":\"a\"").count(), 3, "{text}");
}

#[test]
fn an_empty_finish_reason_is_null() {
    let empty = WORD.replace("null", "\"\"");
    let Seen { text, outcome, .. } = seen(PLAIN, &[chat(ROLE), chat(&empty)].concat());
    assert!(text.ends_with(&chat(WORD)), "{text}");
    assert_eq!(outcome, Outcome::Cut, "an empty reason is no reason");
}

#[test]
fn there_is_exactly_one_done() {
    let stream = [chat(ROLE), chat(STOP)].concat();
    let done_twice = format!("{stream}{DONE}{DONE}{}", chat(WORD));
    for stream in [stream.clone(), format!("{stream}{DONE}"), done_twice, format!("{stream}data: [DONE]")] {
        let Seen { text, outcome, .. } = seen(PLAIN, &stream);
        assert_eq!((text.matches("[DONE]").count(), outcome), (1, Outcome::Done), "{text}");
        assert!(text.ends_with(DONE));
    }
}

#[test]
fn an_end_without_a_reason_is_a_cut() {
    let open = chat(&STOP.replace("\"index\":0", "\"index\":1"));
    for stream in [String::new(), chat(ROLE), [chat(ROLE), chat(WORD)].concat(), [chat(ROLE), open].concat()] {
        let Seen { text, outcome, .. } = seen(PLAIN, &stream);
        assert_eq!(outcome, Outcome::Cut);
        assert!(!text.contains("[DONE]"));
    }
}

#[test]
fn an_error_ends_the_stream_without_done() {
    let errors = [
        "data: {\"error\":{\"code\":500,\"message\":\"out of memory\",\"type\":\"server_error\"}}\n\n",
        "event: error\ndata: {\"message\":\"out of memory\",\"type\":\"server_error\"}\n\n",
        "error: {\"message\":\"out of memory\",\"type\":\"server_error\"}\n\n",
    ];
    let told = "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";
    for error in errors {
        let Seen { text, outcome, filter } = seen(PLAIN, &format!("{}{error}{}{DONE}", chat(ROLE), chat(STOP)));
        assert_eq!((text, outcome), ([chat(ROLE), told.to_owned()].concat(), Outcome::Failed));
        assert!(filter.summary().error);
    }
    let null = chat(&WORD.replace("\"a\"}", "\"a\"},\"error\":null"));
    assert_eq!(seen(PLAIN, &[chat(ROLE), null, chat(STOP)].concat()).outcome, Outcome::Done);
}

#[test]
fn words_in_the_text_are_not_taken_for_members() {
    let talk = WORD.replace("\"a\"", r#""\"usage\":{},\"error\":{},\"finish_reason\":\"stop\",\"role\"""#);
    let stream = [chat(ROLE), chat(&talk)].concat();
    let Seen { text, outcome, .. } = seen(PLAIN, &stream);
    assert_eq!((text, outcome), (stream, Outcome::Cut));
}

#[test]
fn a_delta_on_the_completions_path_becomes_text() {
    let wish = Wish { usage: false, shape: Shape::Completions };
    let Seen { text, outcome, .. } = seen(wish, &[chat(ROLE), chat(WORD), chat(STOP)].concat());
    insta::assert_snapshot!(text);
    assert_eq!(outcome, Outcome::Done);
}

#[test]
fn an_event_that_is_not_json_is_let_through() {
    let stream = format!("{}data: {{broken\n\n{}", chat(ROLE), chat(STOP));
    let Seen { text, outcome, .. } = seen(PLAIN, &stream);
    assert_eq!((text, outcome), (format!("{stream}{DONE}"), Outcome::Done));
}

#[test]
fn single_newlines_crlf_and_comments_come_out_as_plain_events() {
    let plain = [chat(ROLE), chat(WORD), chat(STOP), DONE.to_owned()].concat();
    for odd in
        [plain.replace("\n\n", "\n"), plain.replace('\n', "\r\n"), plain.replace("data: ", ": ping\n\ndata:"), format!("data:\n\n{plain}")]
    {
        assert_eq!(seen(PLAIN, &odd).text, plain);
    }
}

#[test]
fn an_event_over_several_lines_gets_its_usage_too() {
    let lines = chat(WORD).replace(",\"model\"", "\ndata: ,\"model\"");
    let stream = [chat(ROLE), lines.clone(), chat(STOP)].concat();
    assert_eq!(seen(PLAIN, &stream).text, format!("{stream}{DONE}"));
    let changed = lines.replace("}\n\n", ",\"usage\":null}\n\n");
    assert!(seen(USAGE, &stream).text.contains(&changed));
}

#[test]
fn more_choices_than_the_limit_are_an_error() {
    let mut filter = Filter::new(PLAIN);
    let stream: String = (0..2000).map(|index| chat(&format!("{{\"index\":{index},\"delta\":{{}}}}"))).collect();
    let error = filter.push(&Bytes::from(stream), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::TooManyChoices { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_gives_the_same_stream(lengths in sample::lengths(), usage: bool) {
        let wish = Wish { usage, shape: Shape::Chat };
        for stream in [transcript!("chat-n2.sse"), transcript!("tools.sse")] {
            let whole = see(Filter::new(wish), &[Bytes::from_static(stream)]);
            let cut = see(Filter::new(wish), &sample::cut(stream, &lengths));
            prop_assert_eq!(cut.text, whole.text);
            prop_assert_eq!(cut.filter.summary(), whole.filter.summary());
        }
    }

    #[test]
    fn the_short_way_and_the_long_way_agree(content in sample::value_in_a_line()) {
        // Space after a colon keeps an event off the short way; what comes out must be the same JSON.
        let word = WORD.replace("\"a\"", &content);
        let compact = seen(USAGE, &[chat(ROLE), chat(&word), chat(STOP)].concat());
        let spaced = seen(USAGE, &[chat(ROLE), chat(&word.replace("\"index\":0", "\"index\": 0")), chat(STOP)].concat());
        prop_assert_eq!(compact.text, spaced.text.replace("\"index\": 0", "\"index\":0"));
    }
}

/// What becomes of these deltas' `tool_calls`.
fn tool_calls(pieces: &[&str]) -> Vec<String> {
    let mut filter = Filter::new(Wish { usage: false, shape: Shape::Chat });
    let mut out = Vec::new();
    for piece in pieces {
        let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{piece}]}},\"finish_reason\":null}}]}}\n\n");
        filter.push(&Bytes::from(event), &mut out).unwrap();
    }
    let between = |event: &Bytes| {
        let text = String::from_utf8(event.to_vec()).unwrap();
        text.split_once("\"tool_calls\":[").unwrap().1.split_once("]},\"finish").unwrap().0.to_owned()
    };
    out.iter().map(between).collect()
}

#[test]
fn pieces_of_tool_calls_have_an_index_and_their_name_once() {
    let right = [
        r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}"#,
        r#"{"index":0,"function":{"arguments":"}"}}"#,
    ];
    assert_eq!(tool_calls(&right), right, "as llama-server sends them");
    let repeated = [right[0], r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"}"}}"#];
    assert_eq!(tool_calls(&repeated), right);
    let empty = [right[0], r#"{"index":0,"id":"","type":"function","function":{"name":"","arguments":"}"}}"#];
    assert_eq!(tool_calls(&empty), right);
    let bare = [
        r#"{"id":"a","function":{"name":"f","arguments":"{"}}"#,
        r#"{"function":{"arguments":"}"}}"#,
        r#"{"id":"b","function":{"name":"g","arguments":"{}"}}"#,
    ];
    assert_eq!(
        tool_calls(&bare),
        [
            r#"{"id":"a","function":{"name":"f","arguments":"{"},"index":0,"type":"function"}"#,
            r#"{"function":{"arguments":"}"},"index":0}"#,
            r#"{"id":"b","function":{"name":"g","arguments":"{}"},"index":1,"type":"function"}"#,
        ]
    );
    let always_0 = [right[0], right[1], r#"{"index":0,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}"#, right[1]];
    assert_eq!(
        tool_calls(&always_0)[2..],
        [
            r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}"#.to_owned(),
            right[1].replace("\"index\":0", "\"index\":1")
        ]
    );
}

#[test]
fn log_probabilities_are_a_list() {
    let mut filter = Filter::new(Wish { usage: false, shape: Shape::Chat });
    let mut out = Vec::new();
    let event = |content: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}},\"logprobs\":{{\"content\":{content}}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    for content in ["null", "null", "[]"] {
        filter.push(&Bytes::from(event(content)), &mut out).unwrap();
    }
    assert_eq!(out, [event("[]"), event("[]"), event("[]")]);
}
