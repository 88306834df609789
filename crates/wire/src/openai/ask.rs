//! What must the gateway know of a request before it sends it on?
//!
//! In: the scan of a body. Out: an [`Ask`]. Fails: on a required member that is missing and on members of the wrong
//! type, with the name of the member. An explicit `null` counts as absent. What is not needed here is not
//! looked at: the engine judges the rest.

use std::borrow::Cow;

use super::Shape;
use crate::Error;
use crate::scan::{self, Kind, Member, Scan};

/// The most choices per prompt that a request may ask for.
pub const MAX_N: u64 = 128;

/// What was asked, as far as routing, admission and accounting need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Which call it is.
    pub shape: Shape,
    /// The model's public name.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    /// The client wants the usage at the end of its stream.
    pub include_usage: bool,
    /// Choices for each prompt.
    pub n: u64,
    /// The most tokens that each choice may have, if the client set a bound.
    pub max_tokens: Option<u64>,
    /// Prompts or inputs in the body.
    pub prompts: u64,
}

impl Ask {
    /// Reads the members of a body that the gateway needs.
    pub fn read(shape: Shape, scan: &Scan<'_>) -> Result<Self, Error> {
        let prompt_key = match shape {
            Shape::Chat => "messages",
            Shape::Completions => "prompt",
            Shape::Embeddings => "input",
        };
        let keys = ["model", prompt_key, "stream", "stream_options", "n", "max_completion_tokens", "max_tokens"];
        let mut members = scan.pick(keys);
        for member in &mut members {
            *member = member.filter(|member| member.kind != Kind::Null);
        }
        let [model_member, prompt, stream, options, n_member, newer_bound, bound] = members;
        let model = model(scan, model_member)?;
        let prompts = match shape {
            Shape::Chat => messages(scan, prompt).map(|()| 1)?,
            _ => prompts(scan, prompt_key, prompt)?,
        };
        let streams = shape != Shape::Embeddings;
        let stream = streams && boolean(scan, "stream", stream)?.unwrap_or(false);
        Ok(Self {
            shape,
            model,
            stream,
            include_usage: streams && include_usage(scan, stream, options)?,
            n: n(scan, n_member)?,
            max_tokens: max_tokens(shape, scan, newer_bound, bound)?,
            prompts,
        })
    }
}

fn wrong(param: &'static str, expected: &'static str, found: Kind) -> Error {
    Error::Type { param, expected, found: found.as_str() }
}

fn value(param: &'static str, problem: &'static str) -> Error {
    Error::Value { param, problem: Cow::Borrowed(problem) }
}

fn model(scan: &Scan<'_>, member: Option<Member>) -> Result<String, Error> {
    match member {
        None => Err(Error::Missing { param: "model" }),
        Some(member) if member.kind == Kind::String => match scan::decode(scan.raw(member)) {
            Some(name) if !name.trim().is_empty() => Ok(name.into_owned()),
            _ => Err(value("model", "must name a model; `/v1/models` lists those that there are")),
        },
        Some(member) => Err(wrong("model", "a string", member.kind)),
    }
}

fn messages(scan: &Scan<'_>, member: Option<Member>) -> Result<(), Error> {
    match member {
        None => Err(Error::Missing { param: "messages" }),
        Some(member) if member.kind == Kind::Array && is_empty(scan, member) => Err(value("messages", "must hold at least one message")),
        Some(member) if member.kind == Kind::Array => Ok(()),
        Some(member) => Err(wrong("messages", "an array", member.kind)),
    }
}

/// A string or one list of token ids is one prompt; other lists hold one for each element.
fn prompts(scan: &Scan<'_>, param: &'static str, member: Option<Member>) -> Result<u64, Error> {
    let member = match member {
        None => return Err(Error::Missing { param }),
        Some(member) if member.kind == Kind::String => return Ok(1),
        Some(member) if member.kind == Kind::Array => member,
        Some(member) => return Err(wrong(param, "a string or an array", member.kind)),
    };
    let (mut first, mut count) = (None, 0);
    scan.each(member.value_span, |_, kind| {
        first.get_or_insert(kind);
        count += 1;
    })?;
    match first {
        None => Err(value(param, "must hold at least one text")),
        Some(Kind::Number) => Ok(1),
        Some(Kind::String | Kind::Array) => Ok(count),
        Some(kind) => Err(wrong(param, "a string, or an array of strings, of token ids or of lists of token ids", kind)),
    }
}

fn boolean(scan: &Scan<'_>, param: &'static str, member: Option<Member>) -> Result<Option<bool>, Error> {
    match member {
        None => Ok(None),
        Some(member) if member.kind == Kind::Bool => Ok(Some(scan.raw(member) == "true")),
        Some(member) => Err(wrong(param, "a boolean", member.kind)),
    }
}

fn include_usage(scan: &Scan<'_>, stream: bool, member: Option<Member>) -> Result<bool, Error> {
    let Some(member) = member else { return Ok(false) };
    if !stream {
        return Err(value("stream_options", "is only allowed together with `\"stream\": true`"));
    }
    if member.kind != Kind::Object {
        return Err(wrong("stream_options", "an object", member.kind));
    }
    let options = scan.inside(member.value_span)?;
    let wish = options.get("include_usage").filter(|member| member.kind != Kind::Null);
    Ok(boolean(&options, "stream_options.include_usage", wish)?.unwrap_or(false))
}

fn n(scan: &Scan<'_>, member: Option<Member>) -> Result<u64, Error> {
    match member {
        None => Ok(1),
        Some(member) if member.kind == Kind::Number => match member.u64(scan.bytes()) {
            Some(n @ 1..=MAX_N) => Ok(n),
            _ => Err(value("n", "must be a whole number from 1 to 128")),
        },
        Some(member) => Err(wrong("n", "an integer", member.kind)),
    }
}

/// A negative bound means "no bound" to some engines; it is theirs to refuse.
fn max_tokens(shape: Shape, scan: &Scan<'_>, newer: Option<Member>, older: Option<Member>) -> Result<Option<u64>, Error> {
    let bound = |param, member: Option<Member>| match member {
        None => Ok(None),
        Some(member) if member.kind == Kind::Number => Ok(member.u64(scan.bytes())),
        Some(member) => Err(wrong(param, "an integer", member.kind)),
    };
    let newer = if shape == Shape::Chat { bound("max_completion_tokens", newer)? } else { None };
    let older = if shape == Shape::Embeddings { None } else { bound("max_tokens", older)? };
    Ok(newer.or(older))
}

/// Of an array.
fn is_empty(scan: &Scan<'_>, member: Member) -> bool {
    let inside = scan.bytes().get(member.value_span.start + 1..member.value_span.end).unwrap_or_default();
    inside.trim_ascii_start().starts_with(b"]")
}
