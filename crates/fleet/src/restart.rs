//! When what failed is started again.
//!
//! In: why it failed, whether it had served, how often in a row. Out: how long to wait. Pure. What served and
//! died is started again at once, since its callers wait, but only a few times in a minute; then, as for what
//! never came up, the waits grow, so that a failure that does not pass is no busy loop. Running out of memory is not
//! such an accident: the same start would end the same way, so it waits from the first time on. From:
//! the restart intensity of Erlang's supervisors.

use std::time::Duration;

use base::{Backoff, Timestamp};
use spec::{Reason, ReasonCode};

/// So many restarts at once within [`WINDOW`].
pub const AT_ONCE: usize = 3;
/// See [`AT_ONCE`].
pub const WINDOW: Duration = Duration::from_mins(1);
/// The waits otherwise. The first is short, since most failures pass.
pub const AFTER_FAILURE: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_mins(5) };
/// After running out of memory: something else has to leave first, or somebody to change something.
const AFTER_OUT_OF_MEMORY: Backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_mins(10) };
/// What cannot change by itself.
const UNTIL_CHANGED: Duration = Duration::from_secs(30);
/// What costs nothing to try.
const REMOTE_AGAIN: Duration = Duration::from_secs(15);

/// The restarts of one deployment, for as long as they count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    at_once: Vec<Timestamp>,
}

impl Restarts {
    /// How long to wait after this failure, the `failures`th in a row; `served`: of one that had been ready.
    pub fn wait(&mut self, reason: &Reason, served: bool, failures: u32, now: Timestamp) -> Duration {
        self.at_once.retain(|at| now.since(*at) < WINDOW);
        let used = self.at_once.len();
        if served && used < AT_ONCE && reason.code != ReasonCode::OutOfMemory {
            self.at_once.push(now);
            return Duration::ZERO;
        }
        let waited = failures.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)).max(1);
        match reason.code {
            ReasonCode::OutOfMemory => AFTER_OUT_OF_MEMORY.ceiling(waited),
            ReasonCode::DoesNotFit | ReasonCode::EngineMissing => UNTIL_CHANGED,
            ReasonCode::RemoteUnreachable => AFTER_FAILURE.ceiling(waited).min(REMOTE_AGAIN),
            _ => AFTER_FAILURE.ceiling(waited),
        }
    }
}

#[cfg(test)]
mod tests;
