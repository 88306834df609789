//! The words of a refusal: what ran out, whose it is, how a budget stands, what is not allowed.
//!
//! In: nothing. Out: values that print themselves for people. Fails: never. Nothing here carries a token or a part of one.

use std::fmt;

use base::Timestamp;
use serde::Serialize;
use spec::{Period, Usd, Verb};

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
    /// This verb on this kind.
    Right {
        /// The verb.
        verb: Verb,
        /// The kind.
        kind: spec::Kind,
    },
    /// Something that stands in no row of the authorization table: nobody may.
    Unlisted,
    /// A project that they have no part in.
    Project(String),
    /// More than they may themselves.
    Beyond,
    /// This, which takes the right to change the server: it reaches what its user reaches.
    Server(&'static str),
    /// To make or change tokens, each with a meter of its own, where they are metered themselves.
    Metered,
    /// What is bounded less than they are themselves.
    Looser(&'static str),
    /// To go on with a stream that began when they saw something else.
    Other,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(f, "use the model `{model}`"),
            Self::Admin => f.write_str("operate this server"),
            Self::Inference => f.write_str("call models"),
            Self::Right { verb, kind } => write!(f, "{verb} {kind}"),
            Self::Unlisted => f.write_str("ask this: it stands in no row of the authorization table"),
            Self::Project(name) => write!(f, "act for project `{name}`"),
            Self::Beyond => f.write_str("give what it may not do itself"),
            Self::Server(what) => write!(f, "{what}: that takes the right `update server`, which operators and admins have, or the config"),
            Self::Metered => f.write_str("make tokens, nor change more of one than its name: it has limits or a budget of its own"),
            Self::Looser(field) => write!(f, "give a token wider `{field}` than its own"),
            Self::Other => f.write_str("go on listening: what it may see has changed"),
        }
    }
}
