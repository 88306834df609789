//! How many retries may a deployment make?
//!
//! In: calls, and how they went. Out: whether there may be one more try. Holds: one number. Each call earns a small part of a
//! retry and each success a whole one, up to a reserve. While engines answer, there is always a retry for the call
//! that has bad luck; when nobody answers, the reserve is soon spent, and of all tries no more than one in twelve is a retry:
//! an outage is not made worse by those who feel it. From: Finagle's retry budgets; gRPC's retry throttling (gRFC A6).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The parts of a retry.
const WHOLE: u32 = 100;
/// What a call earns: in an outage, eight retries for each hundred calls.
const OF_CALL: u32 = 8;
/// What may be saved.
const MOST: u32 = 10 * WHOLE;

/// The retries that are left.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl Budget {
    /// A call is sent for the first time.
    pub(crate) fn called(&self) {
        self.earn(OF_CALL);
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        self.earn(WHOLE);
    }

    /// Takes a retry, if there is one.
    pub(crate) fn spend(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(WHOLE)).is_ok()
    }

    /// True while it is as good as a new one.
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Relaxed) >= MOST
    }

    fn earn(&self, parts: u32) {
        // A full reserve is the usual state, and is only looked at: no two cores write to the same place for nothing.
        if !self.is_full() {
            let _ = self.0.fetch_update(Relaxed, Relaxed, |left| Some((left + parts).min(MOST))); // never refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn in_an_outage_no_more_than_a_tenth_is_added() {
        let budget = Budget::default();
        let retries = (0..1000).filter(|_| {
            budget.called();
            budget.spend()
        });
        assert!((80..=100).contains(&retries.count()));
    }

    #[test]
    fn while_engines_answer_there_is_a_retry_for_every_second_call() {
        let budget = Budget::default();
        for _ in 0..1000 {
            budget.called();
            assert!(budget.spend());
            budget.answered();
        }
    }
}
