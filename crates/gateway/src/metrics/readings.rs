//! Numbers that somebody else keeps, read at each scrape: the seam for rooms that count by themselves.
//!
//! In: closures, each with a few numbers. Out: those numbers in a scrape. Fails: never; what cannot be
//! written is left out. Bounds: [`MOST_VALUES`] values of one label; those beyond are left out and counted.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Values of one label in one scrape.
const MOST_VALUES: usize = 1000;

/// Tells its numbers when it is asked.
pub type Source = Arc<dyn Fn(&mut Readings<'_>) + Send + Sync>;

/// Where a source writes its numbers.
#[derive(Debug)]
pub struct Readings<'a> {
    encoder: DescriptorEncoder<'a>,
    pub(super) left_out: u64,
    outcome: fmt::Result,
}

impl<'a> Readings<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder, left_out: 0, outcome: Ok(()) }
    }

    /// What only rises; `_total` is put behind its name.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Counter);
        let written = encoder.and_then(|encoder| ConstCounter::new(value).encode(encoder));
        self.note(written);
    }

    /// What rises and falls.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge);
        let written = encoder.and_then(|encoder| ConstGauge::new(value).encode(encoder));
        self.note(written);
    }

    /// What only rises, for each value of a label.
    pub fn counters<V: AsRef<str>>(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (V, u64)>) {
        self.family((name, help, MetricType::Counter), values, |encoder, word, value| {
            ConstCounter::new(value).encode(encoder.encode_family(&[(label, word)])?)
        });
    }

    /// What rises and falls, for each value of a label.
    pub fn gauges<V: AsRef<str>>(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (V, f64)>) {
        self.family((name, help, MetricType::Gauge), values, |encoder, word, value| {
            ConstGauge::new(value).encode(encoder.encode_family(&[(label, word)])?)
        });
    }

    /// What rises and falls, for each pair of values of two labels.
    pub fn gauges_by_two<V: AsRef<str>>(
        &mut self,
        (name, help): (&str, &str),
        labels: (&str, &str),
        values: impl IntoIterator<Item = ((V, V), f64)>,
    ) {
        let mut left_out = 0;
        let written = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge).and_then(|mut encoder| {
            for (at, ((one, two), value)) in values.into_iter().enumerate() {
                if at < MOST_VALUES {
                    ConstGauge::new(value).encode(encoder.encode_family(&[(labels.0, one.as_ref()), (labels.1, two.as_ref())])?)?;
                } else {
                    left_out += 1;
                }
            }
            Ok(())
        });
        self.left_out += left_out;
        self.note(written);
    }

    fn family<V: AsRef<str>, N>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        values: impl IntoIterator<Item = (V, N)>,
        write: impl Fn(&mut prometheus_client::encoding::MetricEncoder<'_>, &str, N) -> fmt::Result,
    ) {
        let mut left_out = 0;
        let written = self.encoder.encode_descriptor(name, help, None, kind).and_then(|mut encoder| {
            for (at, (word, value)) in values.into_iter().enumerate() {
                if at < MOST_VALUES {
                    write(&mut encoder, word.as_ref(), value)?;
                } else {
                    left_out += 1;
                }
            }
            Ok(())
        });
        self.left_out += left_out;
        self.note(written);
    }

    fn note(&mut self, written: fmt::Result) {
        self.outcome = self.outcome.and(written);
    }

    pub(super) fn finish(self) -> fmt::Result {
        self.outcome
    }
}
