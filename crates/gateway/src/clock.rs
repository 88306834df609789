//! How long a call may take, as points in time.
//!
//! In: when it came, the limits of its deployment. Out: by when what must be there, and which limit it
//! was that ended it. Reads the clock no more often than it must.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use spec::Timeouts;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;

/// What comes of the work, if that is soon enough. What is there at once costs no look at the clock.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    until(|| Instant::now() + limit, work).await
}

/// The same up to a moment that is asked for only where there is something to wait for.
pub(crate) async fn until<T>(by: impl FnOnce() -> Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout_at(by(), work).await.ok(),
    }
}

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The first byte of the answer must be there.
    pub(crate) first_by: Instant,
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// All of it must be out.
    pub(crate) total_by: Instant,
}

impl Clock {
    /// For a call that came at `began`.
    pub(crate) fn start(began: Instant, limits: &Timeouts, total: Duration) -> Self {
        let total_by = began + total;
        Self { first_by: total_by, idle: limits.idle, total_by }
    }

    /// It is sent now. An engine that does not stream says its first byte when it has finished, so
    /// that only the total counts for it.
    pub(crate) fn asked(self, limits: &Timeouts, streams: bool) -> Self {
        let first_by = if streams { self.total_by.min(Instant::now() + limits.first_token) } else { self.total_by };
        Self { first_by, ..self }
    }

    /// There is no time left.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.total_by
    }

    /// Which of the limits it was.
    pub(crate) fn late(&self, first: bool) -> Error {
        match () {
            () if self.is_over() => Error::TotalTimeout,
            () if first => Error::FirstByteTimeout,
            () => Error::IdleTimeout { after: self.idle },
        }
    }
}
