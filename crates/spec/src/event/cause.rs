//! Who or what brought an event about.
//!
//! In: nothing. Out: a closed list, for programs; [`std::fmt::Display`] has the words for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::reason::ReasonCode;

/// Who or what brought it about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// It was not written down: an event of an earlier version.
    #[default]
    Unknown,
    /// Penstock itself: its start, its end, its upkeep.
    Penstock,
    /// The config file.
    Config,
    /// Somebody through the API.
    Api {
        /// What their token is called.
        token: String,
        /// Its id; none where no token is needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Callers wait for it.
    Demand {
        /// So many.
        waiting: u32,
    },
    /// Nobody has called for its keep-alive.
    Idle,
    /// An operator's load or unload.
    Hand,
    /// The wish itself: its minimum, its pin.
    Wish,
    /// The times of its schedule.
    Schedule,
    /// What its load is worth in instances.
    Load,
    /// Somebody else needs its room.
    Eviction {
        /// Which deployment does; empty where more than one might.
        #[serde(rename = "for")]
        of: String,
    },
    /// Something failed.
    Failure {
        /// What did: an instance, or a deployment's earlier one.
        of: String,
        /// How.
        code: ReasonCode,
    },
    /// The way from one revision to the next.
    Rollout {
        /// The revision that is wanted.
        revision: u64,
    },
    /// Its deployment goes.
    Deletion,
    /// The engine: it came so far by itself.
    Engine,
    /// The tag that it names points to another version.
    Tag {
        /// Of which model.
        model: String,
        /// The version.
        digest: String,
    },
    /// A receiver of events.
    Webhook {
        /// Which.
        name: String,
    },
}

impl Cause {
    /// Every word that `kind` may have.
    pub const KINDS: [&str; 17] = [
        "unknown", "penstock", "config", "api", "demand", "idle", "hand", "wish", "schedule", "load", "eviction", "failure", "rollout",
        "deletion", "engine", "tag", "webhook",
    ];

    /// The room is for this one.
    pub fn evicted_for(name: &Name) -> Self {
        Self::Eviction { of: name.to_string() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known"),
            Self::Penstock => f.write_str("penstock itself"),
            Self::Config => f.write_str("the config"),
            Self::Api { token, .. } => write!(f, "token `{token}`"),
            Self::Demand { waiting: 1 } => f.write_str("a caller waits"),
            Self::Demand { waiting } => write!(f, "{waiting} callers wait"),
            Self::Idle => f.write_str("nobody calls"),
            Self::Hand => f.write_str("asked for by hand"),
            Self::Wish => f.write_str("its minimum or its pin"),
            Self::Schedule => f.write_str("its schedule"),
            Self::Load => f.write_str("its load"),
            Self::Eviction { of } if of.is_empty() => f.write_str("its room is needed"),
            Self::Eviction { of } => write!(f, "`{of}` needs its room"),
            Self::Failure { of, code } => write!(f, "{of} failed: {}", code.as_str()),
            Self::Rollout { revision } => write!(f, "revision {revision} is rolled out"),
            Self::Deletion => f.write_str("its deployment goes"),
            Self::Engine => f.write_str("the engine came so far"),
            Self::Tag { model, digest } => write!(f, "`{model}` means {digest} now"),
            Self::Webhook { name } => write!(f, "the receiver of webhook `{name}`"),
        }
    }
}
