//! Do the same events come out of the same bytes, however an engine writes and the network cuts them?

use bytes::Bytes;
use proptest::prelude::*;

use super::{DONE, FRAME_LIMIT, Frame, Scanner, comment, event, named};
use crate::Error;
use crate::sample::{self, transcript};

fn scan(chunks: &[Bytes], limit: usize) -> (Vec<Frame>, bool) {
    let mut scanner = Scanner::new(limit);
    let mut frames = Vec::new();
    for chunk in chunks {
        if scanner.push(chunk, &mut frames).is_err() {
            return (frames, false);
        }
    }
    let last = scanner.finish();
    let ended = last.is_ok();
    frames.extend(last.into_iter().flatten());
    (frames, ended)
}

fn data_of(stream: &str) -> Vec<String> {
    let (frames, _) = scan(&[Bytes::copy_from_slice(stream.as_bytes())], FRAME_LIMIT);
    frames.iter().map(|frame| String::from_utf8(frame.data.to_vec()).unwrap()).collect()
}

#[test]
fn every_way_of_ending_a_line_is_understood() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("data: {{\"a\":1}}{end}{end}data: [DONE]{end}{end}");
        assert_eq!(data_of(&stream), ["{\"a\":1}", "[DONE]"], "{end:?}");
        let lines = ["event: x", "data: {", "data: }", "", ""].join(end);
        let (frames, _) = scan(&[Bytes::from(lines)], FRAME_LIMIT);
        assert_eq!(frames.len(), 1, "{end:?}");
        assert_eq!((frames[0].event.as_deref(), frames[0].data.as_ref()), (Some(b"x".as_slice()), b"{\n}".as_slice()));
    }
}

#[test]
fn comments_ids_and_retries_are_passed_over_and_names_are_kept() {
    let stream = ": ping\n\nid: 7\nretry: 100\nevent: message\ndata:{\"a\":1}\n\n\n\n:\n\n";
    let (frames, _) = scan(&[Bytes::from_static(stream.as_bytes())], FRAME_LIMIT);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].event.as_deref(), Some(b"message".as_slice()));
    assert_eq!(frames[0].to_wire(), "event: message\ndata: {\"a\":1}\n\n");
}

#[test]
fn data_over_several_lines_is_one_event() {
    assert_eq!(data_of("data: {\ndata: \"a\": 1\ndata: }\n\n"), ["{\n\"a\": 1\n}"]);
    assert_eq!(event("a\rb"), "data: a\ndata: b\n\n", "a carriage return would end the line");
    assert_eq!(event("{\n\"a\": 1\n}"), "data: {\ndata: \"a\": 1\ndata: }\n\n");
}

#[test]
fn events_parted_by_one_newline_come_apart_at_once() {
    let mut scanner = Scanner::default();
    let mut frames = Vec::new();
    scanner.push(&Bytes::from_static(b"data: {\"a\":1}\n"), &mut frames).unwrap();
    assert_eq!(frames.len(), 1, "a complete object is not held back until the next line");
    scanner.push(&Bytes::from_static(b"data: {\"a\":2}\ndata: [DONE]\n"), &mut frames).unwrap();
    assert_eq!(frames.len(), 3);
    assert!(frames[2].is_done());
}

#[test]
fn an_older_error_line_is_an_event_named_error() {
    let (frames, _) = scan(&[Bytes::from_static(b"error: {\"message\":\"no\"}\n\n")], FRAME_LIMIT);
    assert_eq!(frames[0].event.as_deref(), Some(b"error".as_slice()));
    assert_eq!(frames[0].data, "{\"message\":\"no\"}");
}

#[test]
fn a_last_event_without_its_blank_line_counts_only_if_it_is_complete() {
    assert_eq!(data_of("data: {\"a\":1}\n\ndata: [DONE]"), ["{\"a\":1}", "[DONE]"]);
    assert_eq!(data_of("data: {\"a\":1}\n\ndata: {\"a\""), ["{\"a\":1}"]);
    assert_eq!(data_of("data: plain\n"), Vec::<String>::new());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    assert_eq!(data_of("\u{feff}data: x\n\n"), ["x"]);
}

#[test]
fn an_event_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"data: {\"a\":1}\n\ndata: [DONE]\n\n");
    let (frames, _) = scan(std::slice::from_ref(&chunk), FRAME_LIMIT);
    assert_eq!(frames[0].data.as_ptr(), chunk[6..].as_ptr());
    assert_eq!(frames[0].to_wire().as_ptr(), chunk.as_ptr());
    assert_eq!(frames[1].to_wire(), DONE);
}

#[test]
fn an_event_over_the_limit_is_an_error() {
    let mut frames = Vec::new();
    let mut scanner = Scanner::new(16);
    let error = scanner.push(&Bytes::from_static(b"data: 0123456789abcdef\n\n"), &mut frames).unwrap_err();
    assert!(matches!(error, Error::FrameTooLarge { limit: 16 }));
    let mut scanner = Scanner::new(16);
    let many = Bytes::from_static(b"data: 01234567\ndata: 01234567\ndata: 01234567\n");
    assert!(scanner.push(&many, &mut frames).is_err());
    let mut scanner = Scanner::new(16);
    assert!(scanner.push(&Bytes::from(vec![b'x'; 17]), &mut frames).is_err(), "a line that never ends");
}

#[test]
fn what_is_written_is_read_again() {
    assert_eq!(comment("ping"), ": ping\n\n");
    assert_eq!(comment("a\nb"), ": a b\n\n");
    let stream = [event("{\"a\":1}"), comment("ping"), named("x", "y"), Bytes::from_static(DONE)].concat();
    let (frames, _) = scan(&[Bytes::from(stream)], FRAME_LIMIT);
    assert_eq!(frames.iter().map(|frame| frame.data.as_ref()).collect::<Vec<_>>(), [b"{\"a\":1}".as_slice(), b"y", b"[DONE]"]);
}

fn line() -> impl Strategy<Value = String> {
    let texts = [
        "data: {\"a\":\"é漢😀\"}",
        "data:{\"b\":[1,2]}",
        "data: {",
        "data: }",
        "data: [DONE]",
        "data:",
        "data",
        "data:  x",
        "event: error",
        "error: {}",
        ": ping",
        "id: 1",
        "",
        "",
        "",
    ];
    (prop::sample::select(texts.to_vec()), prop::sample::select(&["\n", "\n", "\r\n", "\r"][..]))
        .prop_map(|(text, end)| format!("{text}{end}"))
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(
        lines in prop::collection::vec(line(), 0..24),
        tail in "(data: \\{\"z\":1\\}|data: )?",
        lengths in sample::lengths(),
        limit in prop_oneof![Just(FRAME_LIMIT), 8_usize..40],
    ) {
        let stream = lines.concat() + &tail;
        let whole = scan(&[Bytes::copy_from_slice(stream.as_bytes())], limit);
        prop_assert_eq!(scan(&sample::cut(stream.as_bytes(), &lengths), limit), whole);
    }

    #[test]
    fn any_chunking_of_a_real_stream_gives_the_same_frames(lengths in sample::lengths()) {
        let stream = transcript!("chat-logprobs.sse");
        let whole = scan(&[Bytes::from_static(stream)], FRAME_LIMIT);
        prop_assert_eq!(whole.0.len(), 6);
        prop_assert_eq!(scan(&sample::cut(stream, &lengths), FRAME_LIMIT), whole);
    }
}
