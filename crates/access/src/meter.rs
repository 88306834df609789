//! What does one holder (a token, a project, a deployment) use now?
//!
//! In: what the holder may use, and an ask. Out: whether there is room; what was counted, and back
//! again. Fails: with what is in the way. Holds: a short lock; an admission holds those of all
//! holders that it concerns at once, in the order of [`crate::admit`]. Requests count when they are
//! admitted, whatever becomes of them; tokens, money and places come back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use spec::{Budget, Limits, Period};
use tokio::time::Instant;

use crate::bucket::{Bucket, Rate};
use crate::window::{Amounts, Sums, Window};
use crate::words::{Quota, Resource};

/// A place among the running requests, and what they have set aside, may come free at any time; ask
/// again after this long.
pub(crate) const NEXT_PLACE: Duration = Duration::from_secs(1);

/// The limits of a caller as it may see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests a minute; `None` when they are not limited.
    pub requests: Option<Rate>,
    /// Tokens a minute; `None` when they are not limited.
    pub tokens: Option<Rate>,
}

impl Rates {
    /// Of each, the one with less left.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        let less = |one: Option<Rate>, two: Option<Rate>| match (one, two) {
            (Some(one), Some(two)) if two.remaining < one.remaining => Some(two),
            (one, two) => one.or(two),
        };
        Self { requests: less(self.requests, other.requests), tokens: less(self.tokens, other.tokens) }
    }
}

/// What a holder may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) budget: &'a Budget,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// There will be.
    Limited { what: Resource, asked: u64, limit: u64, wait: Duration },
    /// There will never be.
    Never { what: Resource, asked: u64, limit: u64 },
    /// Not before the budget's next period, or not before others have given back what they set aside.
    Budget(Quota),
}

/// Counts for one holder; outlives changes of what it may use.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Counts>);

#[derive(Debug)]
pub(crate) struct Counts {
    requests: Bucket,
    tokens: Bucket,
    /// Tokens a minute, as they were when a call was last let in.
    tokens_limit: Option<u64>,
    running: u32,
    windows: [Window; 3],
}

/// What was counted with one holder for one permit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// The minute's tokens were limited, so they were counted.
    tokens: bool,
    turns: [u32; 3],
}

impl Meter {
    /// Nothing used.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Counts {
            requests: Bucket::new(now),
            tokens: Bucket::new(now),
            tokens_limit: None,
            running: 0,
            windows: Period::ALL.map(Window::new),
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Counts> {
        // Every change of the counts is complete before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers for the caller.
    pub(crate) fn rates(&self, terms: Terms<'_>, now: Instant) -> Rates {
        self.lock().rates(terms, now)
    }

    /// Requests that run now.
    pub(crate) fn running(&self) -> u32 {
        self.lock().running
    }
}

impl Counts {
    /// Moves the windows on.
    pub(crate) fn roll(&mut self, at: Timestamp) {
        for window in &mut self.windows {
            window.roll(at);
        }
    }

    /// What is left of the tightest limit: tokens, nano-USD; `None` where there is none.
    pub(crate) fn left(&mut self, terms: Terms<'_>, now: Instant) -> (Option<u64>, Option<u64>) {
        let minute = terms.limits.tokens_per_minute.map(|limit| self.tokens.rate(limit, now).remaining);
        let less = |one: Option<u64>, two: Option<u64>| one.into_iter().chain(two).min();
        let windows = self.windows.iter().map(|window| window.left(terms.budget));
        windows.fold((minute, None), |(tokens, usd), (t, u)| (less(tokens, t), less(usd, u)))
    }

    /// What stands in the way of this ask; nothing is counted yet.
    pub(crate) fn refusal(&mut self, terms: Terms<'_>, asked: Amounts, now: Instant) -> Option<Refusal> {
        let Limits { requests_per_minute: requests, tokens_per_minute: tokens, concurrency } = *terms.limits;
        let place = concurrency.filter(|limit| self.running >= *limit);
        let place = place.map(|limit| Refusal::Limited { what: Resource::Concurrency, asked: 1, limit: limit.into(), wait: NEXT_PLACE });
        let requests = requests.and_then(|limit| room(&mut self.requests, Resource::Requests, 1, (limit.into(), now)));
        let tokens = tokens.and_then(|limit| room(&mut self.tokens, Resource::Tokens, asked.tokens, (limit, now)));
        let budget = if terms.budget.is_none() { None } else { self.over_budget(terms.budget, asked) };
        [place, requests, tokens, budget].into_iter().fold(None, worse)
    }

    fn over_budget(&self, budget: &Budget, asked: Amounts) -> Option<Refusal> {
        // The longest period last: of two that are spent, it is the one to wait for.
        let quotas = self.windows.iter().filter_map(|window| window.refusal(budget, asked));
        quotas.map(|quota| Some(Refusal::Budget(quota))).fold(None, worse)
    }

    /// Counts an ask for which there is room.
    pub(crate) fn take(&mut self, terms: Terms<'_>, asked: Amounts) -> Mark {
        self.tokens_limit = terms.limits.tokens_per_minute;
        if terms.limits.requests_per_minute.is_some() {
            self.requests.take(1);
        }
        if self.tokens_limit.is_some() {
            self.tokens.take(asked.tokens);
        }
        self.running += 1;
        Mark { tokens: self.tokens_limit.is_some(), turns: self.windows.each_mut().map(|window| window.reserve(asked)) }
    }

    /// What stands in the way of an ask that was let in with the first of these amounts and turns out to cost the second.
    pub(crate) fn dearer(&self, mark: Mark, budget: &Budget, change: (Amounts, Amounts)) -> Option<Refusal> {
        let quotas = self.windows.iter().zip(mark.turns).filter_map(|(window, turn)| window.dearer(turn, budget, change));
        quotas.map(|quota| Some(Refusal::Budget(quota))).fold(None, worse)
    }

    /// Sets the second of these amounts aside in place of the first, of which only the money differs.
    pub(crate) fn exchange(&mut self, mark: Mark, change: (Amounts, Amounts)) {
        for (window, turn) in self.windows.iter_mut().zip(mark.turns) {
            window.exchange(turn, change);
        }
    }

    /// Gives the place back, and what was set aside but not used.
    pub(crate) fn give_back(&mut self, mark: Mark, (taken, used): (Amounts, Amounts), (since, now): (Instant, Instant)) {
        self.running = self.running.saturating_sub(1);
        if let Some(limit) = self.tokens_limit.filter(|_| mark.tokens) {
            self.tokens.settle(taken.tokens, used.tokens, limit, (since, now));
        }
        for (window, turn) in self.windows.iter_mut().zip(mark.turns) {
            window.settle(turn, taken, used);
        }
    }

    /// The numbers for the caller.
    pub(crate) fn rates(&mut self, terms: Terms<'_>, now: Instant) -> Rates {
        Rates {
            requests: terms.limits.requests_per_minute.map(|limit| self.requests.rate(limit.into(), now)),
            tokens: terms.limits.tokens_per_minute.map(|limit| self.tokens.rate(limit, now)),
        }
    }

    /// What was used before this process began: of this hour, this day, this month.
    pub(crate) fn set_past(&mut self, at: Timestamp, past: [Sums; 3]) {
        for (window, sums) in self.windows.iter_mut().zip(past) {
            window.set_past(at, sums);
        }
    }

    pub(crate) fn running(&self) -> u32 {
        self.running
    }

    pub(crate) fn windows(&self) -> &[Window; 3] {
        &self.windows
    }

    #[cfg(test)]
    pub(crate) fn bucket(&self) -> Bucket {
        self.tokens
    }
}

fn room(bucket: &mut Bucket, what: Resource, asked: u64, (limit, now): (u64, Instant)) -> Option<Refusal> {
    if asked > limit {
        return Some(Refusal::Never { what, asked, limit });
    }
    bucket.wait(asked, limit, now).map(|wait| Refusal::Limited { what, asked, limit, wait })
}

/// Of two refusals, the one that the caller has to know: what never passes, then what takes longest.
pub(crate) fn worse(one: Option<Refusal>, two: Option<Refusal>) -> Option<Refusal> {
    match (one, two) {
        (Some(one), Some(two)) => Some(if two.weight() > one.weight() { two } else { one }),
        (one, two) => one.or(two),
    }
}

impl Refusal {
    /// How bad it is, and for how long.
    pub(crate) fn weight(&self) -> (u8, i64) {
        match self {
            Self::Limited { wait, .. } => (0, i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
            Self::Budget(quota) if quota.is_only_reserved() => (0, i64::try_from(NEXT_PLACE.as_millis()).unwrap_or(i64::MAX)),
            Self::Budget(quota) => (1, quota.resets.as_millis()),
            Self::Never { .. } => (2, 0),
        }
    }
}

#[cfg(test)]
mod tests;
