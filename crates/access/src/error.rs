//! Why somebody is turned away, and what they can do about it.
//!
//! Nothing here carries a token or a part of one.

use std::fmt;
use std::time::Duration;

use base::{Fault, Kind, Retry, Timestamp};
use serde::Serialize;
use spec::{Invalid, Name, Period, TokenId, Usd};

use crate::meter::NEXT_PLACE;

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

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The token's own.
    Token,
    /// That of all tokens of this project.
    Project(String),
    /// That of all callers of this deployment.
    Deployment(String),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("this token"),
            Self::Project(name) => write!(f, "project `{name}`"),
            Self::Deployment(name) => write!(f, "model `{name}`"),
        }
    }
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Coin {
    /// Tokens, in and out.
    Tokens,
    /// Money, in nano-USD.
    Usd,
}

impl Coin {
    fn show(self, amount: u64) -> String {
        match self {
            Self::Tokens => format!("{amount} tokens"),
            Self::Usd => format!("{} USD", Usd(amount)),
        }
    }
}

/// How one budget stands in the present period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What it counts.
    pub coin: Coin,
    /// The period.
    pub period: Period,
    /// So much within it.
    pub limit: u64,
    /// So much was used.
    pub spent: u64,
    /// So much is set aside for calls that run now.
    pub reserved: u64,
    /// So much was asked for.
    pub asked: u64,
    /// When the next period begins.
    pub resets: Timestamp,
}

impl Quota {
    /// The ask would fit if nothing were set aside for others: it may soon.
    pub(crate) fn is_only_reserved(&self) -> bool {
        self.spent.saturating_add(self.asked) <= self.limit
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { coin, period, limit, spent, reserved, asked, resets } = *self;
        write!(f, "the budget of {} per {period}", coin.show(limit))?;
        write!(f, " has no room for {}: {} are spent", coin.show(asked), coin.show(spent))?;
        if reserved > 0 {
            write!(f, " and {} are set aside for calls that run now", coin.show(reserved))?;
        }
        write!(f, "; the next {period} begins at {resets}")
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
    #[error("the limit of {limit} {what} of {whose} is reached{}", again(*what, *asked, *retry_after))]
    Limited {
        /// Of what.
        what: Resource,
        /// Whose.
        whose: Whose,
        /// How much is asked for.
        asked: u64,
        /// The limit.
        limit: u64,
        /// When there will be room for this ask.
        retry_after: Duration,
    },
    /// The ask is bigger than the whole limit: it would never be admitted.
    #[error("{asked} {what} are asked for at once; the limit of {whose} is {limit}")]
    NeverFits {
        /// Of what.
        what: Resource,
        /// Whose.
        whose: Whose,
        /// How much is asked for.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// A budget is spent, or set aside for others.
    #[error("{whose}: {quota}")]
    Budget {
        /// Whose.
        whose: Whose,
        /// How it stands.
        quota: Box<Quota>,
    },
    /// There is no such token.
    #[error("there is no token `{0}`")]
    NotFound(TokenId),
    /// After this nobody could operate Penstock any more.
    #[error("`{0}` is the last token that may operate this server")]
    LastAdmin(TokenId),
    /// There is no such project.
    #[error("there is no project `{0}`")]
    NoProject(Name),
    /// There is a project of this name.
    #[error("there is a project `{0}` already")]
    ProjectExists(Name),
    /// Tokens belong to the project: without it they would have no limits.
    #[error("project `{name}` has tokens: {tokens}")]
    ProjectInUse {
        /// The project.
        name: Name,
        /// How many.
        tokens: usize,
    },
    /// There are more than are kept in memory.
    #[error("there are {most} {what} already")]
    TooMany {
        /// Of what.
        what: &'static str,
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
    /// The token opens nothing any more, but a restart would know it again.
    #[error("token `{id}` is refused from now on, but it could not be removed from the store")]
    NotForgotten {
        /// The token.
        id: TokenId,
        /// Why.
        source: store::Error,
    },
    /// It could not be remembered.
    #[error("the tokens could not be stored")]
    Store(#[from] store::Error),
}

/// What a limit of a minute leaves room for, and when.
fn again(what: Resource, asked: u64, wait: Duration) -> String {
    let wait = base::clock::human::print(wait);
    match what {
        Resource::Concurrency => String::new(),
        Resource::Requests => format!("; there is room again in {wait}"),
        Resource::Tokens => format!("; there is room for {asked} in {wait}"),
    }
}

impl Error {
    /// For good, or until a budget begins anew: asking again will not help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Budget { quota, .. } => !quota.is_only_reserved(),
            Self::NeverFits { .. } => true,
            _ => false,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::MissingToken | Self::WrongToken | Self::Expired { .. } => Kind::Unauthenticated,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::Limited { .. } | Self::NeverFits { .. } | Self::Budget { .. } => Kind::Limited,
            Self::NotFound(_) | Self::NoProject(_) => Kind::NotFound,
            Self::LastAdmin(_) | Self::TooMany { .. } | Self::ProjectExists(_) | Self::ProjectInUse { .. } => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Damaged(_) | Self::Interrupted(_) => Kind::Internal,
            Self::Store(error) | Self::NotForgotten { source: error, .. } => error.kind(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Limited { retry_after, .. } => Retry::After(*retry_after),
            Self::Budget { quota, .. } if quota.is_only_reserved() => Retry::After(NEXT_PLACE),
            Self::Store(error) | Self::NotForgotten { source: error, .. } => error.retry(),
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
            Self::Budget { quota, .. } if quota.is_only_reserved() => "wait until one of those calls has ended, or ask for fewer tokens",
            Self::Budget { quota, .. } if quota.asked > quota.limit => {
                "ask for fewer tokens (a shorter prompt, a smaller max_tokens), or for a larger budget"
            }
            Self::Budget { .. } => "wait until then, set a smaller max_tokens, or ask whoever operates this server for a larger budget",
            Self::NoProject(_) => "list the projects to see which there are",
            Self::ProjectExists(_) => "change it, or choose another name",
            Self::ProjectInUse { .. } => "revoke its tokens, or move them to another project, first",
            Self::NotForgotten { .. } => "revoke it again when the store answers, before the next restart",
            Self::NotFound(_) => "list the tokens to see which there are",
            Self::LastAdmin(_) => "make another token with the scope `admin` first",
            Self::TooMany { .. } => "remove those that nobody uses any more",
            Self::Interrupted(_) => "list the tokens to see what came of it",
            Self::Damaged(_) => "delete the token and make a new one",
            Self::Invalid(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}
