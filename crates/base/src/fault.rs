//! What went wrong, for whom, and what to do next: the face that every room's error shows.
//!
//! In: an error of some room. Out: its kind, whether a retry is safe, what the caller may read and
//! what to try. Fails: never. Holds: nothing. From: dropshot's `HttpError`, AIP-193.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// The closed list of ways in which an ask can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The ask itself is wrong; the same ask will fail again.
    Invalid,
    /// Nobody knows who asks.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// The named thing does not exist.
    NotFound,
    /// The thing is in a state, or has a name, that rules the ask out.
    Conflict,
    /// A rate, a budget or a queue is full.
    Limited,
    /// Not now: loading, draining, too little memory.
    Unavailable,
    /// A time limit ended it.
    Timeout,
    /// The engine or a remote part failed.
    Upstream,
    /// Our own defect.
    Internal,
}

impl Kind {
    /// The name as it stands in logs, metrics and problem documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the same ask may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again, or could act twice.
    No,
    /// Nothing happened; the same ask may be sent at once.
    Safe,
    /// Nothing happened; not before this much time has passed.
    After(Duration),
}

/// What every error of a room can say about itself.
pub trait Fault: Error + Send + Sync + 'static {
    /// The kind, from which a face takes its status code.
    fn kind(&self) -> Kind;
    /// Whether the same ask may be sent again.
    fn retry(&self) -> Retry {
        Retry::No
    }
    /// What the caller may read; no secret, no path of this machine that they did not name.
    fn public(&self) -> String {
        match self.kind() {
            Kind::Internal => "something went wrong inside; the log has the request id".to_owned(),
            _ => self.to_string(),
        }
    }
    /// What to do next, when there is something to do.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The error and all its sources in one line, for a log. A message that ends with its source's words
/// does not say them twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.ends_with(&words) {
            let _ = write!(text, ": {words}");
        }
        next = source.source();
    }
    text
}
