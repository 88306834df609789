//! What a run is to do, and what came of it, as JSON.
//!
//! In: the body of `POST /bench/run`. Out: the body of its reply. Fails: on unknown keys, since a
//! misspelt one would measure something else. Times are microseconds.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::tally::Spread;

/// One run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Whom the clients call.
    pub(crate) target: SocketAddr,
    /// More header lines, each without its line end.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// The model that they ask for.
    pub(crate) model: String,
    /// How they call.
    pub(crate) shape: Shape,
    /// What is seen before this is not told.
    pub(crate) warm_ms: u64,
    /// For how long it is told.
    pub(crate) run_ms: u64,
}

/// How the clients call.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Shape {
    /// Each connection calls again as soon as it is answered.
    Closed { connections: usize, body_bytes: usize },
    /// Calls begin at a fixed rate whatever becomes of them; each counts from when it was meant to
    /// begin, so that a gateway that stalls is charged for those that it kept waiting.
    Open { connections: usize, rate: f64, body_bytes: usize },
    /// So many streams at once; each connection begins another when one has ended.
    Streams { streams: usize, per_second: u32, events: u32, ramp_ms: u64 },
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Calls that were answered rightly, warm-up included.
    pub(crate) all_calls: u64,
    /// Those of the told time.
    pub(crate) calls: u64,
    /// Calls without a right answer.
    pub(crate) failed: u64,
    /// Replies or events that were not what the upstream sent, byte for byte.
    pub(crate) altered: u64,
    /// Events of streams, warm-up included.
    pub(crate) all_events: u64,
    /// The told time.
    pub(crate) seconds: f64,
    /// False when calls had to be given up because they came faster than they were answered.
    pub(crate) kept_up: bool,
    /// Why the first call failed.
    pub(crate) first_error: Option<String>,
    /// From the meant begin of a call to the end of its answer.
    pub(crate) latency: Spread,
    /// From the request to the first event of a stream.
    pub(crate) first: Spread,
    /// From when the upstream sent an event to when the client had it.
    pub(crate) transit: Spread,
}
