//! What Penstock and a keeper say to each other over the keeper's socket.
//!
//! In: one JSON value on a line, from Penstock. Out: one JSON value on a line, from the keeper.
//! [`Ask::Subscribe`] is answered again at each change of state; [`Ask::Logs`] is followed by the
//! raw lines of the log until the keeper closes. Unknown fields are passed over, so that a keeper
//! and a Penstock of different versions understand each other.

use serde::{Deserialize, Serialize};
use spec::Seen;

/// No line is longer: an order, and the last lines of an engine, stay far below.
pub(crate) const LONGEST_LINE: usize = 1 << 20;

/// From Penstock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// This instance is wanted. With a fence: by the writer of this order.
    Claim {
        /// The fence of the order.
        fence: Option<u64>,
    },
    /// End the engine; when it has ended, forget it.
    Stop {
        /// From the first TERM to the second, in milliseconds.
        grace_ms: u64,
    },
    /// Send the log.
    Logs {
        /// So many last lines; all when `None`.
        tail: Option<usize>,
        /// Go on as lines are written.
        follow: bool,
    },
    /// Say when something changes. Counts as a claim for as long as the connection is open.
    Subscribe,
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// How the instance is.
    Seen(Box<Seen>),
    /// It is being done.
    Done,
    /// The log follows.
    Log,
    /// The fence is too low.
    Fenced {
        /// The highest that the keeper knows.
        actual: u64,
    },
    /// The ask was not understood.
    Refused {
        /// Why.
        why: String,
    },
}

/// A value as one line.
pub(crate) fn line(value: &impl Serialize) -> Vec<u8> {
    // Plain structs with string keys cannot fail to serialise; an empty line is refused by the other side.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
