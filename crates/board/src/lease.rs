//! A slot on a member, for the length of one call.
//!
//! Holds: the slot, until it is dropped; there is no other way to give it back.

use std::sync::Arc;
use std::time::Duration;

use crate::lane::Lane;
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
}

impl Lease {
    pub(crate) fn new(entry: Arc<Entry>, member: Arc<Member>, lane: Arc<Lane>) -> Self {
        Self { entry, member, waited: Duration::ZERO, lane }
    }
    /// The member did not answer: tells the fleet to look at it at once.
    pub fn failed(&self) {
        self.lane.suspect(&self.member.id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        Lane::give_back(&self.lane, &self.member.id);
    }
}
