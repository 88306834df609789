//! What do the tests feed the room with?
//!
//! Out: JSON objects of every shape that a client may send, in pieces, so that a test can say what an edit must give; the
//! transcripts of a real llama-server; bytes cut anywhere.

use bytes::Bytes;
use proptest::prelude::*;

/// One member and the space around its parts.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) space: [String; 4],
    pub(crate) key: String,
    pub(crate) value: String,
}

/// An object in pieces.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) space: [String; 3],
    pub(crate) pieces: Vec<Piece>,
}

impl Object {
    pub(crate) fn text(&self) -> String {
        let members: Vec<String> =
            self.pieces.iter().map(|Piece { space: [a, b, c, d], key, value }| format!("{a}{key}{b}:{c}{value}{d}")).collect();
        let [before, inside, after] = &self.space;
        let inside = if members.is_empty() { inside } else { "" };
        format!("{before}{{{inside}{}}}{after}", members.join(","))
    }
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn string() -> impl Strategy<Value = String> {
    r#""([a-zA-Zé漢😀 /{}\[\],:]|\\n|\\u0000|\\u00e9|\\ud83d\\ude00|\\ud83d|\\"|\\\\|\\/){0,24}""#
}

fn number() -> impl Strategy<Value = String> {
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?"
}

/// A JSON value of any kind.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), string(), number()];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space()).prop_map(|(values, space)| format!("[{space}{}]", values.join(","))),
            (prop::collection::vec((key(), inner), 0..4), space()).prop_map(|(members, space)| {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{space}{}}}", members.join(", "))
            }),
        ]
    })
}

/// A JSON value that fits into one line of a stream.
pub(crate) fn value_in_a_line() -> impl Strategy<Value = String> {
    value().prop_map(|value| value.replace(['\r', '\n'], " "))
}

/// A quoted key; some are the ones that are spliced, plainly and otherwise written.
pub(crate) fn key() -> impl Strategy<Value = String> {
    let known = [r#""model""#, r#""mod\u0065l""#, r#""stream""#, r#""stream_options""#, r#""""#, r#""\u0000""#, r#""Model""#];
    prop_oneof![3 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => string()]
}

/// An object with duplicate keys, escapes, big integers and odd space.
pub(crate) fn object() -> impl Strategy<Value = Object> {
    let piece = ([space(), space(), space(), space()], key(), value()).prop_map(|(space, key, value)| Piece { space, key, value });
    ([space(), space(), space()], prop::collection::vec(piece, 0..8)).prop_map(|(space, pieces)| Object { space, pieces })
}

/// The same bytes in chunks, cut after these lengths in turn.
pub(crate) fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle().take(bytes.len() + 1) {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to((*length).clamp(1, rest.len())));
    }
    chunks
}

/// Lengths for [`cut`].
pub(crate) fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![2 => 1_usize..8, 1 => 8_usize..600], 1..12)
}

/// A stream or an answer that a real llama-server gave to the tiny model's questions.
macro_rules! transcript {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/", $name)).as_slice()
    };
}
pub(crate) use transcript;
