//! A call as a line of text: what the journal keeps, and the pages of the database after it.
//!
//! In: a [`Usage`]. Out: a JSON array, so that a person can read it and it is short; and back, with texts that
//! are borrowed where nothing in them is escaped. Fails: on a text that is none. Written by hand, since
//! every call pays for it; the tests hold it to what `serde_json` writes and reads.

mod plain;
mod quick;

use std::borrow::Cow;
use std::fmt;

use base::Timestamp;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use spec::{Ending, Usage, Usd};

/// A call whose texts stand elsewhere.
pub(crate) type Read<'a> = Usage<Cow<'a, str>>;

/// Bytes that a line seldom exceeds.
const USUAL: usize = 320;

/// Appends the call's text.
pub(crate) fn encode<S: AsRef<str>>(call: &Usage<S>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    out.reserve(USUAL);
    out.push(b'[');
    number(out, call.at.as_millis());
    text(out, Some(&call.request_id))?;
    text(out, call.token.as_ref())?;
    text(out, call.project.as_ref())?;
    text(out, Some(&call.model))?;
    text(out, call.deployment.as_ref())?;
    text(out, call.instance.as_ref())?;
    text(out, Some(&call.operation))?;
    number(out, call.status);
    text(out, Some(call.ending.as_str()))?;
    text(out, call.error.as_ref())?;
    number(out, call.prompt_tokens);
    number(out, call.cached_tokens);
    number(out, call.completion_tokens);
    number(out, call.reasoning_tokens);
    number(out, u8::from(call.estimated));
    number(out, call.cost.0);
    number(out, call.duration_ms);
    match call.first_byte_ms {
        Some(ms) => number(out, ms),
        None => out.extend_from_slice(NONE),
    }
    number(out, call.wait_ms);
    number(out, call.retries);
    // Each member brought a comma; behind the last one the line ends.
    if let Some(last) = out.last_mut() {
        *last = b']';
    }
    Ok(())
}

const NONE: &[u8] = b"null,";

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.push(b',');
}

fn text<S: AsRef<str>>(out: &mut Vec<u8>, text: Option<S>) -> Result<(), serde_json::Error> {
    let Some(text) = text else {
        out.extend_from_slice(NONE);
        return Ok(());
    };
    let text = text.as_ref();
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(&mut *out, text)?;
    }
    out.push(b',');
    Ok(())
}

/// Whether JSON writes the text as it is.
pub(super) fn is_plain(text: &str) -> bool {
    plain::end(text.as_bytes()) == text.len()
}

/// Reads a call.
pub(crate) fn decode(text: &str) -> Result<Read<'_>, serde_json::Error> {
    quick::decode(text).map_or_else(|| decode_any(text), Ok)
}

fn decode_any(text: &str) -> Result<Read<'_>, serde_json::Error> {
    serde_json::from_str::<Line<'_>>(text).map(Line::read)
}

/// Reads the calls of a page, which are such lines in an array; none where it has a `0`.
pub(super) fn decode_page(body: &str) -> Result<Vec<Option<Read<'_>>>, serde_json::Error> {
    let slots: Vec<Slot<'_>> = serde_json::from_str(body)?;
    Ok(slots.into_iter().map(|slot| slot.0.map(Line::read)).collect())
}

/// The same call with texts of its own.
pub(super) fn owned(call: Read<'_>) -> Usage {
    Usage {
        request_id: call.request_id.into_owned(),
        at: call.at,
        token: call.token.map(Cow::into_owned),
        project: call.project.map(Cow::into_owned),
        model: call.model.into_owned(),
        deployment: call.deployment.map(Cow::into_owned),
        instance: call.instance.map(Cow::into_owned),
        operation: call.operation.into_owned(),
        status: call.status,
        ending: call.ending,
        error: call.error.map(Cow::into_owned),
        prompt_tokens: call.prompt_tokens,
        cached_tokens: call.cached_tokens,
        completion_tokens: call.completion_tokens,
        reasoning_tokens: call.reasoning_tokens,
        estimated: call.estimated,
        cost: call.cost,
        duration_ms: call.duration_ms,
        first_byte_ms: call.first_byte_ms,
        wait_ms: call.wait_ms,
        retries: call.retries,
    }
}

#[derive(Deserialize)]
struct Line<'a>(
    i64,                               // at
    #[serde(borrow)] Text<'a>,         // request id
    #[serde(borrow)] Option<Text<'a>>, // token
    #[serde(borrow)] Option<Text<'a>>, // project
    #[serde(borrow)] Text<'a>,         // model
    #[serde(borrow)] Option<Text<'a>>, // deployment
    #[serde(borrow)] Option<Text<'a>>, // instance
    #[serde(borrow)] Text<'a>,         // operation
    u16,                               // status
    Ending,
    #[serde(borrow)] Option<Text<'a>>, // error
    u64,                               // prompt tokens
    u64,                               // cached tokens
    u64,                               // completion tokens
    u64,                               // reasoning tokens
    u8,                                // estimated
    u64,                               // cost, in billionths of a dollar
    u64,                               // duration in ms
    Option<u64>,                       // first byte in ms
    u64,                               // wait in ms
    u32,                               // retries
);

impl<'a> Line<'a> {
    fn read(self) -> Read<'a> {
        Usage {
            at: Timestamp::from_millis(self.0),
            request_id: self.1.0,
            token: self.2.map(|text| text.0),
            project: self.3.map(|text| text.0),
            model: self.4.0,
            deployment: self.5.map(|text| text.0),
            instance: self.6.map(|text| text.0),
            operation: self.7.0,
            status: self.8,
            ending: self.9,
            error: self.10.map(|text| text.0),
            prompt_tokens: self.11,
            cached_tokens: self.12,
            completion_tokens: self.13,
            reasoning_tokens: self.14,
            estimated: self.15 != 0,
            cost: Usd(self.16),
            duration_ms: self.17,
            first_byte_ms: self.18,
            wait_ms: self.19,
            retries: self.20,
        }
    }
}

/// A text that stays where it is unless something in it is escaped; serde's own `Cow` copies within an `Option`.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A place of a page.
struct Slot<'a>(Option<Line<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Slot<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SlotVisitor).map(Slot)
    }
}

struct SlotVisitor;

impl<'de> Visitor<'de> for SlotVisitor {
    type Value = Option<Line<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call or 0")
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        Line::deserialize(SeqAccessDeserializer::new(members)).map(Some)
    }
}

#[cfg(test)]
mod tests;
