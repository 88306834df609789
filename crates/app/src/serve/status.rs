//! `/status`: the engine room in the words of older control planes.
//!
//! In: the fleet's snapshot, and the board for what callers do right now. Out: the gateway's document,
//! made anew at each ask.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use base::Timestamp;
use board::Board;
use fleet::{DeploymentView, Snapshot};
use gateway::{Status, StatusDoc, StatusError, StatusInstance};
use http::Uri;
use spec::{Instance, Name, Phase};

use super::story::LastErrors;

/// What makes the document.
pub(super) fn source(fleet: fleet::Handle, board: Arc<Board>, last_errors: LastErrors) -> Status {
    let began = Instant::now();
    Arc::new(move || {
        let mut document = document(&fleet.snapshot(), &board);
        document.uptime_seconds = began.elapsed().as_secs();
        document.last_errors = last_errors.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        document
    })
}

fn document(snapshot: &Snapshot, board: &Board) -> StatusDoc {
    let waiting: BTreeMap<Name, u32> = board.demand().into_iter().map(|demand| (demand.deployment, demand.waiting)).collect();
    let count = |is: fn(Phase) -> bool| u32::try_from(snapshot.instances.iter().filter(|one| is(one.phase)).count()).unwrap_or(u32::MAX);
    let instances: Vec<_> = snapshot.instances.iter().map(|one| instance(one, snapshot, board, &waiting)).collect();
    StatusDoc {
        used_est_mb: instances.iter().map(|one| one.est_vram_mb).sum(),
        instances,
        budget_mb: snapshot.budget.map_or(0, |budget| budget.0 >> 20),
        margin_mb: snapshot.margin.as_mib_ceil(),
        errors: snapshot.deployments.values().filter_map(|one| failure(one)).collect(),
        server_time_unix: Timestamp::now().as_secs(),
        evictions_total: snapshot.counters.evictions,
        loads_total: snapshot.counters.loads,
        state: state(snapshot),
        warmups_in_progress: count(Phase::is_rising),
        draining_count: count(Phase::is_falling),
        ..StatusDoc::default()
    }
}

fn instance(one: &Instance, snapshot: &Snapshot, board: &Board, waiting: &BTreeMap<Name, u32>) -> StatusInstance {
    let deployment = snapshot.deployments.get(&one.deployment);
    let used = board.member_use(&one.deployment, &one.id);
    StatusInstance {
        model_id: one.deployment.to_string(),
        state: word(one.phase),
        last_used_unix: used.last_used.map(Timestamp::dated).or(one.last_used).map_or(0, Timestamp::as_secs),
        est_vram_mb: snapshot.held.get(&one.id).map_or(0, |held| held.as_mib_ceil()),
        queue_len: waiting.get(&one.deployment).copied().unwrap_or(0),
        inflight: used.in_flight,
        max_queue_depth: deployment.map_or(0, |deployment| deployment.record.spec.max_queue),
        port: one.endpoint.as_deref().and_then(port).unwrap_or(0),
        pid: one.pid.unwrap_or(0),
    }
}

/// Of a URL; a Unix socket has none.
fn port(endpoint: &str) -> Option<u16> {
    let url: Uri = endpoint.parse().ok()?;
    let usual = match url.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some(url.port_u16().unwrap_or(usual))
}

fn failure(deployment: &DeploymentView) -> Option<StatusError> {
    let reason = deployment.reason.as_ref().filter(|_| deployment.phase == Phase::Failed)?;
    let model_id = deployment.record.spec.name.to_string();
    Some(StatusError { message: format!("{model_id}: {}", reason.message), model_id })
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Ready | Phase::Sleeping => "ready",
        Phase::Failed | Phase::Unhealthy => "error",
        phase if phase.is_falling() => "draining",
        _ => "loading",
    }
}

/// Ready when something serves; else what is most on its way to it.
fn state(snapshot: &Snapshot) -> &'static str {
    let has = |wanted: &str| snapshot.instances.iter().any(|one| word(one.phase) == wanted);
    let all_failed = !snapshot.deployments.is_empty() && snapshot.deployments.values().all(|one| one.phase == Phase::Failed);
    match () {
        () if has("ready") => "ready",
        () if has("loading") => "loading",
        () if all_failed => "error",
        () if has("draining") => "draining",
        () => "loading",
    }
}
