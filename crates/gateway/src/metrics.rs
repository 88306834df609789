//! What Prometheus is told: the GenAI conventions, the NDJSON face's own names, and ours.
//!
//! In: ends of calls, laps of the walk, requests; numbers that others keep. Out: text for `/metrics`.
//! Fails: never. Holds: atomics; nothing is allocated, hashed or locked for a call but one look-up of
//! a model's name and one of a route's pattern. Label sets are bounded: see [`model`], [`route`] and
//! [`readings`]. From: OpenTelemetry semantic conventions for generative AI, in Prometheus form.

mod page;

mod standing;

mod readings;

mod model;

mod route;

mod histogram;

mod label;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use label::{Stage, Why, method};
pub(crate) use model::{Figures, Model, OTHER};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
pub use readings::{Readings, Source};
pub(crate) use route::Route;
pub(crate) use standing::standing;

use histogram::{CALL, Histogram, OVERHEAD};
use model::Models;
use route::Routes;

use crate::passage::Laps;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    counts: Arc<Counts>,
}

/// The numbers.
pub(crate) struct Counts {
    models: Models,
    routes: Routes,
    stages: [Histogram; Stage::OURS.len()],
    relay: Histogram,
    overhead: Histogram,
    waits: Histogram,
    cancels: Histogram,
    in_flight: AtomicI64,
    reserved: AtomicI64,
    retries: AtomicU64,
    left_out: AtomicU64,
    backpressure: [AtomicU64; Why::ALL.len()],
    others: Mutex<Vec<Source>>,
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("models", &self.models).finish_non_exhaustive()
    }
}

impl Counts {
    fn new() -> Self {
        let ours = || Histogram::new(&OVERHEAD);
        Self {
            models: Models::default(),
            routes: Routes::default(),
            stages: std::array::from_fn(|_| ours()),
            relay: ours(),
            overhead: ours(),
            waits: Histogram::new(&CALL),
            cancels: ours(),
            in_flight: AtomicI64::new(0),
            reserved: AtomicI64::new(0),
            retries: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            backpressure: std::array::from_fn(|_| AtomicU64::new(0)),
            others: Mutex::default(),
        }
    }

    fn sources(&self) -> Vec<Source> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Metrics {
    /// Everything at zero.
    pub(crate) fn new() -> Self {
        let counts = Arc::new(Counts::new());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&counts)));
        Self { registry, counts }
    }

    /// These numbers too are read at each scrape.
    pub(crate) fn read_also(&self, source: Source) {
        self.counts.others.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// The numbers of the route with this pattern.
    pub(crate) fn route(&self, path: &str) -> Arc<Route> {
        self.counts.routes.of(path)
    }

    /// A call of a model has begun; [`Self::call_ended`] when it is over.
    pub(crate) fn call_began(&self) {
        self.counts.in_flight.fetch_add(1, Relaxed);
    }

    /// A call of a model is over.
    pub(crate) fn call_ended(&self) {
        self.counts.in_flight.fetch_sub(1, Relaxed);
    }

    /// What a call will take was set aside; [`Self::settled`] when it is settled or given back.
    pub(crate) fn reserved(&self) {
        self.counts.reserved.fetch_add(1, Relaxed);
    }

    /// What was set aside is so no more.
    pub(crate) fn settled(&self) {
        self.counts.reserved.fetch_sub(1, Relaxed);
    }

    /// A call was sent away from the line.
    pub(crate) fn backpressure(&self, reason: Why) {
        self.counts.backpressure[reason as usize].fetch_add(1, Relaxed);
    }

    /// A call was sent anew, to the same member or to another.
    pub(crate) fn retried(&self) {
        self.counts.retries.fetch_add(1, Relaxed);
    }

    /// A caller stood in line for so long.
    pub(crate) fn waited(&self, time: Duration) {
        self.counts.waits.note_time(time);
    }

    /// A client had left, and so long after its engine was let go.
    pub(crate) fn cancelled(&self, time: Duration) {
        self.counts.cancels.note(nanos(time));
    }

    /// A call of a model that there is has ended.
    pub(crate) fn called(&self, model: Model<'_>, figures: &Figures) {
        self.counts.models.of(model).note(figures);
    }

    /// What of a call's time was ours: the laps of its walk, and the work on its answer.
    pub(crate) fn spent(&self, laps: &Laps, relay: Duration) {
        let counts = &self.counts;
        let mut total = nanos(relay);
        counts.relay.note(total);
        for (stage, histogram) in Stage::OURS.into_iter().zip(&counts.stages) {
            let nanos = laps.nanos(stage);
            histogram.note(nanos);
            total += nanos;
        }
        counts.overhead.note(total);
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 16)
}

#[cfg(test)]
mod tests;
