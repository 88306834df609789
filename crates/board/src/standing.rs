//! A caller's wait in line.
//!
//! In: a place in line, or in those of several targets of a route, and patience. Out: the first lease. Fails: when patience ends, or as the
//! line that its own place is in. Holds: the places, until it is dropped.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::Error;
use crate::lane::Lane;
use crate::line::Answer;
use crate::route::Toward;

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

/// A place in a line; dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Place {
    lane: Arc<Lane>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
    toward: Option<Toward>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.leave(self.number);
    }
}

impl Place {
    pub(crate) fn new(lane: Arc<Lane>, number: u64, answer: oneshot::Receiver<Answer>) -> Self {
        Self { lane, number, answer, toward: None }
    }

    /// A route led here.
    pub(crate) fn through(mut self, toward: Toward) -> Self {
        self.toward = Some(toward);
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx)).unwrap_or(Err(Error::Closed));
        Poll::Ready(answer.map(|lease| match self.toward.take() {
            Some(toward) => lease.through(toward.share(false)),
            None => lease,
        }))
    }
}

/// A caller in line.
#[derive(Debug)]
pub(crate) struct Waits {
    place: Place,
    /// Where it is a guest.
    beside: Vec<Place>,
    began: Instant,
    /// What is cold starts for it.
    wakes: bool,
}

impl Waits {
    pub(crate) fn new(place: Place, wakes: bool) -> Self {
        Self { place, beside: Vec::new(), began: Instant::now(), wakes }
    }

    /// It was sent here by a route.
    pub(crate) fn through(mut self, toward: Toward) -> Self {
        self.place = self.place.through(toward);
        self
    }

    /// It is a guest of these lines, too.
    pub(crate) fn beside(mut self, places: Vec<Place>) -> Self {
        self.beside = places;
        self
    }

    /// It has waited elsewhere since then, and its patience counts from there.
    pub(crate) fn since(mut self, began: Instant) -> Self {
        self.began = began;
        self
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }
    pub(crate) fn wakes(&self) -> bool {
        self.wakes
    }
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.place.lane
    }

    /// How long the deployment wants its callers to wait.
    pub(crate) fn patience(&self) -> Patience {
        let limits = &self.lane().glance().entry.spec.timeouts;
        Patience { ready: limits.wait, cold: limits.start }
    }

    /// The slot, when it comes in time.
    pub(crate) async fn lease(mut self, patience: Patience) -> Answer {
        match self.patiently(patience).await {
            Some(Ok(mut lease)) => {
                lease.waited = self.began.elapsed();
                Ok(lease)
            }
            Some(Err(error)) => Err(error),
            None => Err(self.lane().ran_out(self.began.elapsed())),
        }
    }

    /// The answer, unless patience ends first.
    async fn patiently(&mut self, patience: Patience) -> Option<Answer> {
        let mut standing = self.lane().standing.subscribe();
        loop {
            let until = patience.until(self.began, *standing.borrow_and_update());
            tokio::select! {
                biased;
                answer = poll_fn(|cx| self.poll(cx)) => return Some(answer),
                _ = standing.changed() => {} // never an error: the sender lives in the lane
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }

    /// What its own line says, or a slot that came free where it is a guest. Of two the one that it does not take goes to the next.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Poll::Ready(answer) = self.place.poll(cx) {
            return Poll::Ready(answer);
        }
        let mut slot = None;
        self.beside.retain_mut(|place| match place.poll(cx) {
            Poll::Ready(answer) => {
                slot = slot.take().or(answer.ok());
                false
            }
            Poll::Pending => true,
        });
        slot.map_or(Poll::Pending, |lease| Poll::Ready(Ok(lease)))
    }
}
