//! A histogram that many write at once: whole numbers in atomics, no lock.
//!
//! In: whole numbers of a unit. Out: buckets for a scrape, each with what fell into it. Fails: never.
//! Holds: one counter for each bucket and a sum; a scrape in the middle of a write may see the one
//! without the other, and the next scrape sees both.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds in whole units, and how much of what is shown a unit is.
#[derive(Debug)]
pub(crate) struct Scale {
    bounds: &'static [u64],
    unit: f64,
}

const NANOS: f64 = 1e-9;
const MICROS: f64 = 1e-6;

/// GenAI conventions: `gen_ai.server.request.duration`.
pub(crate) static CALL: Scale = Scale {
    bounds: &[
        10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000, 10_240_000, 20_480_000, 40_960_000,
        81_920_000,
    ],
    unit: MICROS,
};
/// GenAI conventions: `gen_ai.server.time_to_first_token`.
pub(crate) static FIRST: Scale = Scale {
    bounds: &[
        1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000,
        7_500_000, 10_000_000,
    ],
    unit: MICROS,
};
/// GenAI conventions: `gen_ai.server.time_per_output_token`.
pub(crate) static EACH: Scale = Scale {
    bounds: &[10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000, 1_000_000, 2_500_000],
    unit: MICROS,
};
/// GenAI conventions: `gen_ai.client.token.usage`.
pub(crate) static TOKENS: Scale =
    Scale { bounds: &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864], unit: 1.0 };
/// What we add ourselves is counted in microseconds.
pub(crate) static OVERHEAD: Scale = Scale {
    bounds: &[
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ],
    unit: NANOS,
};
/// The customary buckets of web servers.
pub(crate) static HTTP: Scale = Scale {
    bounds: &[5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000],
    unit: MICROS,
};

/// How often a value fell between which bounds.
pub(crate) struct Histogram {
    scale: &'static Scale,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("sum", &self.sum).finish_non_exhaustive()
    }
}

impl Histogram {
    /// Empty.
    pub(crate) fn new(scale: &'static Scale) -> Self {
        Self { scale, counts: (0..=scale.bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// A value in the scale's unit.
    pub(crate) fn note(&self, value: u64) {
        let at = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    /// A time, on a scale of microseconds.
    pub(crate) fn note_time(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 16));
    }

    /// Nothing has been noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Relaxed) == 0)
    }

    /// Into a scrape.
    pub(crate) fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.scale.bounds.iter().map(|bound| real(*bound) * self.scale.unit).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.map(tidy).zip(self.counts.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = tidy(real(self.sum.load(Relaxed)) * self.scale.unit);
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Without the dust of binary fractions: 0.000025, not 0.000025000000000000005.
fn tidy(value: f64) -> f64 {
    const PLACES: f64 = 1e9;
    if value.abs() < f64::from(u32::MAX) { (value * PLACES).round() / PLACES } else { value }
}

#[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are wider than the error")]
fn real(value: u64) -> f64 {
    value as f64
}
