//! How does one reply become a stream?
//!
//! In: a reply that an engine sent in one piece though it was asked for a stream. Out: the events that it would have sent: one for each
//! choice, one with the usage, the end. Fails: when it is no such reply. No field is lost and nothing is decoded: values go over
//! as they are written, big integers and escapes included. It is the other way round from [`fold`](crate::fold).

#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};

use crate::Error;
use crate::openai::Shape;
use crate::scan::{self, Kind, Scan};
use crate::splice::{self, Edit};
use crate::sse;

/// True when what begins so is one piece, of JSON or of HTML: no line of a stream of events begins like them.
pub fn is_whole(start: &[u8]) -> bool {
    matches!(start.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'))
}

/// The reply as a stream.
pub fn unfold(shape: Shape, reply: &[u8]) -> Result<Bytes, Error> {
    let scan = scan::object(reply).map_err(|_not_json| Error::NoStream)?;
    if scan.get("error").is_some_and(|error| error.kind != Kind::Null) {
        return Ok(event(scan.text()));
    }
    let choices = scan.get("choices").filter(|choices| choices.kind == Kind::Array).ok_or(Error::NoStream)?;
    let choices = scan::array_in(scan.raw(choices)).map_err(|_not_json| Error::NoStream)?;
    let top = top(shape, &scan);
    let mut stream = BytesMut::new();
    for (at, (choice, _)) in choices.into_iter().enumerate() {
        let choice = scan::object_in(choice).map_err(|_no_object| Error::NoStream)?;
        stream.extend_from_slice(&event(&format!("{{{top}\"choices\":[{}]}}", one(shape, at, &choice))));
    }
    if let Some(usage) = scan.get("usage").filter(|usage| usage.kind != Kind::Null) {
        stream.extend_from_slice(&event(&format!("{{{top}\"choices\":[],\"usage\":{}}}", scan.raw(usage))));
    }
    stream.extend_from_slice(sse::DONE);
    Ok(stream.freeze())
}

/// In one line: no string holds an end of line, so what is lost is space.
fn event(data: &str) -> Bytes {
    if data.contains(['\n', '\r']) { sse::event(data.replace(['\n', '\r'], " ")) } else { sse::event(data) }
}

/// What stands in every event.
fn top(shape: Shape, scan: &Scan<'_>) -> String {
    let mut top = format!("\"object\":\"{}\",", shape.chunk_object());
    for member in scan.members() {
        if !["object", "choices", "usage", "error"].iter().any(|key| scan.is(*member, key)) {
            top.extend([scan.raw_key(*member), ":", scan.raw(*member), ","]);
        }
    }
    top
}

fn one(shape: Shape, at: usize, choice: &Scan<'_>) -> String {
    let mut edits = Vec::new();
    if choice.get("index").is_none() {
        edits.push(Edit::raw("index", at.to_string()));
    }
    if shape == Shape::Chat
        && let Some(message) = choice.object("message")
    {
        edits.extend([Edit::remove("message"), Edit::raw("delta", delta(&message))]);
    }
    splice::apply_to_text(choice, &edits)
}

/// A message as the piece of it that is all of it: its tool calls are counted.
fn delta(message: &Scan<'_>) -> String {
    let calls = message.get("tool_calls").filter(|calls| calls.kind == Kind::Array);
    let Some(calls) = calls.and_then(|calls| scan::array_in(message.raw(calls)).ok()) else { return message.text().to_owned() };
    let calls = calls.into_iter().enumerate().map(|(at, (call, _))| match scan::object_in(call) {
        Ok(call) if call.get("index").is_none() => splice::apply_to_text(&call, &[Edit::raw("index", at.to_string())]),
        _ => call.to_owned(),
    });
    let calls = calls.collect::<Vec<_>>().join(",");
    splice::apply_to_text(message, &[Edit::raw("tool_calls", format!("[{calls}]"))])
}
