//! How much of a budget is gone in this hour, this day, this month?
//!
//! In: what calls set aside and what they used in the end; the time. Out: whether there is room, and
//! the numbers for people. Fails: never. Holds: nothing; the caller brings the lock and the clock.
//!
//! A window begins and ends with the calendar. What a call used is booked in the window in which it
//! was let in; when that is over, nobody asks any more. What was used before this process began is
//! `past`: it comes from the store, and may come more than once.

use base::Timestamp;
use spec::{Budget, Period, Usd};

use crate::words::{Coin, Quota};

/// What a call takes of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// In and out.
    pub(crate) tokens: u64,
    /// Nano-USD.
    pub(crate) usd: u64,
}

/// What was used within a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) requests: u64,
    pub(crate) amounts: Amounts,
}

impl Sums {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.amounts.add(other.amounts);
    }
}

impl Amounts {
    fn add(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.usd = self.usd.saturating_add(other.usd);
    }
    fn take(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_sub(other.tokens);
        self.usd = self.usd.saturating_sub(other.usd);
    }
}

/// One hour, day or month.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    period: Period,
    starts: Timestamp,
    ends: Timestamp,
    /// Tells this window from those before it.
    turn: u32,
    past: Sums,
    now: Sums,
    reserved: Amounts,
}

impl Window {
    pub(crate) fn new(period: Period) -> Self {
        let never = Timestamp::from_millis(i64::MIN);
        Self { period, starts: never, ends: never, turn: 0, past: Sums::default(), now: Sums::default(), reserved: Amounts::default() }
    }

    pub(crate) fn period(&self) -> Period {
        self.period
    }

    /// Moves on when the next one has begun. A clock that is set back stays in the one that it left.
    pub(crate) fn roll(&mut self, at: Timestamp) {
        if at >= self.ends {
            let (starts, ends) = self.period.around(at);
            *self = Self { starts, ends, turn: self.turn.wrapping_add(1), ..Self::new(self.period) };
        }
    }

    /// What stands in the way of this ask, if anything does.
    pub(crate) fn refusal(&self, budget: &Budget, asked: Amounts) -> Option<Quota> {
        let gone = self.gone();
        let tokens = budget.tokens(self.period).filter(|limit| gone.tokens.saturating_add(asked.tokens) > *limit);
        if let Some(limit) = tokens {
            return Some(self.quota(Coin::Tokens, limit, asked));
        }
        self.over_usd(budget, asked)
    }

    fn over_usd(&self, budget: &Budget, asked: Amounts) -> Option<Quota> {
        let gone = self.gone();
        let usd = budget.usd(self.period).filter(|limit| gone.usd.saturating_add(asked.usd) > limit.0);
        usd.map(|Usd(limit)| self.quota(Coin::Usd, limit, asked))
    }

    /// What stands in the way of an ask that has the first of these set aside and turns out to cost the second.
    pub(crate) fn dearer(&self, turn: u32, budget: &Budget, (from, to): (Amounts, Amounts)) -> Option<Quota> {
        if turn != self.turn || to.usd <= from.usd {
            return None;
        }
        let mut others = *self;
        others.reserved.take(from);
        others.over_usd(budget, to)
    }

    /// Sets the second of these aside in place of the first.
    pub(crate) fn exchange(&mut self, turn: u32, (from, to): (Amounts, Amounts)) {
        if turn == self.turn {
            self.reserved.take(from);
            self.reserved.add(to);
        }
    }

    /// What is left; `None` where there is no limit.
    pub(crate) fn left(&self, budget: &Budget) -> (Option<u64>, Option<u64>) {
        let gone = self.gone();
        let tokens = budget.tokens(self.period).map(|limit| limit.saturating_sub(gone.tokens));
        (tokens, budget.usd(self.period).map(|Usd(limit)| limit.saturating_sub(gone.usd)))
    }

    /// Sets aside; gives the mark by which it is settled.
    pub(crate) fn reserve(&mut self, amounts: Amounts) -> u32 {
        self.now.requests = self.now.requests.saturating_add(1);
        self.reserved.add(amounts);
        self.turn
    }

    /// Books what was really used in place of what was set aside.
    pub(crate) fn settle(&mut self, turn: u32, reserved: Amounts, used: Amounts) {
        if turn == self.turn {
            self.reserved.take(reserved);
            self.now.amounts.add(used);
        }
    }

    /// What was used in this window before this process began.
    pub(crate) fn set_past(&mut self, at: Timestamp, past: Sums) {
        self.roll(at);
        if (self.starts..self.ends).contains(&at) {
            self.past = past;
        }
    }

    /// What was used so far.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = self.past;
        sums.add(self.now);
        sums
    }

    /// How a budget stands, for those parts of it that are limited.
    pub(crate) fn quotas(&self, budget: &Budget) -> impl Iterator<Item = Quota> {
        let tokens = budget.tokens(self.period).map(|limit| self.quota(Coin::Tokens, limit, Amounts::default()));
        let usd = budget.usd(self.period).map(|Usd(limit)| self.quota(Coin::Usd, limit, Amounts::default()));
        [tokens, usd].into_iter().flatten()
    }

    fn gone(&self) -> Amounts {
        let mut gone = self.sums().amounts;
        gone.add(self.reserved);
        gone
    }

    fn quota(&self, coin: Coin, limit: u64, asked: Amounts) -> Quota {
        let of = |amounts: Amounts| if coin == Coin::Tokens { amounts.tokens } else { amounts.usd };
        Quota {
            coin,
            period: self.period,
            limit,
            spent: of(self.sums().amounts),
            reserved: of(self.reserved),
            asked: of(asked),
            resets: self.ends,
        }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> Amounts {
        self.gone()
    }

    #[cfg(test)]
    pub(crate) fn reserved(&self) -> Amounts {
        self.reserved
    }
}

#[cfg(test)]
mod tests;
