//! May this call be tried again, and when?
//!
//! In: how a try failed, who else could serve, what the caller's patience allows. Out: a verdict. Fails: never. Holds: the
//! number of tries of one call; retries of all calls come out of the [`budget`](super::budget) of the deployment that they go to.
//!
//! | what happened | again? | why |
//! |---|---|---|
//! | no connection: refused, no such socket, not taken in time | yes | nobody has seen the call |
//! | the socket of an engine of ours refuses, or is gone | yes, in line, once the fleet knows of its end | whoever comes in its place will serve |
//! | such a socket was reset before an answer | yes | it ended before it had read all of the call |
//! | an idle connection to an engine of ours that proved dead: it ended within 250 ms, without one byte of a reply | once, over a fresh one, not counted | it ended while the call came |
//! | such a connection to another server, within 10 ms | once, over a fresh one, counted as a retry | what was written has hardly reached anybody |
//! | HTTP/2: `REFUSED_STREAM`, or `GOAWAY` before this call | yes | the server says that it has not looked at it |
//! | 429, 503, 529 | yes | the engine says that it has not taken the call: it is full, or still loading |
//! | the same with `x-should-retry: false` or `insufficient_quota` | elsewhere only | it says that asking it again will not help |
//! | 500, 502, 504, a connection that broke, no first byte in time | by a fallback only | an engine may work on it, or have done so: once more costs twice, which whoever configured a fallback is ready to pay |
//! | anything after the first byte | no | the client has it |
//!
//! Another instance is asked at once. The same one is asked after what it said (`Retry-After`), if the caller would wait
//! so long in line (`timeouts.wait`), else after a wait that doubles, anywhere between nothing and its ceiling. A fallback
//! pays for what comes to it: while it answers nobody is sent away because its deployment's neighbour is down, and when it
//! is down as well the outage is not made worse.

use std::sync::Arc;
use std::time::Duration;

use base::Backoff;
use board::Lease;
use tokio::time::Instant;

use super::{Failed, Target};
use crate::clock::Clock;
use crate::error::{Again, Error};

/// Between two tries of the same instance that did not say how long to wait.
const WAITS: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) };

/// The tries of one call.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    made: u32,
    /// The next one is still to be paid for, by the deployment that it goes to.
    owes: bool,
    /// Whose retries were spent last, by where they lie.
    by: usize,
}

impl Tries {
    /// One more is made; `false` when this deployment may make no more retries.
    pub(crate) fn begin(&mut self, target: &Target) -> bool {
        let by = std::mem::replace(&mut self.by, Arc::as_ptr(&target.budget).addr());
        if by != self.by {
            target.budget.called(); // for this deployment it is a call as any other
        }
        if std::mem::take(&mut self.owes) && !target.budget.spend() {
            return false;
        }
        self.made += 1;
        true
    }

    /// How long to wait before the call is tried once more; `None` when it is not. `others`: somebody has not been asked yet.
    pub(crate) fn again(&mut self, failed: &Failed, lease: &Lease, target: &Target, (clock, others): (&Clock, bool)) -> Option<Duration> {
        let spec = &lease.entry.spec;
        if !failed.safe || self.made >= spec.retries.attempts {
            return None;
        }
        let wait = if others { Duration::ZERO } else { self.wait(&failed.error)? };
        let patience = spec.timeouts.wait.min(clock.total_by.saturating_duration_since(Instant::now()));
        self.owes = others; // whoever waits for the same one shall not do it for nothing
        (wait <= patience && (others || target.budget.spend())).then_some(wait)
    }

    /// Whether the call may be sent there once more, over a fresh connection.
    pub(crate) fn afresh(&mut self, lease: &Lease, target: &Target) -> bool {
        let may = self.made < lease.entry.spec.retries.attempts && target.budget.spend();
        self.made += u32::from(may);
        may
    }

    /// Whether a fallback may be asked where nothing else may: the engine failed, or was too slow, and may be at work on the call.
    pub(crate) fn may_leave(&mut self, error: &Error, attempts: u32) -> bool {
        let failed = match error {
            Error::FirstByteTimeout | Error::Broken { .. } | Error::Wire(wire::Error::Cut | wire::Error::NoStream) => true,
            Error::Said(said) => said.status.is_server_error(),
            _ => false,
        };
        self.owes = failed;
        failed && self.made < attempts
    }

    fn wait(&self, error: &Error) -> Option<Duration> {
        match error {
            Error::Said(said) => match said.busy? {
                Again { never: true, .. } => None,
                Again { after: Some(after), .. } => Some(after),
                Again { after: None, .. } => Some(WAITS.anywhere(self.made)),
            },
            _ => Some(WAITS.anywhere(self.made)),
        }
    }
}

impl Failed {
    /// No process is behind the socket of an engine of ours: it has ended, and the fleet will hear of it in a moment.
    pub(crate) fn is_of_nobody(&self, target: &Target) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        let Error::Connect { source } = &self.error else { return false };
        let refused = source.downcast_ref::<std::io::Error>().is_some_and(|error| matches!(error.kind(), ConnectionRefused | NotFound));
        refused && target.is_ours()
    }
}
