//! Which bytes of an event have to change?
//!
//! In: one event and what the client asked for. Out: the new text, or nothing if it may stay as it is. Fails: never.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::Wish;
use super::calls::Calls;
use crate::chunk::{Choice, Chunk};
use crate::openai::Shape;
use crate::scan::{self, Kind};
use crate::splice::{self, Edit};

/// What one event must become; `None` if it is right as it came.
pub(super) fn chunk(chunk: &Chunk<'_>, wish: Wish, roles: &BTreeSet<u64>, calls: &mut Calls) -> Option<String> {
    let mut edits = Vec::new();
    if let Some(choices) = choices(chunk, wish.shape, roles, calls) {
        edits.push(Edit::raw("choices", choices));
    }
    if wish.shape == Shape::Completions && chunk.scan.str("object").is_some_and(|object| object == Shape::Chat.chunk_object()) {
        edits.push(Edit::text("object", wish.shape.chunk_object()));
    }
    match (wish.usage, chunk.scan.get("usage")) {
        (true, Some(member)) if member.kind == Kind::Null => {}
        (true, _) => edits.push(Edit::raw("usage", "null")),
        (false, Some(_)) => edits.push(Edit::remove("usage")),
        (false, None) => {}
    }
    (!edits.is_empty()).then(|| splice::apply_to_text(&chunk.scan, &edits))
}

/// The list of choices, if one of them has to change.
fn choices(chunk: &Chunk<'_>, shape: Shape, roles: &BTreeSet<u64>, calls: &mut Calls) -> Option<String> {
    let edited: Vec<Option<String>> = chunk.choices.iter().map(|choice| edit(choice, shape, roles, calls)).collect();
    if edited.iter().all(Option::is_none) {
        return None;
    }
    let texts: Vec<&str> =
        chunk.choices.iter().zip(&edited).map(|(choice, edited)| edited.as_deref().unwrap_or(choice.scan.text())).collect();
    Some(format!("[{}]", texts.join(",")))
}

fn edit(choice: &Choice<'_>, shape: Shape, roles: &BTreeSet<u64>, calls: &mut Calls) -> Option<String> {
    let mut edits = Vec::new();
    if choice.scan.value("finish_reason") == Some("\"\"") {
        edits.push(Edit::raw("finish_reason", "null"));
    }
    if let Some(delta) = &choice.delta {
        if shape == Shape::Completions {
            if choice.scan.get("text").is_none() {
                edits.push(Edit::raw("text", choice.text().unwrap_or("\"\"")));
            }
            edits.push(Edit::remove("delta"));
        } else {
            let mut within = Vec::new();
            if roles.contains(&choice.index) && has_role(choice) {
                within.push(Edit::remove("role"));
            }
            if let Some(fragments) = calls.put_right(choice.index, delta) {
                within.push(Edit::raw("tool_calls", fragments));
            }
            if !within.is_empty() {
                edits.push(Edit::raw("delta", splice::apply_to_text(delta, &within)));
            }
        }
    }
    if shape == Shape::Chat
        && let Some(logprobs) = choice.scan.object("logprobs")
    {
        if logprobs.is_null("content") {
            edits.push(Edit::raw("logprobs", splice::apply_to_text(&logprobs, &[Edit::raw("content", "[]")])));
        } else if let Some(listed) = listed(logprobs.text()) {
            edits.push(Edit::raw("logprobs", listed));
        }
    }
    (!edits.is_empty()).then(|| splice::apply_to_text(&choice.scan, &edits))
}

/// With a list where an engine says null for no other tokens. A quotation mark within a string is
/// escaped, so what is found is the member itself.
fn listed(logprobs: &str) -> Option<String> {
    const NULLS: [&str; 2] = ["\"top_logprobs\":null", "\"top_logprobs\": null"];
    let has_null = NULLS.iter().any(|null| logprobs.contains(null));
    has_null.then(|| NULLS.iter().fold(logprobs.to_owned(), |text, null| text.replace(null, "\"top_logprobs\":[]")))
}

/// True when the delta names a role.
pub(super) fn has_role(choice: &Choice<'_>) -> bool {
    choice.delta.as_ref().and_then(|delta| delta.get("role")).is_some_and(|member| member.kind == Kind::String)
}

/// An event whose data is an object without `usage`, with `"usage":null` as its last member.
pub(super) fn with_null_usage(data: &[u8]) -> Bytes {
    let open = data.strip_suffix(b"}").unwrap_or(data);
    let mut out = BytesMut::with_capacity(data.len() + 24);
    for line in [b"data: ".as_slice(), open, b",\"usage\":null}\n\n"] {
        out.put_slice(line);
    }
    out.freeze()
}

/// Members that name the call rather than tell of it; they stand in the last chunk too.
const NAMES: [&str; 5] = ["id", "created", "model", "system_fingerprint", "service_tier"];

/// The chunk with no choices and the usage, made from another chunk of the same stream.
pub(super) fn last_chunk(model: &[u8], shape: Shape, usage: &str) -> String {
    let Ok(scan) = scan::object(model) else { return format!("{{\"choices\":[],\"usage\":{usage}}}") };
    if scan.value("choices").is_some_and(|choices| choices.bytes().all(|byte| b"[] \t\r\n".contains(&byte))) {
        return splice::apply_to_text(&scan, &[Edit::raw("usage", usage)]);
    }
    let mut text = String::from("{");
    for (key, value) in NAMES.iter().filter_map(|key| Some((key, scan.value(key)?))) {
        let _ = write!(text, "\"{key}\":{value},");
    }
    let _ = write!(text, "\"object\":\"{}\",\"choices\":[],\"usage\":{usage}}}", shape.chunk_object());
    text
}
