//! How a receiver stands: what it got, what it is behind, what went wrong last.
//!
//! In: what its courier notes. Out: a value for doctor, the API and the metrics. Holds: a short lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base::Timestamp;
use serde::Serialize;
use spec::Name;

use crate::Resumed;

/// Where a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has everything.
    Idle,
    /// It is being sent to.
    Sending,
    /// It failed; it is tried again.
    Failing,
    /// It said that it wants no more.
    Disabled,
}

impl State {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Sending => "sending",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}

/// A try that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// How.
    pub what: String,
    /// So many in a row by then.
    pub tries: u32,
}

/// How a receiver stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it is called.
    pub name: Name,
    /// Where it is, without path and query: those may be secret.
    pub origin: String,
    /// Where it is.
    pub state: State,
    /// Events that it took, ever.
    pub sent: u64,
    /// Events that it never got, ever: it was behind by too many, or for too long.
    pub dropped: u64,
    /// Tries that failed, since the start of this Penstock.
    pub failed: u64,
    /// Events of the story that it is behind, wanted or not.
    pub lag: u64,
    /// For how many milliseconds the oldest of them has waited.
    pub lag_ms: u64,
    /// When it last took an event, since the start of this Penstock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<Timestamp>,
    /// What went wrong last, since the start of this Penstock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// Why it is sent nothing any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

/// What a courier and those who ask about it share.
#[derive(Debug)]
pub(crate) struct Shared {
    standing: Mutex<Noted>,
    pub(crate) resumed: Resumed,
}

/// The standing as it was noted, and since when the oldest event waits.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) standing: Standing,
    pub(crate) oldest: Option<Timestamp>,
}

impl Shared {
    pub(crate) fn new(standing: Standing) -> Self {
        Self { standing: Mutex::new(Noted { standing, oldest: None }), resumed: Resumed::new() }
    }
    pub(crate) fn note(&self) -> MutexGuard<'_, Noted> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn standing(&self) -> Standing {
        let noted = self.note();
        let waited = noted.oldest.map(|at| Timestamp::now().since(at)).unwrap_or_default();
        let lag_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Standing { lag_ms, ..noted.standing.clone() }
    }
}
