//! What can be wrong with bytes from a client or from an engine.
//!
//! In: a body or a stream that does not fit its format. Out: which member, where, and what to do.
//! From: the OpenAI error object, whose `param` is [`Error::param`].

use std::borrow::Cow;

use base::{Fault, Kind, Retry};
use bytes::Bytes;

use crate::scan;

/// Why bytes were not understood, or what an engine said instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not one JSON object.
    #[error("the body is not valid JSON: {0}")]
    Json(#[from] scan::Error),
    /// A member that must be there is not.
    #[error("`{param}` is missing")]
    Missing {
        /// The member.
        param: &'static str,
    },
    /// A member has the wrong JSON type.
    #[error("`{param}` must be {expected}, not {found}")]
    Type {
        /// The member.
        param: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A member has the right type but a value that cannot be.
    #[error("`{param}` {problem}")]
    Value {
        /// The member.
        param: &'static str,
        /// What is wrong with it, as the end of a sentence.
        problem: Cow<'static, str>,
    },
    /// The body is JSON, but its members are not those of this request.
    #[error("the body does not fit this request")]
    Shape(#[source] serde_json::Error),
    /// The engine's answer is JSON, but not the answer to this request.
    #[error("the engine's answer does not fit the request")]
    Answer(#[source] serde_json::Error),
    /// One event of a stream is larger than we hold.
    #[error("the engine sent an event of more than {limit} bytes")]
    FrameTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// A folded reply is larger than we hold.
    #[error("the engine's reply is larger than {limit} bytes")]
    ReplyTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// More choices than anybody asks for.
    #[error("the engine sent more than {limit} choices")]
    TooManyChoices {
        /// The bound.
        limit: usize,
    },
    /// An event of the stream is not a JSON object.
    #[error("the engine sent an event that is not JSON: {0}")]
    Event(#[source] scan::Error),
    /// The engine ended its stream with an error of its own.
    #[error("the engine reported an error")]
    Engine {
        /// The error as an OpenAI body, `{"error":{..}}`.
        body: Bytes,
    },
    /// What came in place of a stream cannot be made into one.
    #[error("the engine was asked for a stream and sent something else, which is no reply either")]
    NoStream,
    /// The stream ended before the engine said why.
    #[error("the engine's stream ended before it had finished")]
    Cut,
}

impl Error {
    /// The member of the request that is at fault, as the `param` of an OpenAI error.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Missing { param } | Self::Type { param, .. } | Self::Value { param, .. } => Some(param),
            _ => None,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Json(_) | Self::Missing { .. } | Self::Type { .. } | Self::Value { .. } | Self::Shape(_) => Kind::Invalid,
            Self::Answer(_)
            | Self::FrameTooLarge { .. }
            | Self::ReplyTooLarge { .. }
            | Self::TooManyChoices { .. }
            | Self::Event(_)
            | Self::Engine { .. }
            | Self::NoStream
            | Self::Cut => Kind::Upstream,
        }
    }

    fn retry(&self) -> Retry {
        Retry::No
    }

    fn public(&self) -> String {
        match self {
            Self::Shape(source) => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Json(error) => return error.hint(),
            Self::Missing { param } => return Some(format!("add `{param}` to the body")),
            Self::Type { param, expected, .. } => return Some(format!("send `{param}` as {expected}")),
            Self::Value { .. } => return None,
            Self::Shape(_) => "compare the body with the description of this request in the API reference",
            Self::FrameTooLarge { .. } | Self::ReplyTooLarge { .. } => "ask for fewer tokens, fewer log probabilities or fewer choices",
            Self::TooManyChoices { .. } => "ask for a smaller `n`",
            Self::Event(_) | Self::Answer(_) | Self::NoStream => "check that the engine's address leads to an OpenAI-compatible server",
            Self::Engine { .. } => "the engine's log says more",
            Self::Cut => "the engine may have crashed or run out of memory; its log says more. Try again",
        };
        Some(text.to_owned())
    }
}
