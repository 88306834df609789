//! Are an engine's embeddings written as the client wants them?
//!
//! In: the body of an embeddings reply; whether base64 was asked for. Out: nothing if it may stay as it is (the usual
//! case costs one scan), else a new body: each vector as numbers or as base64 of little-endian 32-bit floats, in the order
//! of `index`. Fails: when the reply is none. From: OpenAI's client libraries, which ask for base64 unless told otherwise,
//! and of which the one for Node reads numbers as garbage without a word.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::Error;
use crate::scan::{self, Kind, Scan};
use crate::splice::{self, Edit};

/// The body as the client wants it; `None` if it is so already.
pub fn put_right(body: &Bytes, base64: bool) -> Result<Option<Bytes>, Error> {
    let reply = scan::object(body).map_err(Error::Event)?;
    let Some(data) = reply.get("data").filter(|data| data.kind == Kind::Array) else { return Ok(None) };
    let mut rows = Vec::new();
    for (text, _) in scan::array_in(reply.raw(data)).map_err(Error::Event)? {
        rows.push(scan::object_in(text).map_err(Error::Event)?);
    }
    let index = |row: &Scan<'_>| row.u64("index").unwrap_or(0);
    let wanted = if base64 { Kind::String } else { Kind::Array };
    let is_wanted = |row: &Scan<'_>| row.get("embedding").is_none_or(|vector| vector.kind == wanted);
    if rows.is_sorted_by_key(index) && rows.iter().all(is_wanted) {
        return Ok(None);
    }
    rows.sort_by_key(index);
    let texts: Vec<String> = rows.iter().map(|row| converted(row, base64)).collect();
    let edit = Edit::raw("data", format!("[{}]", texts.join(",")));
    Ok(Some(splice::apply_to_bytes(body, &reply, &[edit])))
}

fn converted(row: &Scan<'_>, base64: bool) -> String {
    let vector = row.get("embedding").and_then(|vector| match (vector.kind, base64) {
        (Kind::Array, true) => encode(row.raw(vector)),
        (Kind::String, false) => decode(row.raw(vector)),
        _ => None,
    });
    match vector {
        Some(vector) => splice::apply_to_text(row, &[Edit::raw("embedding", vector)]),
        None => row.text().to_owned(),
    }
}

fn encode(numbers: &str) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(numbers).ok()?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Some(format!("\"{}\"", STANDARD.encode(bytes)))
}

fn decode(quoted: &str) -> Option<String> {
    let bytes = STANDARD.decode(scan::decode(quoted)?.as_bytes()).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if rest.is_empty() { serde_json::to_string(&numbers).ok() } else { None }
}
