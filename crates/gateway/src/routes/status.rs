//! `GET /status`: how the house stands, in the words of older control planes.
//!
//! In: a document that `app` makes from the fleet's snapshot and the board. Out: the same as JSON; a
//! few of its numbers also go to `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;
use spec::{Kind, Name, Verb};

use crate::Gateway;
use crate::call::Face;
use crate::identify::identify;
use crate::metrics::Source;

/// How the house stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StatusDoc {
    /// Each instance.
    pub instances: Vec<StatusInstance>,
    /// Memory that may be used, in MiB; 0 for no budget.
    pub budget_mb: u64,
    /// Memory that is held, by estimate, in MiB: the sum of what the instances hold.
    pub used_est_mb: u64,
    /// Memory kept free within the budget, in MiB.
    pub margin_mb: u64,
    /// The first of `errors` that is there for the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last of `last_errors` that is there for the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What is wrong now.
    #[serde(skip)]
    pub errors: Vec<StatusError>,
    /// What went wrong, the newest last.
    #[serde(skip)]
    pub last_errors: Vec<StatusError>,
    /// Since the start of this process.
    pub uptime_seconds: u64,
    /// The server's clock.
    pub server_time_unix: i64,
    /// Instances that had to leave for others.
    pub evictions_total: u64,
    /// Instances that came up.
    pub loads_total: u64,
    /// `loading`, `ready`, `draining` or `error`.
    pub state: &'static str,
    /// Instances on their way up.
    pub warmups_in_progress: u32,
    /// Instances on their way down.
    pub draining_count: u32,
}

/// One instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StatusInstance {
    /// Its model's public name.
    pub model_id: String,
    /// `loading`, `ready`, `draining` or `error`.
    pub state: &'static str,
    /// When it was last used; 0 for never.
    pub last_used_unix: i64,
    /// The memory that it holds, by estimate, in MiB; 0 before its start and after its end.
    pub est_vram_mb: u64,
    /// Callers in line for its model, those that run not counted.
    pub queue_len: u32,
    /// Calls that run on it.
    pub inflight: u32,
    /// The most callers in line.
    pub max_queue_depth: u32,
    /// The TCP port of its URL; 0 when it listens on a Unix socket.
    pub port: u16,
    /// Its process; 0 when it is none of this machine.
    pub pid: u32,
}

/// What is wrong, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusError {
    /// The model's public name; empty where it is nobody's.
    pub model_id: String,
    /// In words, with the name.
    pub message: String,
}

/// Makes the document anew at each ask, with `errors` and `last_errors` for all readers.
pub type Status = Arc<dyn Fn() -> StatusDoc + Send + Sync>;

/// Answers with the document.
pub(super) async fn status(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    match identify(gateway.access(), &headers) {
        Ok(caller) => {
            let (mut status, table) = (gateway.status(), gateway.board().table());
            let may_look = caller.may(Verb::Get, Kind::Deployments).is_ok();
            cut(&mut status, |model| match table.deployments.get(model) {
                Some(entry) => {
                    let is_known = may_look || caller.may_infer(model).is_ok();
                    is_known && caller.calls_reach(entry.spec.project.as_ref().map(Name::as_str))
                }
                None => caller.calls_everywhere(), // it is gone, and nobody can say whose it was
            });
            Json(status).into_response()
        }
        Err(error) => error.response(Face::Lines),
    }
}

/// Leaves what is there for this reader.
fn cut(status: &mut StatusDoc, is_there: impl Fn(&str) -> bool) {
    let is_told = |error: &&StatusError| is_there(&error.model_id);
    let message = |error: &StatusError| error.message.clone();
    status.error = status.errors.iter().find(is_told).map(message);
    status.last_error = status.last_errors.iter().rfind(is_told).map(message);
    status.instances.retain(|of| is_there(&of.model_id));
    status.used_est_mb = status.instances.iter().map(|of| of.est_vram_mb).sum();
}

/// The document's numbers for Prometheus.
pub(crate) fn numbers(status: Status) -> Source {
    Arc::new(move |readings| {
        let status = status();
        readings.counter("penstock_loads", "Instances that came up", status.loads_total);
        readings.counter("penstock_evictions", "Instances that left for others", status.evictions_total);
        let mut by_state = BTreeMap::from([("loading", 0_u32), ("ready", 0), ("draining", 0), ("error", 0)]);
        for instance in &status.instances {
            *by_state.entry(instance.state).or_default() += 1;
        }
        let by_state = by_state.into_iter().map(|(state, count)| (state, f64::from(count)));
        readings.gauges("penstock_instances", "Instances by state", "state", by_state);
    })
}
