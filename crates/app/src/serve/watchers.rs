//! Who watches the requests: the access log, the traces, and the numbers of the other rooms.
//!
//! In: settings. Out: the gateway's [`gateway::Watch`]. Fails: at the start, when the access log cannot be
//! opened. Where there is neither a log nor a collector, a request that asks for a line by itself
//! (`?log=info`) still gets one in the log of the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ByteSize;
use fleet::Snapshot;
use gateway::{Readings, Record, Sampling, Source};
use spec::Phase;
use webhooks::{Standing, State};

use super::log::access::{self, AccessLog};
use super::rooms::Rooms;
use super::traces::{Collector, Traces};
use crate::config::Settings;
use crate::error::Error;

/// Those who watch.
#[derive(Debug)]
pub(super) struct Watchers {
    log: Option<AccessLog>,
    traces: Option<Traces>,
    sampling: Option<Sampling>,
}

impl Watchers {
    /// As the settings want them.
    pub(super) fn start(settings: &Settings) -> Result<Self, Error> {
        let otlp = &settings.config.otlp;
        let traces = collector(settings).map(Traces::start);
        let sampling = traces.as_ref().map(|_| Sampling { ratio: otlp.sample_ratio });
        Ok(Self { log: AccessLog::open(&settings.config.access_log)?, traces, sampling })
    }

    /// For the gateway, with what the door tells of itself.
    pub(super) fn watch(&self, rooms: &Rooms, door: Source) -> gateway::Watch {
        let (log, traces) = (self.log.as_ref().map(AccessLog::buffer), self.traces.as_ref().map(Traces::line));
        let counts = (log.clone(), traces.clone());
        let ended = move |record: &Record<'_>| {
            match &log {
                Some(log) => log.note(record),
                None => access::say(record),
            }
            if let Some(traces) = &traces {
                traces.note(record);
            }
        };
        let own: Source = Arc::new(move |readings| {
            if let Some((written, dropped)) = counts.0.as_ref().map(|log| log.counts()) {
                readings.counter("penstock_access_log_lines", "Lines written to the access log", written);
                readings.counter("penstock_access_log_dropped", "Lines of the access log that were lost", dropped);
            }
            if let Some((sent, dropped)) = counts.1.as_ref().map(|line| line.counts()) {
                readings.counter("penstock_traces_sent", "Sampled requests whose spans a collector took", sent);
                readings.counter("penstock_traces_dropped", "Sampled requests whose spans were lost", dropped);
            }
        });
        let fleet = rooms.fleet.clone();
        let engine_room: Source = Arc::new(move |readings| tell(&fleet.snapshot(), readings));
        let webhooks = rooms.webhooks.handle();
        let receivers: Source = Arc::new(move |readings| tell_of_receivers(&webhooks.all(), readings));
        let always = self.log.is_some() || self.traces.is_some();
        gateway::Watch { ended: Some(Arc::new(ended)), always, sampling: self.sampling, sources: vec![engine_room, own, receivers, door] }
    }

    /// The file of the access log may have been moved.
    pub(super) fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// What was said is still written and sent, if that can be done soon.
    pub(super) async fn end(self) {
        let log = async {
            if let Some(log) = self.log {
                log.end().await;
            }
        };
        let traces = async {
            if let Some(traces) = self.traces {
                traces.end().await;
            }
        };
        tokio::join!(log, traces);
    }
}

/// Where spans go: the config's own words come before the variables of OpenTelemetry.
fn collector(settings: &Settings) -> Option<Collector> {
    let (otlp, variables) = (&settings.config.otlp, &settings.environment);
    if variables.get("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return None;
    }
    let below = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/').trim_end_matches("/v1/traces"));
    let of_variables = || {
        let whole = variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned);
        whole.or_else(|| variables.get("OTEL_EXPORTER_OTLP_ENDPOINT").map(below))
    };
    let url = otlp.endpoint.as_deref().map(below).or_else(of_variables)?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        tracing::error!(url, "OTEL_EXPORTER_OTLP_ENDPOINT is no URL, so nothing is traced; write http://HOST:4318");
        return None;
    }
    let headers = otlp.headers.clone();
    let headers = headers
        .or_else(|| variables.secret("OTEL_EXPORTER_OTLP_TRACES_HEADERS"))
        .or_else(|| variables.secret("OTEL_EXPORTER_OTLP_HEADERS"));
    let service = variables.get("OTEL_SERVICE_NAME").unwrap_or("penstock").to_owned();
    Some(Collector { url, headers, service })
}

/// The engine room's numbers.
fn tell(snapshot: &Snapshot, readings: &mut Readings<'_>) {
    readings.counter("penstock_instance_failures", "Instances that failed", snapshot.counters.failures);
    readings.counter("penstock_fleet_turns", "Turns of the fleet: looks at the world", snapshot.counters.turns);
    let busy = u64::try_from(snapshot.counters.busy.as_micros()).unwrap_or(u64::MAX);
    readings.counter("penstock_fleet_turn_microseconds", "Time of all turns of the fleet together", busy);
    let mut phases: BTreeMap<&'static str, u32> = Phase::ALL.iter().map(|phase| (phase.as_str(), 0)).collect();
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for instance in &snapshot.instances {
        *phases.entry(instance.phase.as_str()).or_default() += 1;
        *held.entry(instance.deployment.as_str()).or_default() += instance.memory.0;
    }
    let phases = phases.into_iter().map(|(phase, count)| (phase, f64::from(count)));
    readings.gauges("penstock_instance_phases", "Instances by phase", "phase", phases);
    let held = held.into_iter().map(|(holder, bytes)| (holder, real(ByteSize(bytes))));
    readings.gauges("penstock_memory_held_bytes", "Memory of instances, by estimate, by deployment", "holder", held);
    let (name, help) = (
        "penstock_device_memory_bytes",
        "Memory of each device by who holds it: the deployments that hold most, `(others of ours)`, `(promised)` of these and not yet taken, `(foreign)`, `(allocated)`, `(free)`",
    );
    readings.gauges_by_two((name, help), ("device", "holder"), devices(snapshot));
    let (name, help) = ("penstock_device_utilization_ratio", "Part of the last moment in which a card computed, where its driver tells");
    readings.gauges(name, help, "device", utilization(snapshot));
    readings.gauge("penstock_memory_margin_bytes", "Memory that is always left free", real(snapshot.margin));
    if let Some(budget) = snapshot.budget {
        readings.gauge("penstock_memory_budget_bytes", "Memory that all models together may take", real(budget));
    }
}

/// The receivers' numbers.
fn tell_of_receivers(receivers: &[Standing], readings: &mut Readings<'_>) {
    let counts = |of: fn(&Standing) -> u64| receivers.iter().map(move |one| (one.name.as_str(), of(one)));
    readings.counters("penstock_webhook_events", "Events that a webhook took, ever", "webhook", counts(|one| one.sent));
    readings.counters("penstock_webhook_failures", "Tries of a webhook that failed", "webhook", counts(|one| one.failed));
    readings.counters("penstock_webhook_dropped", "Events that a webhook never got, ever", "webhook", counts(|one| one.dropped));
    let lag = receivers.iter().map(|one| (one.name.as_str(), real(ByteSize(one.lag))));
    readings.gauges("penstock_webhook_lag_events", "Events that a webhook is behind", "webhook", lag);
    let age = receivers.iter().map(|one| (one.name.as_str(), std::time::Duration::from_millis(one.lag_ms).as_secs_f64()));
    readings.gauges("penstock_webhook_lag_seconds", "For how long the oldest of them has waited", "webhook", age);
    let off = receivers.iter().map(|one| (one.name.as_str(), f64::from(u8::from(one.state == State::Disabled))));
    readings.gauges("penstock_webhook_disabled", "1 for a webhook whose receiver wants no more", "webhook", off);
}

/// How busy each device is that can tell.
fn utilization(snapshot: &Snapshot) -> Vec<(&str, f64)> {
    const WHOLE: f64 = 100.0;
    let devices = snapshot.nodes.iter().flat_map(|node| &node.devices).map(|view| &view.device);
    devices.filter_map(|device| Some((device.id.as_str(), f64::from(device.utilization?) / WHOLE))).collect()
}

/// Deployments of one device that are named; the smaller ones are one.
const MOST_HOLDERS: usize = 20;

/// Who holds what of each device: deployments, strangers (`foreign`), what was set aside for them (`allocated`), nobody (`free`).
fn devices(snapshot: &Snapshot) -> Vec<((String, String), f64)> {
    let mut all = Vec::new();
    for view in snapshot.nodes.iter().flat_map(|node| &node.devices) {
        let mut held: Vec<(&str, ByteSize)> = view.held.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        held.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let rest: ByteSize = held.iter().skip(MOST_HOLDERS).map(|(_, bytes)| *bytes).sum();
        held.truncate(MOST_HOLDERS);
        if rest > ByteSize(0) {
            held.push(("(others of ours)", rest));
        }
        let others =
            [("(foreign)", view.foreign), ("(allocated)", view.allocated), ("(promised)", view.promised), ("(free)", view.device.free)];
        let holders = held.into_iter().chain(others);
        all.extend(holders.map(|(holder, bytes)| ((view.device.id.clone(), holder.to_owned()), real(bytes))));
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of bytes is a float to Prometheus anyway")]
fn real(size: ByteSize) -> f64 {
    size.0 as f64
}
