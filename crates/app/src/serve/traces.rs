//! Traces: the spans of sampled requests, sent to a collector of OpenTelemetry.
//!
//! In: records of requests that are over. Out: spans by OTLP over HTTP, in protobuf. Fails: never to the
//! request; at the start, when the collector's address is none. Holds: at most [`MOST_SPANS`] requests that wait
//! to be sent, behind a short lock, and one task that sends them off the async threads. What finds it
//! full, or is not taken by the collector in [`TRIES`] tries, is dropped and counted.
//! From: the OpenTelemetry protocol 1.x and the semantic conventions for generative AI.

mod keep;

mod span;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Backoff, Secret};
use gateway::Record;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ureq::Agent;

use keep::Kept;

/// Requests that wait to be sent.
const MOST_SPANS: usize = 8192;
/// Spans gather for so long, or up to so many, before they are sent.
const GATHER: Duration = Duration::from_secs(1);
const BATCH: usize = 512;
/// Tries for one batch.
const TRIES: u32 = 3;
const WAITS: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(2) };
/// For one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// For what is left at the end.
const LAST: Duration = Duration::from_secs(3);

/// Where spans go.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    /// The whole address that they are posted to.
    pub(super) url: String,
    /// `NAME=VALUE,NAME=VALUE`, to be sent along.
    pub(super) headers: Option<Secret>,
    /// `service.name`
    pub(super) service: String,
}

/// The exporter.
#[derive(Debug)]
pub(super) struct Traces {
    line: Arc<Line>,
    over: CancellationToken,
    task: Task,
}

/// What the threads that serve and the exporter share.
#[derive(Debug, Default)]
pub(super) struct Line {
    kept: Mutex<Vec<Kept>>,
    begun: Notify,
    full: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Traces {
    /// Starts the exporter.
    pub(super) fn start(collector: Collector) -> Self {
        let (line, over) = (Arc::<Line>::default(), CancellationToken::new());
        // Fails only when a provider is set already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
        let exporter = Exporter { line: Arc::clone(&line), collector: Arc::new(collector), agent, is_told: false };
        let task = tasks::spawn("otlp", exporter.run(over.clone()));
        Self { line, over, task }
    }

    /// Where records are put.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// What waits is still sent, if that can be done soon.
    pub(super) async fn end(self) {
        self.over.cancel();
        if tokio::time::timeout(LAST, self.task.join()).await.is_err() {
            tracing::warn!("the last spans were not taken by the collector");
        }
    }
}

impl Line {
    /// Takes a record if its trace is sampled; never waits.
    pub(super) fn note(&self, record: &Record<'_>) {
        let Some(kept) = Kept::of(record) else { return };
        let mut line = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = line.len();
        if before >= MOST_SPANS {
            drop(line);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        line.push(kept);
        drop(line);
        if before == 0 {
            self.begun.notify_one();
        } else if before + 1 == BATCH {
            self.full.notify_one();
        }
    }

    /// Requests whose spans were sent, and those whose were lost.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.dropped.load(Relaxed))
    }

    fn take(&self) -> Vec<Kept> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Exporter {
    line: Arc<Line>,
    collector: Arc<Collector>,
    agent: Agent,
    is_told: bool,
}

/// What became of a batch.
enum Sent {
    Taken,
    /// Worth another try, later.
    Later(String),
    Refused(String),
}

impl Exporter {
    async fn run(mut self, over: CancellationToken) {
        loop {
            tokio::select! {
                () = self.line.begun.notified() => {}
                () = over.cancelled() => {}
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = self.line.full.notified() => {}
                () = over.cancelled() => {}
            }
            let mut waiting = self.line.take();
            while !waiting.is_empty() {
                let rest = waiting.split_off(waiting.len().min(BATCH));
                self.send(waiting).await;
                waiting = rest;
            }
            if over.is_cancelled() {
                return;
            }
        }
    }

    async fn send(&mut self, batch: Vec<Kept>) {
        let count = batch.len() as u64;
        let collector = Arc::clone(&self.collector);
        let encode = move || {
            let request = ExportTraceServiceRequest { resource_spans: vec![span::resource(&collector.service, &batch)] };
            request.encode_to_vec()
        };
        let Some(bytes) = tasks::blocking("otlp-encode", encode).await else { return };
        let bytes = Arc::new(bytes);
        for failures in 1..=TRIES {
            let (agent, collector, bytes) = (self.agent.clone(), Arc::clone(&self.collector), Arc::clone(&bytes));
            let outcome = tasks::blocking("otlp-post", move || post(&agent, &collector, &bytes)).await;
            let why = match outcome {
                Some(Sent::Taken) => {
                    self.line.sent.fetch_add(count, Relaxed);
                    self.is_told = false;
                    return;
                }
                Some(Sent::Later(_)) if failures < TRIES => {
                    tokio::time::sleep(WAITS.wait(failures)).await;
                    continue;
                }
                Some(Sent::Later(why) | Sent::Refused(why)) => why,
                None => return,
            };
            self.line.dropped.fetch_add(count, Relaxed);
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(url = self.collector.url, why, "the collector does not take spans; they are dropped until it does");
            }
            return;
        }
    }
}

fn post(agent: &Agent, collector: &Collector, bytes: &[u8]) -> Sent {
    const OTHERS: [u16; 4] = [429, 502, 503, 504]; // what the protocol says is worth another try
    let mut request = agent.post(&collector.url).header("content-type", "application/x-protobuf");
    if let Some(headers) = &collector.headers {
        for (name, value) in pairs(headers.expose()) {
            request = request.header(name, value);
        }
    }
    match request.send(bytes) {
        Ok(answer) if answer.status().is_success() => Sent::Taken,
        Ok(answer) if OTHERS.contains(&answer.status().as_u16()) => Sent::Later(format!("it answers {}", answer.status())),
        Ok(answer) => Sent::Refused(format!("it answers {}", answer.status())),
        Err(error) => Sent::Later(base::chain(&error)),
    }
}

/// Names and values of `NAME=VALUE,NAME=VALUE`.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.trim(), value.trim()))
}

#[cfg(test)]
mod tests;
