//! May this call be tried again, and when?
//!
//! In: how a try failed, who else could serve, what the caller's patience allows. Out: a verdict. Fails: never. Holds: the
//! number of tries of one call; retries of all calls come out of the deployment's [`budget`](super::budget).
//!
//! | what happened | again? | why |
//! |---|---|---|
//! | no connection: refused, no such socket, not taken in time | yes | nobody has seen the call |
//! | an idle connection that proved dead | yes | what was written reached nobody |
//! | HTTP/2: `REFUSED_STREAM`, or `GOAWAY` before this call | yes | the server says that it has not looked at it |
//! | 429, 503 | yes | the engine says that it has not taken the call: it is full, or still loading |
//! | 429, 503 with `x-should-retry: false` or `insufficient_quota` | elsewhere only | it says that asking it again will not help |
//! | 500, 502, 504, a connection that broke, no first byte in time | no | an engine may work on it, or have done so: once more costs twice |
//! | anything after the first byte | no | the client has it |
//!
//! Another instance is asked at once. The same one is asked after what it said (`Retry-After`), if the caller would wait
//! so long in line (`timeouts.wait`), else after a wait that doubles, anywhere between nothing and its ceiling.

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
}

impl Tries {
    /// One more is made.
    pub(crate) fn begin(&mut self, target: &Target) {
        self.made += 1;
        if self.made == 1 {
            target.budget.called();
        }
    }

    /// How long to wait before the call is tried once more; `None` when it is not. `others`: somebody has not been asked yet.
    pub(crate) fn again(&self, failed: &Failed, lease: &Lease, target: &Target, (clock, others): (&Clock, bool)) -> Option<Duration> {
        let spec = &lease.entry.spec;
        if !failed.safe || self.made >= spec.retries.attempts {
            return None;
        }
        let wait = if others { Duration::ZERO } else { self.wait(&failed.error)? };
        let patience = spec.timeouts.wait.min(clock.total_by.saturating_duration_since(Instant::now()));
        (wait <= patience && target.budget.spend()).then_some(wait)
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
