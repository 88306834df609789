//! How long to wait before the next try.
//!
//! In: the number of failures so far. Out: a wait that doubles up to a ceiling, with full jitter.
//! Fails: never. From: AWS Architecture Blog, "Exponential Backoff And Jitter" (full jitter).

use std::time::Duration;

use rand::RngExt as _;

/// A schedule of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub first: Duration,
    /// The ceiling of every wait.
    pub most: Duration,
}

impl Backoff {
    /// The ceiling after `failures` failures in a row (1 = the first), without jitter.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1_u32 << doublings).min(self.most)
    }
    /// A wait between nothing and the ceiling: for many who failed at the same moment, so that they do not come back together.
    pub fn anywhere(&self, failures: u32) -> Duration {
        self.ceiling(failures).mul_f64(rand::rng().random_range(0.0..=1.0))
    }
    /// A wait between half the ceiling and the ceiling.
    pub fn wait(&self, failures: u32) -> Duration {
        let ceiling = self.ceiling(failures);
        ceiling.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}
