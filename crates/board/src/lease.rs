//! A slot on a member, for the length of one call.
//!
//! In: how the call fares, as its caller tells it. Holds: the slot, until it is dropped; there is no other way to
//! give it back. A caller who says nothing went before anything came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::health::{Failure, Outcome, Ticket, Verdict};
use crate::lane::Lane;
use crate::route::Share;
use crate::seats::Taken;
use crate::table::{Entry, Member};

/// A slot on a member. Dropping it gives the slot to the next in line.
#[derive(Debug)]
pub struct Lease {
    /// The deployment as it stood when the slot was given.
    pub entry: Arc<Entry>,
    /// The member.
    pub member: Arc<Member>,
    /// How long the caller stood in line.
    pub waited: Duration,
    lane: Arc<Lane>,
    number: u32,
    /// This call tries a member that was passed over.
    trial: bool,
    /// When it began, where somebody compares.
    since: Option<Instant>,
    ticket: Option<Ticket>,
    /// Its caller has said how it fares.
    told: AtomicBool,
    share: Option<Share>,
}

impl Lease {
    pub(crate) fn new(entry: Arc<Entry>, taken: Taken, lane: Arc<Lane>) -> Self {
        lane.pulse.began();
        let Taken { number, member, trial, watched } = taken;
        let entry = member.own.as_ref().map_or(entry, Arc::clone);
        let (waited, told) = (Duration::ZERO, AtomicBool::new(false));
        let (since, ticket) = watched.unzip();
        Self { entry, member, waited, lane, number, trial, since, ticket, told, share: None }
    }

    /// It was given through a route.
    pub(crate) fn through(mut self, share: Share) -> Self {
        self.since = self.since.or(share.since());
        self.share = Some(share);
        self
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// The first token came, so long after the call was sent.
    pub fn succeeded(&self, first_token: Duration) {
        self.tell(Outcome::Began(first_token));
    }

    /// The first token came now; the time counts from when the slot was given.
    pub fn began(&self) {
        if let Some(since) = self.since {
            self.tell(Outcome::Began(since.elapsed()));
        }
    }

    /// The whole answer came in one piece.
    pub fn answered(&self) {
        self.tell(Outcome::Answered);
    }

    /// The member failed the call; whether the fleet looks at it at once depends on how.
    pub fn failed(&self, failure: Failure) {
        self.lane.suspect(&self.member.id, failure);
        self.tell(Outcome::Failed(failure));
    }

    fn tell(&self, outcome: Outcome) {
        let first = !self.told.swap(true, Ordering::Relaxed);
        if self.since.is_none() {
            return; // it has nobody beside it
        }
        // A member that the lane has dealt with is not held against its whole deployment.
        let verdict = self.lane.note(self.number, outcome, (self.trial && first, self.ticket.filter(|_| first)));
        if let Some(share) = &self.share {
            let dealt_with = matches!(outcome, Outcome::Failed(_)) && matches!(verdict, Verdict::Stays | Verdict::Out);
            share.note((!dealt_with || share.is_trial()).then_some(outcome), first);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.told.load(Ordering::Relaxed)
            && let Some(since) = self.since
        {
            self.tell(Outcome::Left(since.elapsed()));
        }
        Lane::give_back(&self.lane, self.number);
    }
}
