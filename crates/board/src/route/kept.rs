//! What stays when a route is published anew: how its targets fare, who belongs where, what runs.
//!
//! In: the targets as they are published, leases, how their calls fared. Out: each target's part in a lease. Holds: one short lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spec::Name;
use tokio::time::Instant;

use crate::affinity::Sticky;
use crate::dice::{Dice, hash_from};
use crate::health::{Outcome, Ticket, Ward};
use crate::table::Entry;

/// Half of the targets may be passed over.
const MOST_EJECTED: u32 = 50;

/// What stays when the route is published anew.
#[derive(Debug, Default)]
pub(super) struct Kept {
    inner: Mutex<Inner>,
    pub(super) sticky: Sticky,
    pub(super) in_flight: AtomicU32,
    pub(super) hits: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) ward: Ward,
    pub(super) dice: Dice,
    pub(super) known: Vec<(Name, u64, u32)>,
    next: u32,
}

impl Default for Inner {
    fn default() -> Self {
        Self { ward: Ward::default(), dice: Dice::new(), known: Vec::new(), next: 0 }
    }
}

impl Kept {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The target of a route that a caller was sent to.
#[derive(Debug)]
pub(crate) struct Toward {
    pub(super) kept: Arc<Kept>,
    pub(super) number: u32,
    /// There are others.
    pub(super) several: bool,
}

impl Toward {
    /// Its part in the lease that was given there now.
    pub(crate) fn share(self, trial: bool) -> Share {
        let Self { kept, number, several } = self;
        kept.in_flight.fetch_add(1, Ordering::Relaxed);
        let watched = several.then(Instant::now);
        let watched = watched.map(|now| (now, kept.lock().ward.sent(number, now)));
        Share { kept, number, trial, watched }
    }
}

/// A route's part in a lease.
#[derive(Debug)]
pub(crate) struct Share {
    kept: Arc<Kept>,
    number: u32,
    trial: bool,
    /// Since when, where there are other targets.
    watched: Option<(Instant, Ticket)>,
}

impl Share {
    pub(crate) fn since(&self) -> Option<Instant> {
        self.watched.map(|(since, _)| since)
    }
    pub(crate) fn is_trial(&self) -> bool {
        self.trial
    }
    /// How the call fared, where that says something of the whole target.
    pub(crate) fn note(&self, outcome: Option<Outcome>, first: bool) {
        let mut inner = self.kept.lock();
        if let Some((_, ticket)) = self.watched.filter(|_| first) {
            inner.ward.heard(self.number, ticket);
        }
        if let Some(outcome) = outcome {
            inner.ward.note(self.number, outcome, self.trial && first, Instant::now());
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.kept.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// The numbers of the targets; one that is known keeps its own, and how it fares.
    pub(super) fn renew<'a>(&mut self, targets: impl Iterator<Item = (&'a Name, u64)>) -> Vec<u32> {
        let before = std::mem::take(&mut self.known);
        for (name, kin) in targets {
            let number = before.iter().find(|(n, k, _)| n == name && *k == kin).map(|(_, _, number)| *number);
            let number = number.unwrap_or_else(|| {
                self.next = self.next.wrapping_add(1);
                self.ward.add(self.next, kin);
                self.next
            });
            self.known.push((name.clone(), kin, number));
        }
        let Self { ward, known, .. } = self;
        ward.keep(|number| known.iter().any(|(_, _, known)| *known == number));
        ward.set_most(MOST_EJECTED);
        known.iter().map(|(_, _, number)| *number).collect()
    }
}

/// What must be the same for two targets' times to be compared: the model.
pub(super) fn kin(entry: &Entry) -> u64 {
    let of = |seed: u64, text: &str| hash_from(seed, text.as_bytes());
    let engine = of(0, entry.spec.engine().as_str());
    entry.version.as_ref().map_or_else(|| of(engine, &entry.upstream_model), |version| of(engine, &version.digest))
}
