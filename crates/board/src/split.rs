//! Which of two revisions takes the next call.
//!
//! In: the percentage of calls that the new one is to have, and who of both could take this one. Out: a side. Holds: how
//! much the new one has coming to it, so that its share is kept call by call and not only on the average. A canary that is full gives its turn
//! to the old one, and never takes more than its share because the old one is full.

/// How calls are shared between two revisions of one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// The new one.
    pub revision: u64,
    /// Percent of the calls that it gets.
    pub percent: u32,
}

const WHOLE: u32 = 100;
/// Turns that a canary may have coming to it after it was full: it does not get them all at once.
const MOST_CREDIT: u32 = 2 * WHOLE;

/// Who may take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Any member.
    Any,
    /// Members of the new revision.
    New,
    /// Members of the others.
    Old,
}

impl Side {
    /// Whether a member of this revision is on this side.
    pub(crate) fn has(self, revision: u64, split: Option<Split>) -> bool {
        match (self, split) {
            (Self::Any, _) | (_, None) => true,
            (Self::New, Some(split)) => revision == split.revision,
            (Self::Old, Some(split)) => revision != split.revision,
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    split: Option<Split>,
    credit: u32,
}

impl Turns {
    pub(crate) fn split(&self) -> Option<Split> {
        self.split
    }

    /// Another share, or none; it is counted from now on.
    pub(crate) fn set(&mut self, split: Option<Split>) {
        if self.split != split {
            *self = Self { split, credit: 0 };
        }
    }

    /// Who takes the next call. `serves` says whether anybody of a side is in service at all, `free` whether one of them has a slot.
    pub(crate) fn next(&self, serves: impl Fn(Side) -> bool, free: impl Fn(Side) -> bool) -> Side {
        let Some(split) = self.split else { return Side::Any };
        match (serves(Side::Old), serves(Side::New)) {
            (true, true) if self.credit + split.percent >= WHOLE && free(Side::New) => Side::New,
            (true, true) => Side::Old,
            _ => Side::Any, // one side alone serves everybody
        }
    }

    /// A member of this revision took a call.
    pub(crate) fn took(&mut self, revision: u64) {
        let Some(split) = self.split else { return };
        let credit = self.credit + split.percent;
        self.credit = if revision == split.revision { credit.saturating_sub(WHOLE) } else { credit.min(MOST_CREDIT) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(turns: &mut Turns, count: u32, full: impl Fn(u32) -> bool) -> u32 {
        let mut new = 0;
        for call in 0..count {
            let side = turns.next(|_| true, |side| side == Side::Old || !full(call));
            turns.took(if side == Side::New { 2 } else { 1 });
            new += u32::from(side == Side::New);
        }
        new
    }

    #[test]
    fn each_share_is_kept_to_the_call() {
        for percent in 1..100 {
            let mut turns = Turns::default();
            turns.set(Some(Split { revision: 2, percent }));
            for hundred in 1..=5 {
                assert_eq!(calls(&mut turns, 100, |_| false), percent, "of hundred {hundred}");
            }
        }
    }

    #[test]
    fn a_canary_that_was_full_does_not_get_all_of_its_turns_at_once() {
        let mut turns = Turns::default();
        turns.set(Some(Split { revision: 2, percent: 25 }));
        assert_eq!(calls(&mut turns, 1000, |_| true), 0);
        assert!(calls(&mut turns, 20, |_| false) <= 5 + 2);
    }

    #[test]
    fn one_side_alone_serves_everybody() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(|_| true, |_| true), Side::Any, "nothing is split");
        turns.set(Some(Split { revision: 2, percent: 5 }));
        assert_eq!(turns.next(|side| side == Side::New, |_| true), Side::Any);
        assert_eq!(turns.next(|side| side == Side::Old, |_| true), Side::Any);
        assert_eq!(turns.next(|_| true, |_| true), Side::Old);
    }
}
