//! A caller's wait in line.
//!
//! In: a place in line, and patience. Out: a lease. Fails: when patience ends. Holds: the place, until it is dropped.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::Error;
use crate::lane::Lane;
use crate::lease::Lease;
use crate::route::Share;

/// Whether a deployment is ready, and since when it is or is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    ready: bool,
    since: Instant,
}

impl Standing {
    pub(crate) fn new(ready: bool) -> Self {
        Self { ready, since: Instant::now() }
    }
    /// It is ready now, or is not.
    pub(crate) fn turn(all: &watch::Sender<Self>, ready: bool) {
        all.send_if_modified(|standing| {
            let turned = standing.ready != ready;
            if turned {
                *standing = Self::new(ready);
            }
            turned
        });
    }
}

/// How long somebody waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) ready: Duration,
    pub(crate) cold: Duration,
}

impl Patience {
    /// When it ends, as the deployment stands.
    fn until(self, began: Instant, standing: Standing) -> Instant {
        let patience = if standing.ready { self.ready } else { self.cold };
        let most = later(began, self.ready.saturating_add(self.cold));
        later(began.max(standing.since), patience).min(most)
    }
}

fn later(at: Instant, by: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_hours(24 * 365);
    at.checked_add(by).unwrap_or(at + FOR_EVER)
}

/// A caller in line; dropped, it is out of it.
#[derive(Debug)]
pub(crate) struct Waits {
    lane: Arc<Lane>,
    number: u64,
    reply: oneshot::Receiver<Result<Lease, Error>>,
    began: Instant,
    share: Option<Share>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.lane.leave(self.number);
    }
}

impl Waits {
    pub(crate) fn new(lane: Arc<Lane>, number: u64, reply: oneshot::Receiver<Result<Lease, Error>>) -> Self {
        Self { lane, number, reply, began: Instant::now(), share: None }
    }

    /// It was sent here by a route.
    pub(crate) fn through(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// How long the deployment wants its callers to wait.
    pub(crate) fn patience(&self) -> Patience {
        let limits = &self.lane.glance().entry.spec.timeouts;
        Patience { ready: limits.wait, cold: limits.start }
    }

    /// The slot, when it comes in time.
    pub(crate) async fn lease(mut self, patience: Patience) -> Result<Lease, Error> {
        match self.patiently(patience).await {
            Some(Ok(Ok(mut lease))) => {
                lease.waited = self.began.elapsed();
                Ok(match self.share.take() {
                    Some(share) => lease.through(share),
                    None => lease,
                })
            }
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(Error::Closed),
            None => Err(self.lane.ran_out(self.began.elapsed())),
        }
    }

    /// The answer, unless patience ends first.
    async fn patiently(&mut self, patience: Patience) -> Option<Result<Result<Lease, Error>, oneshot::error::RecvError>> {
        let mut standing = self.lane.standing.subscribe();
        let mut answer = pin!(&mut self.reply);
        loop {
            let until = patience.until(self.began, *standing.borrow_and_update());
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                _ = standing.changed() => {} // never an error: the sender lives in the lane
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }
}
