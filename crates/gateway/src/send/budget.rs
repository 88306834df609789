//! How many retries may a deployment make?
//!
//! In: calls, and how they went. Out: whether there may be one more try. Holds: two numbers. Each call earns a small part of a
//! retry and each success a whole one, up to a reserve, which is small at first and grows with the calls that are made. While engines
//! answer, there is always a retry for the call that has bad luck; when nobody answers, the reserve is soon spent, and no more than one retry
//! is added to ten calls, from the hundredth call on: an outage is not made worse by those who feel it. From: Finagle's retry budgets;
//! gRPC's retry throttling (gRFC A6).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The parts of a retry.
const WHOLE: u32 = 100;
/// What a call earns: in an outage, eight retries for each hundred calls.
const OF_CALL: u32 = 8;
/// What there is before the first call.
const FIRST: u32 = 2 * WHOLE;
/// By what a call makes the reserve larger: two retries for each hundred calls.
const LARGER: u32 = 2;
/// The largest reserve.
const MOST: u32 = 10 * WHOLE;

/// The retries that are left.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU32,
    /// What may be saved.
    most: AtomicU32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU32::new(FIRST), most: AtomicU32::new(FIRST) }
    }
}

impl Budget {
    /// A call is sent for the first time.
    pub(crate) fn called(&self) {
        if self.most.load(Relaxed) < MOST {
            self.most.fetch_add(LARGER, Relaxed); // two at once pass the bound by next to nothing
        }
        self.earn(OF_CALL);
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        self.earn(WHOLE);
    }

    /// Takes a retry, if there is one.
    pub(crate) fn spend(&self) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(WHOLE)).is_ok()
    }

    /// True while it is as good as a new one.
    pub(crate) fn is_full(&self) -> bool {
        self.left.load(Relaxed) >= FIRST
    }

    fn earn(&self, parts: u32) {
        let most = self.most.load(Relaxed);
        // A full reserve is the usual state, and is only looked at: no two cores write to the same place for nothing.
        if self.left.load(Relaxed) < most {
            let _ = self.left.fetch_update(Relaxed, Relaxed, |left| Some((left + parts).min(most))); // never refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_no_more_than_a_tenth_is_added_however_long_it_lasts() {
        for calls in [100, 200, 1000] {
            let budget = Budget::default();
            let retries = (0..calls).filter(|_| {
                budget.called();
                budget.spend()
            });
            let retries = retries.count();
            assert!(calls * 8 / 100 <= retries && retries <= calls / 10, "{retries} retries of {calls} calls");
        }
    }

    #[test]
    fn who_has_served_many_calls_may_retry_as_many_at_once_as_there_are_in_the_largest_reserve() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 2);
        for _ in 0..500 {
            budget.called();
            budget.answered();
        }
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
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
