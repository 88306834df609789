//! What is told of a request that is over, to whoever writes it down: a log, a trace.
//!
//! In: a [`Record`], made once and borrowed by all. Holds: nothing.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use spec::Ending;

use super::trace::{Sampling, Trace};
use crate::metrics::{Source, Stage};

/// Told of a request that is over.
pub type Listener = Arc<dyn Fn(&Record<'_>) + Send + Sync>;

/// Who is told of the end of each request, and what else is counted.
#[derive(Clone, Default)]
pub struct Watch {
    /// Told of each end, within the task that served it: must not wait.
    pub ended: Option<Listener>,
    /// Told of every request; else only of those whose caller wishes a line.
    pub always: bool,
    /// Calls get spans of their own, and engines are told of them.
    pub sampling: Option<Sampling>,
    /// Numbers of others for `/metrics`.
    pub sources: Vec<Source>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("always", &self.always).field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// The address at the other end of a connection; whoever accepts it puts this among a request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// How much a caller wants to be logged of its own request: `?log=`, `X-Log-Level`, `X-Log-Infer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// What is usual here.
    #[default]
    Usual,
    /// Nothing.
    Off,
    /// Failures only.
    Error,
    /// A line.
    Info,
    /// A line, with the laps of the walk.
    Debug,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// When it came.
    pub at: Timestamp,
    /// Its id.
    pub id: &'a str,
    /// Its method, by a closed list.
    pub method: &'static str,
    /// The pattern of its route.
    pub route: &'a str,
    /// The status that the client saw; 499 when it had left before.
    pub status: u16,
    /// From first byte in to last byte out.
    pub duration: Duration,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of its answer's body.
    pub bytes_out: u64,
    /// Where it came from.
    pub client: Option<SocketAddr>,
    /// Who the client says it is; empty when it does not.
    pub agent: &'a str,
    /// The id of its token, once it was known who asks.
    pub token: Option<&'a str>,
    /// The project of its token.
    pub project: Option<&'a str>,
    /// What its caller wants to be logged; [`Wish::Usual`] of callers without a valid token.
    pub wish: Wish,
    /// Its place in a trace.
    pub trace: Option<Trace>,
    /// The call of a model that it was, if it was one.
    pub call: Option<CallRecord<'a>>,
    /// Each stage that it reached, in the order of the walk.
    pub laps: [Option<Lap>; Stage::COUNT],
}

/// A stage of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    /// Its word.
    pub stage: &'static str,
    /// How long after the request came it last ended.
    pub ended: Duration,
    /// How long it took, waits in line not counted.
    pub took: Duration,
}

/// A call of a model that is over.
#[derive(Debug, Clone)]
pub struct CallRecord<'a> {
    /// What was asked of the model, in the words of the GenAI conventions.
    pub operation: &'static str,
    /// The model as it was asked for.
    pub model: &'a str,
    /// The deployment that was found for it.
    pub deployment: Option<&'a str>,
    /// The instance that was asked last.
    pub instance: Option<&'a str>,
    /// The kind of its engine.
    pub provider: Option<&'static str>,
    /// The model's name on the engine.
    pub upstream_model: Option<&'a str>,
    /// How it ended.
    pub ending: Ending,
    /// What went wrong, in a word.
    pub error: Option<&'static str>,
    /// Tokens in.
    pub prompt_tokens: u64,
    /// Tokens out.
    pub completion_tokens: u64,
    /// The tokens were counted here, not by the engine.
    pub estimated: bool,
    /// Until the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// In line.
    pub waited: Duration,
    /// When it was sent to the engine, for the last time.
    pub sent: Option<Duration>,
    /// The engine's time, our work on its answer not counted.
    pub upstream: Duration,
    /// The answer was asked for as a stream.
    pub streamed: bool,
}
