//! What Prometheus is told: the GenAI conventions, the NDJSON face's own names, and ours.
//!
//! In: ends of calls, stages of the walk, requests. Out: text for `/metrics`. Fails: never. Holds:
//! atomics; label sets are bounded: routes by their pattern, methods by a closed list, models by
//! the deployments that there are and at most [`MOST_MODELS`]. From: OpenTelemetry semantic
//! conventions for generative AI (names and buckets), in Prometheus form.

mod label;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use label::{CallLabel, Code, RouteLabel, Stage, Why};
use label::{HttpLabel, ReasonLabel, StageLabel, TokenLabel};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Models that get a series of their own; the rest share `other`.
const MOST_MODELS: usize = 1000;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<HttpLabel, Counter>,
    modeld_requests: Family<HttpLabel, Counter>,
    modeld_duration: Histograms<RouteLabel>,
    modeld_inflight: Family<RouteLabel, Gauge>,
    modeld_backpressure: Family<ReasonLabel, Counter>,
    duration: Histograms<CallLabel>,
    first_token: Histograms<CallLabel>,
    per_token: Histograms<CallLabel>,
    tokens: Histograms<TokenLabel>,
    overhead: Histograms<StageLabel>,
    queue_wait: Histogram,
    pub(crate) in_flight: Gauge,
    usage_dropped: Counter,
    series_dropped: Counter,
    models: Mutex<HashSet<String>>,
}

/// The times and tokens of one call that reached an engine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) duration: Duration,
    pub(crate) first_token: Option<Duration>,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

fn seconds_of_a_call() -> Histogram {
    Histogram::new([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92])
}
fn seconds_to_first() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0])
}
fn seconds_per_token() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5])
}
fn token_counts() -> Histogram {
    Histogram::new((0..14).map(|power| 4_f64.powi(power)))
}
/// What we add ourselves is counted in microseconds.
fn seconds_of_overhead() -> Histogram {
    Histogram::new([0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0])
}
/// The customary buckets of web servers.
fn seconds_of_http() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    /// Everything at zero; `state` is read anew at each scrape.
    pub(crate) fn new(state: impl Collector) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            modeld_requests: Family::default(),
            modeld_duration: Family::new_with_constructor(seconds_of_http),
            modeld_inflight: Family::default(),
            modeld_backpressure: Family::default(),
            duration: Family::new_with_constructor(seconds_of_a_call),
            first_token: Family::new_with_constructor(seconds_to_first),
            per_token: Family::new_with_constructor(seconds_per_token),
            tokens: Family::new_with_constructor(token_counts),
            overhead: Family::new_with_constructor(seconds_of_overhead),
            queue_wait: seconds_of_a_call(),
            in_flight: Gauge::default(),
            usage_dropped: Counter::default(),
            series_dropped: Counter::default(),
            models: Mutex::default(),
        };
        metrics.register_calls();
        metrics.register_http();
        metrics.registry.register_collector(Box::new(state));
        metrics
    }

    fn register_calls(&mut self) {
        let registry = &mut self.registry;
        let timed = Unit::Seconds;
        registry.register_with_unit(
            "gen_ai_server_request_duration",
            "From first byte in to last byte out",
            timed.clone(),
            self.duration.clone(),
        );
        registry.register_with_unit(
            "gen_ai_server_time_to_first_token",
            "Until the first byte of the answer",
            timed.clone(),
            self.first_token.clone(),
        );
        registry.register_with_unit(
            "gen_ai_server_time_per_output_token",
            "Between tokens after the first",
            timed.clone(),
            self.per_token.clone(),
        );
        registry.register("gen_ai_client_token_usage", "Tokens of a call, in and out", self.tokens.clone());
        registry.register_with_unit("penstock_overhead", "Time spent in the gateway, by stage", timed.clone(), self.overhead.clone());
        registry.register_with_unit("penstock_queue_wait", "Time in line for a slot", timed, self.queue_wait.clone());
        registry.register(
            "penstock_usage_rows_dropped",
            "Usage rows lost because the journal was full or failed",
            self.usage_dropped.clone(),
        );
        registry.register(
            "penstock_series_dropped",
            "Calls counted under another model's label because of the cap",
            self.series_dropped.clone(),
        );
    }

    fn register_http(&mut self) {
        let registry = &mut self.registry;
        registry.register("penstock_http_requests", "Requests answered", self.requests.clone());
        registry.register("penstock_in_flight", "Calls of models under way, those in line included", self.in_flight.clone());
        registry.register("modeld_http_requests", "Requests answered", self.modeld_requests.clone());
        registry.register_with_unit(
            "modeld_http_request_duration",
            "From first byte in to last byte out",
            Unit::Seconds,
            self.modeld_duration.clone(),
        );
        registry.register("modeld_http_inflight_requests", "Requests under way", self.modeld_inflight.clone());
        registry.register("modeld_http_backpressure", "Calls sent away from the line", self.modeld_backpressure.clone());
    }

    /// A request has come; the answer's body calls [`Self::left`].
    pub(crate) fn came(&self, route: &RouteLabel) {
        self.modeld_inflight.get_or_create(route).inc();
    }

    /// A request's answer has been sent, or its caller has gone.
    pub(crate) fn left(&self, route: &RouteLabel, method: &'static str, status: u16, took: Duration) {
        self.modeld_inflight.get_or_create(route).dec();
        self.modeld_duration.get_or_create(route).observe(took.as_secs_f64());
        let label = HttpLabel { path: route.path.clone(), method, status };
        self.requests.get_or_create(&label).inc();
        self.modeld_requests.get_or_create(&label).inc();
    }

    /// A call was sent away from the line.
    pub(crate) fn backpressure(&self, reason: Why) {
        self.modeld_backpressure.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A stage of the walk took so long of our own time.
    pub(crate) fn spent(&self, stage: Stage, time: Duration) {
        self.overhead.get_or_create(&StageLabel { stage }).observe(time.as_secs_f64());
    }

    /// A caller stood in line for so long.
    pub(crate) fn waited(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    /// A usage row could not be kept.
    pub(crate) fn usage_dropped(&self, rows: u64) {
        self.usage_dropped.inc_by(rows);
    }

    /// A call that reached an engine has ended.
    pub(crate) fn called(&self, mut label: CallLabel, figures: &Figures) {
        self.cap(&mut label.gen_ai_request_model, &mut label.gen_ai_response_model);
        self.duration.get_or_create(&label).observe(figures.duration.as_secs_f64());
        for (gen_ai_token_type, count) in [("input", figures.prompt_tokens), ("output", figures.completion_tokens)] {
            if count > 0 {
                let label = TokenLabel { call: label.clone(), gen_ai_token_type };
                self.tokens.get_or_create(&label).observe(real(count));
            }
        }
        let (Code::None, Some(first)) = (label.error_type, figures.first_token) else { return };
        self.first_token.get_or_create(&label).observe(first.as_secs_f64());
        if figures.completion_tokens > 1 {
            let after = figures.duration.saturating_sub(first).as_secs_f64();
            self.per_token.get_or_create(&label).observe(after / real(figures.completion_tokens - 1));
        }
    }

    fn cap(&self, asked: &mut String, answered: &mut String) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if models.contains(asked.as_str()) {
            return;
        }
        if models.len() < MOST_MODELS {
            models.insert(asked.clone());
            return;
        }
        self.series_dropped.inc();
        "other".clone_into(asked);
        "other".clone_into(answered);
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are wider than the error")]
fn real(count: u64) -> f64 {
    count as f64
}
