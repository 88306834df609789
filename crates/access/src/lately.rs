//! How long have the answers of this model been lately?
//!
//! In: the lengths of answers that came to their end. Out: a length that most of the next ones will
//! not exceed. Fails: never. Holds: two numbers; of two callers that write at once one may be lost,
//! which is no harm to a guess. From: the estimate of round-trip times in TCP (Jacobson 1988, RFC 6298):
//! a smoothed mean, and twice a smoothed deviation on top.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lengths are kept in eighths of a token, so that short ones are smoothed too.
const EIGHTHS: u64 = 8;
/// No answer yet.
const NONE: u64 = u64::MAX;
/// Longer answers count as this long.
const LONGEST: u64 = 1 << 40;

/// How long the answers have been.
#[derive(Debug)]
pub(crate) struct Lately {
    mean: AtomicU64,
    deviation: AtomicU64,
}

impl Default for Lately {
    fn default() -> Self {
        Self { mean: AtomicU64::new(NONE), deviation: AtomicU64::new(0) }
    }
}

impl Lately {
    /// An answer of so many tokens.
    pub(crate) fn note(&self, tokens: u64) {
        let length = tokens.min(LONGEST) * EIGHTHS;
        let mean = self.mean.load(Ordering::Relaxed);
        if mean == NONE {
            self.deviation.store(length / 2, Ordering::Relaxed);
            self.mean.store(length, Ordering::Relaxed);
            return;
        }
        let deviation = self.deviation.load(Ordering::Relaxed);
        self.deviation.store((deviation * 3 + mean.abs_diff(length)) / 4, Ordering::Relaxed);
        self.mean.store((mean * 7 + length) / 8, Ordering::Relaxed);
    }

    /// A length that most answers will not exceed; `None` before the first.
    pub(crate) fn likely(&self) -> Option<u64> {
        let mean = self.mean.load(Ordering::Relaxed);
        (mean != NONE).then(|| (mean + 2 * self.deviation.load(Ordering::Relaxed)).div_ceil(EIGHTHS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_guessed_before_the_first_answer() {
        let lately = Lately::default();
        assert_eq!(lately.likely(), None);
        lately.note(0);
        assert_eq!(lately.likely(), Some(0));
    }

    #[test]
    fn answers_of_one_length_are_soon_expected_to_have_that_length() {
        let lately = Lately::default();
        for _ in 0..40 {
            lately.note(100);
        }
        assert!((100..=102).contains(&lately.likely().expect("a guess")), "{lately:?}");
        for _ in 0..60 {
            lately.note(3);
        }
        assert!(lately.likely().expect("a guess") < 8, "old ones are forgotten: {lately:?}");
    }

    #[test]
    fn most_answers_of_mixed_lengths_are_not_longer_than_was_guessed() {
        let lately = Lately::default();
        let mut longer = 0;
        for n in 0_u64..2_000 {
            let length = 50 + (n * 7919) % 300; // spread evenly over 50 to 349
            longer += u32::from(lately.likely().is_some_and(|likely| length > likely));
            lately.note(length);
        }
        assert!(longer < 200, "{longer} of 2000");
        lately.note(u64::MAX);
        assert!(lately.likely().is_some(), "the longest answer is no trap");
    }
}
