//! How serving ends, in phases: not ready, closed, drained, and then the rest is told to end.
//!
//! In: the phases, in their order. Out: what `/readyz`, the walk and the streams look at. Holds:
//! a counter of calls that goes down when a call's last byte is out.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::error::Error;

/// The state of stopping.
#[derive(Debug)]
pub(crate) struct Stop {
    ready: AtomicBool,
    end: CancellationToken,
    calls: TaskTracker,
}

impl Stop {
    /// Not stopping.
    pub(crate) fn new() -> Self {
        Self { ready: AtomicBool::new(true), end: CancellationToken::new(), calls: TaskTracker::new() }
    }
    /// Phase one.
    pub(crate) fn set_not_ready(&self) {
        self.ready.store(false, Ordering::Release);
    }
    /// False from phase one on.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
    /// The last phase: what still runs ends with an error.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }
    /// Resolves when the last phase begins.
    pub(crate) fn ended(&self) -> WaitForCancellationFutureOwned {
        // A child of its own, so that streams do not meet at one lock with every poll.
        self.end.child_token().cancelled_owned()
    }
    /// Does the work unless the last phase begins before it is done.
    pub(crate) async fn unless_ended<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased; // what is done at once does not even look at the end
            done = work => done,
            () = self.end.cancelled() => Err(Error::Stopping),
        }
    }
    /// Held by each call until its last byte is out.
    pub(crate) fn call(&self) -> TaskTrackerToken {
        self.calls.token()
    }
    /// Waits until no call is left.
    pub(crate) async fn drained(&self) {
        self.calls.close();
        self.calls.wait().await;
    }
}
