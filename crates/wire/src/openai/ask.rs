//! What must the gateway know of a request before it sends it on?
//!
//! In: the scan of a body. Out: an [`Ask`]. Fails: on a required member that is missing, on members of the wrong
//! type and on more choices than an answer may have, with the name of the member. An explicit `null` counts as absent. What is
//! not needed here is not looked at: the engine judges the rest.
//!
//! The body goes on as it is, to an engine that may heed other names than the usual ones: llama-server takes `n_predict` before
//! other bounds, `max_completion_tokens` on the completions path too, and `n_cmpl` before `n`; OpenAI itself makes `best_of`
//! answers to choose `n` of. Of several names the one that asks for most counts.

use std::borrow::Cow;

use super::Shape;
use crate::Error;
use crate::chunk::MAX_CHOICES;
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
    /// Answers that are made for each prompt: its choices, and others that they are chosen from.
    pub n: u64,
    /// The most tokens that each of them may have, if the client set a bound.
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
        let [common @ .., bound, newer_bound, llama_bound, n, llama_n, best_of] = scan.pick(keys(prompt_key)).map(not_null);
        let [model_member, prompt, stream, options] = common;
        let model = model(scan, model_member)?;
        let prompts = match shape {
            Shape::Chat => messages(scan, prompt).map(|()| 1)?,
            _ => prompts(scan, prompt_key, prompt)?,
        };
        let streams = shape != Shape::Embeddings;
        let stream = streams && boolean(scan, "stream", stream)?.unwrap_or(false);
        let include_usage = streams && include_usage(scan, stream, options)?;
        let choices = count(scan, "n", n)?.max(count(scan, "n_cmpl", llama_n)?);
        if streams && choices.saturating_mul(prompts) > MAX_CHOICES as u64 {
            return Err(value(prompt_key, "asks for more than 1024 choices, `n` for each text; ask for them in several calls"));
        }
        let bounds = [("max_tokens", bound), ("max_completion_tokens", newer_bound), ("n_predict", llama_bound)];
        Ok(Self {
            shape,
            model,
            stream,
            include_usage,
            n: choices.max(count(scan, "best_of", best_of)?),
            max_tokens: if streams { largest(scan, bounds)? } else { None },
            prompts,
        })
    }
}

/// The members that are looked at: those of every call, then bounds, then counts.
fn keys(prompt: &'static str) -> [&'static str; 10] {
    ["model", prompt, "stream", "stream_options", "max_tokens", "max_completion_tokens", "n_predict", "n", "n_cmpl", "best_of"]
}

fn not_null(member: Option<Member>) -> Option<Member> {
    member.filter(|member| member.kind != Kind::Null)
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

/// A string or one list of token ids, with texts among them or without, is one prompt; other lists hold one for each element.
fn prompts(scan: &Scan<'_>, param: &'static str, member: Option<Member>) -> Result<u64, Error> {
    let member = match member {
        None => return Err(Error::Missing { param }),
        Some(member) if member.kind == Kind::String => return Ok(1),
        Some(member) if member.kind == Kind::Array => member,
        Some(member) => return Err(wrong(param, "a string or an array", member.kind)),
    };
    let (mut ids, mut lists, mut count, mut other) = (false, false, 0, None);
    scan.each(member.value_span, |_, kind| {
        count += 1;
        match kind {
            Kind::String => {}
            Kind::Number => ids = true,
            Kind::Array => lists = true,
            Kind::Object | Kind::Bool | Kind::Null => other = Some(kind),
        }
    })?;
    match other {
        Some(kind) => Err(wrong(param, "a string, or an array of strings, of token ids or of lists of token ids", kind)),
        None if count == 0 => Err(value(param, "must hold at least one text")),
        None if ids && lists => Err(value(param, "must hold token ids or lists of token ids, not both")),
        None if ids => Ok(1),
        None => Ok(count),
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

fn count(scan: &Scan<'_>, param: &'static str, member: Option<Member>) -> Result<u64, Error> {
    match member {
        None => Ok(1),
        Some(member) if member.kind == Kind::Number => match member.u64(scan.bytes()) {
            Some(n @ 1..=MAX_N) => Ok(n),
            _ => Err(value(param, "must be a whole number from 1 to 128")),
        },
        Some(member) => Err(wrong(param, "an integer", member.kind)),
    }
}

/// A negative bound means "no bound" to some engines; it is theirs to refuse.
fn largest<const N: usize>(scan: &Scan<'_>, bounds: [(&'static str, Option<Member>); N]) -> Result<Option<u64>, Error> {
    let (mut largest, mut none) = (None, false);
    for (param, member) in bounds.into_iter().filter_map(|(param, member)| Some((param, member?))) {
        if member.kind != Kind::Number {
            return Err(wrong(param, "an integer", member.kind));
        }
        let bound = member.u64(scan.bytes());
        none |= bound.is_none();
        largest = largest.max(bound);
    }
    Ok(largest.filter(|_| !none))
}

/// Of an array.
fn is_empty(scan: &Scan<'_>, member: Member) -> bool {
    let inside = scan.bytes().get(member.value_span.start + 1..member.value_span.end).unwrap_or_default();
    inside.trim_ascii_start().starts_with(b"]")
}
