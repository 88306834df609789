//! What was seen, in histograms of bounded size.
//!
//! In: times in nanoseconds. Out: a [`Spread`] of each. Fails: never; what does not fit counts as the
//! largest. From: HdrHistogram, three digits.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer times count as this.
const LONGEST_NS: u64 = 120_000_000_000;
const DIGITS: u8 = 3;
const NS_PER_US: f64 = 1e3;

/// Times of one kind.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

/// Microseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Times {
    /// None seen.
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).map(Self)
    }

    /// One more.
    pub(crate) fn add(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    /// What they look like.
    #[expect(clippy::cast_precision_loss, reason = "microseconds with three digits")]
    pub(crate) fn spread(&self) -> Spread {
        let at = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / NS_PER_US;
        if self.0.is_empty() {
            return Spread::default();
        }
        Spread {
            count: self.0.len(),
            mean: self.0.mean() / NS_PER_US,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / NS_PER_US,
        }
    }
}
