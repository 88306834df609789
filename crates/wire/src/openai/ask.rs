//! What must the gateway know of a request before it sends it on?
//!
//! In: the scan of a body. Out: an [`Ask`]. Fails: on a required member that is missing and on members of the wrong
//! type, with the name of the member. An explicit `null` counts as absent. What is not needed here is not
//! looked at: the engine judges the rest.

use std::borrow::Cow;

use super::Shape;
use crate::Error;
use crate::scan::{self, Kind, Scan};

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
        let model = model(scan)?;
        let prompts = match shape {
            Shape::Chat => messages(scan).map(|()| 1)?,
            Shape::Completions => prompts(scan, "prompt")?,
            Shape::Embeddings => prompts(scan, "input")?,
        };
        let stream = shape != Shape::Embeddings && boolean(scan, "stream")?.unwrap_or(false);
        Ok(Self {
            shape,
            model,
            stream,
            include_usage: shape != Shape::Embeddings && include_usage(scan, stream)?,
            n: n(scan)?,
            max_tokens: max_tokens(shape, scan)?,
            prompts,
        })
    }
}

/// The kind and text of a member, unless it is absent or null.
fn present<'a>(scan: &Scan<'a>, key: &str) -> Option<(Kind, &'a str)> {
    scan.get(key).filter(|member| member.kind != Kind::Null).map(|member| (member.kind, scan.raw(member)))
}

fn wrong(param: &'static str, expected: &'static str, found: Kind) -> Error {
    Error::Type { param, expected, found: found.as_str() }
}

fn value(param: &'static str, problem: &'static str) -> Error {
    Error::Value { param, problem: Cow::Borrowed(problem) }
}

fn model(scan: &Scan<'_>) -> Result<String, Error> {
    match present(scan, "model") {
        None => Err(Error::Missing { param: "model" }),
        Some((Kind::String, raw)) => match scan::decode(raw) {
            Some(name) if !name.trim().is_empty() => Ok(name.into_owned()),
            _ => Err(value("model", "must name a model; `/v1/models` lists those that there are")),
        },
        Some((kind, _)) => Err(wrong("model", "a string", kind)),
    }
}

fn messages(scan: &Scan<'_>) -> Result<(), Error> {
    match present(scan, "messages") {
        None => Err(Error::Missing { param: "messages" }),
        Some((Kind::Array, raw)) if is_empty(raw) => Err(value("messages", "must hold at least one message")),
        Some((Kind::Array, _)) => Ok(()),
        Some((kind, _)) => Err(wrong("messages", "an array", kind)),
    }
}

/// A string or one list of token ids is one prompt; other lists hold one for each element.
fn prompts(scan: &Scan<'_>, param: &'static str) -> Result<u64, Error> {
    match present(scan, param) {
        None => Err(Error::Missing { param }),
        Some((Kind::String, _)) => Ok(1),
        Some((Kind::Array, raw)) => {
            let elements = scan::array_in(raw)?;
            match elements.first() {
                None => Err(value(param, "must hold at least one text")),
                Some((_, Kind::Number)) => Ok(1),
                Some((_, Kind::String | Kind::Array)) => Ok(elements.len() as u64),
                Some((_, kind)) => Err(wrong(param, "a string, or an array of strings, of token ids or of lists of token ids", *kind)),
            }
        }
        Some((kind, _)) => Err(wrong(param, "a string or an array", kind)),
    }
}

fn boolean(scan: &Scan<'_>, param: &'static str) -> Result<Option<bool>, Error> {
    match present(scan, param) {
        None => Ok(None),
        Some((Kind::Bool, raw)) => Ok(Some(raw == "true")),
        Some((kind, _)) => Err(wrong(param, "a boolean", kind)),
    }
}

fn include_usage(scan: &Scan<'_>, stream: bool) -> Result<bool, Error> {
    match present(scan, "stream_options") {
        None => Ok(false),
        Some(_) if !stream => Err(value("stream_options", "is only allowed together with `\"stream\": true`")),
        Some((Kind::Object, raw)) => {
            let options = scan::object_in(raw)?;
            match present(&options, "include_usage") {
                None => Ok(false),
                Some((Kind::Bool, raw)) => Ok(raw == "true"),
                Some((kind, _)) => Err(wrong("stream_options.include_usage", "a boolean", kind)),
            }
        }
        Some((kind, _)) => Err(wrong("stream_options", "an object", kind)),
    }
}

fn n(scan: &Scan<'_>) -> Result<u64, Error> {
    match present(scan, "n") {
        None => Ok(1),
        Some((Kind::Number, _)) => match scan.u64("n") {
            Some(n @ 1..=MAX_N) => Ok(n),
            _ => Err(value("n", "must be a whole number from 1 to 128")),
        },
        Some((kind, _)) => Err(wrong("n", "an integer", kind)),
    }
}

/// A negative bound means "no bound" to some engines; it is theirs to refuse.
fn max_tokens(shape: Shape, scan: &Scan<'_>) -> Result<Option<u64>, Error> {
    let params: &[&'static str] = match shape {
        Shape::Chat => &["max_completion_tokens", "max_tokens"],
        Shape::Completions => &["max_tokens"],
        Shape::Embeddings => &[],
    };
    let mut bound = None;
    for param in params {
        match present(scan, param) {
            None => {}
            Some((Kind::Number, _)) => bound = bound.or(scan.u64(param)),
            Some((kind, _)) => return Err(wrong(param, "an integer", kind)),
        }
    }
    Ok(bound)
}

fn is_empty(array: &str) -> bool {
    array.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'))
}
