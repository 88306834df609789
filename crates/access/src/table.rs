//! What does each route need of who asks?
//!
//! In: a method and the path of a route, as the routers write it (`/api/v1/models/{name}`). Out: a [`Need`]. Fails: never; a route that
//! stands in no row is refused to everybody, so that none is open because somebody forgot it. This is the one table of
//! all faces; `docs/reference/authorization.md` is printed from it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use spec::{Kind, Verb};

use crate::caller::Caller;
use crate::error::Error;
use crate::words::Denied;

mod page;
mod rows;

pub use page::page;
pub use rows::ROWS;

/// Whose path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Face {
    /// As `OpenAI` has it.
    OpenAi,
    /// As Anthropic has it.
    Anthropic,
    /// As Ollama has it.
    Ollama,
    /// Lines of JSON, as older control planes have it.
    Lines,
    /// For those who watch.
    Health,
    /// For operators.
    Control,
    /// The service API of older clients.
    Services,
    /// Pages for people, and the document of the API.
    Pages,
}

/// What a route needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing: anybody may ask.
    Public,
    /// To be known: a valid token or session, whatever it may.
    Caller,
    /// To may this, everywhere.
    Right(Verb, Kind),
    /// To may this everywhere, within some project, or with what is one's own; the answer shows no more than that.
    Within(Verb, Kind),
    /// To be on this machine, or to may this everywhere; the settings may say another thing.
    Near(Verb, Kind),
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The method, or `*` for each.
    pub method: &'static str,
    /// The path, as the routers write it.
    pub path: &'static str,
    /// Whose it is.
    pub face: Face,
    /// What it needs.
    pub need: Need,
    /// A call of it that changes something is written down only when it says so itself: it may be one of a thousand pieces of one change.
    pub quiet: bool,
}

/// Stands for each method.
const EACH: &str = "*";

static BY_PATH: LazyLock<HashMap<&str, Vec<&Row>>> = LazyLock::new(|| {
    let mut all = HashMap::<_, Vec<_>>::new();
    for row in ROWS {
        all.entry(row.path).or_default().push(row);
    }
    all
});

/// The row of a route; none for one that nobody may ask. `HEAD` is asked as `GET`.
pub fn row(method: &str, path: &str) -> Option<&'static Row> {
    let rows = BY_PATH.get(path)?;
    let find = |method: &str| rows.iter().find(|row| row.method == method || row.method == EACH).copied();
    find(method).or_else(|| find("GET").filter(|_| method == "HEAD"))
}

/// Whether nobody has to be known for any row of this path.
pub fn is_public(path: &str) -> bool {
    BY_PATH.get(path).is_some_and(|rows| rows.iter().all(|row| row.need == Need::Public))
}

/// The methods that a path has rows for, as the header `Allow` says them; none for a path without a row.
pub fn methods(path: &str) -> Option<String> {
    let rows = BY_PATH.get(path)?;
    let words = rows.iter().map(|row| if row.method == "GET" { "GET,HEAD" } else { row.method });
    Some(words.collect::<Vec<_>>().join(","))
}

impl Row {
    /// A call of it changes something, so it is written down who made it.
    pub fn changes(&self) -> Option<(Verb, Kind)> {
        match self.need {
            _ if matches!(self.method, "GET" | "HEAD" | "OPTIONS") => None,
            Need::Right(verb @ (Verb::Create | Verb::Update | Verb::Delete), kind)
            | Need::Within(verb @ (Verb::Create | Verb::Update | Verb::Delete), kind) => Some((verb, kind)),
            _ => None,
        }
    }
}

impl Need {
    /// Whether this caller meets it.
    pub fn check(self, caller: &Arc<Caller>) -> Result<(), Error> {
        match self {
            Self::Public | Self::Caller => Ok(()),
            Self::Right(Verb::Use, Kind::Calls) => caller.may_call(),
            // Whoever is near enough is let in without being looked at.
            Self::Right(verb, kind) | Self::Near(verb, kind) => caller.may(verb, kind),
            Self::Within(verb, kind) => caller.reach(verb, kind).map(drop),
        }
    }

    /// What is said of a route without a row.
    pub fn unlisted() -> Error {
        Error::Forbidden { what: Denied::Unlisted }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("nothing"),
            Self::Caller => f.write_str("any valid token"),
            Self::Right(verb, kind) => write!(f, "{verb} {kind}"),
            Self::Within(verb, kind) => write!(f, "{verb} {kind}, or of one's own"),
            Self::Near(verb, kind) => write!(f, "{verb} {kind}, or to be on this machine"),
        }
    }
}

impl Face {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::OpenAi, Self::Anthropic, Self::Ollama, Self::Lines, Self::Health, Self::Control, Self::Services, Self::Pages];

    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Ollama => "Ollama",
            Self::Lines => "NDJSON",
            Self::Health => "health",
            Self::Control => "operators",
            Self::Services => "services",
            Self::Pages => "pages",
        }
    }
}

#[cfg(test)]
mod tests;
