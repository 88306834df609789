//! Why somebody is turned away, and what they can do about it.
//!
//! Nothing here carries a token or a part of one.

use std::fmt;
use std::time::Duration;

use base::{Fault, Kind, Retry, Timestamp};
use spec::{Invalid, TokenId};

/// What may run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Requests at once.
    Concurrency,
}

impl Resource {
    /// The word for metrics and error types.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests per minute",
            Self::Tokens => "tokens per minute",
            Self::Concurrency => "requests at once",
        })
    }
}

/// What is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// This model.
    Model(String),
    /// Operating Penstock.
    Admin,
    /// Calling models at all.
    Inference,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(f, "use the model `{model}`"),
            Self::Admin => f.write_str("operate this server"),
            Self::Inference => f.write_str("call models"),
        }
    }
}

/// What can go wrong at the door.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No token came with the call.
    #[error("a token is needed")]
    MissingToken,
    /// The token is unknown, or has been taken back.
    #[error("the token is not valid")]
    WrongToken,
    /// The token's time is over.
    #[error("the token expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Known, but not allowed.
    #[error("this token may not {what}")]
    Forbidden {
        /// To do what.
        what: Denied,
    },
    /// A limit is reached.
    #[error("the limit of {limit} {what} is reached")]
    Limited {
        /// Of what.
        what: Resource,
        /// The limit.
        limit: u64,
        /// When there will be room for this ask.
        retry_after: Duration,
    },
    /// The ask is bigger than the whole limit: it would never be admitted.
    #[error("{asked} {what} are asked for at once; the limit is {limit}")]
    NeverFits {
        /// Of what.
        what: Resource,
        /// How much is asked for.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// There is no such token.
    #[error("there is no token `{0}`")]
    NotFound(TokenId),
    /// After this nobody could operate Penstock any more.
    #[error("`{0}` is the last token that may operate this server")]
    LastAdmin(TokenId),
    /// There are more tokens than are kept in memory.
    #[error("there are {most} tokens already")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The ask itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A stored token cannot be used.
    #[error("the stored hash of token `{0}` is damaged")]
    Damaged(TokenId),
    /// The change did not come to its end.
    #[error("the change was interrupted")]
    Interrupted(#[source] tokio::sync::oneshot::error::RecvError),
    /// It could not be remembered.
    #[error("the tokens could not be stored")]
    Store(#[from] store::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::MissingToken | Self::WrongToken | Self::Expired { .. } => Kind::Unauthenticated,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::Limited { .. } | Self::NeverFits { .. } => Kind::Limited,
            Self::NotFound(_) => Kind::NotFound,
            Self::LastAdmin(_) | Self::TooMany { .. } => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Damaged(_) | Self::Interrupted(_) => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Limited { retry_after, .. } => Retry::After(*retry_after),
            Self::Store(error) => error.retry(),
            _ => Retry::No,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::MissingToken => "send the header `Authorization: Bearer psk_…`; `penstock token create` makes a token",
            Self::WrongToken => "check the token for missing characters; if it was taken back, ask for a new one",
            Self::Expired { .. } | Self::Forbidden { .. } => "ask whoever operates this server for a token that may",
            Self::Limited { what: Resource::Concurrency, .. } => "wait until one of your requests has ended",
            Self::Limited { .. } => "wait, or ask whoever operates this server for a higher limit",
            Self::NeverFits { .. } => "ask for fewer tokens (a shorter prompt, a smaller max_tokens), or for a higher limit",
            Self::NotFound(_) => "list the tokens to see which there are",
            Self::LastAdmin(_) => "make another token with the scope `admin` first",
            Self::TooMany { .. } => "revoke tokens that nobody uses any more",
            Self::Interrupted(_) => "list the tokens to see what came of it",
            Self::Damaged(_) => "delete the token and make a new one",
            Self::Invalid(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}
