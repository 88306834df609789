//! Our nouns as resources: the stored wish together with how the fleet sees it.
//!
//! In: a record of the store, the fleet's snapshot. Out: what is serialised; its
//! shape is that of [`crate::view`]. A record that the fleet has not looked at yet is `pending`.

use access::Caller;
use base::Timestamp;
use fleet::{DeploymentView, Scaling, Snapshot};
use serde::Serialize;
use spec::deployment::{Origin, RevisionStatus, Strategy};
use spec::{
    Deployment, InstanceId, Kind, Name, Phase, Reason, ReasonCode, Record, Revision, RolloutPhase, RolloutStatus, Source, Verb, Version,
};
use store::KeptRevision;

use crate::House;

/// Stands for what is not told; sent back, it means what is there.
pub(crate) const HIDDEN: &str = "(hidden)";
/// The variable that is no secret and takes no right: the cards are chosen by Penstock, whatever it says.
pub(crate) const CARDS: &str = "CUDA_VISIBLE_DEVICES";

/// A deployment as a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: Name,
    spec: Deployment,
    status: Status,
    pub(crate) generation: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Status {
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    ready: u32,
    in_flight: u32,
    waiting: u32,
    instances: Vec<InstanceId>,
    origin: Origin,
    rollout: ShownRollout,
}

/// What stands beside the stored records, read once for a whole list.
pub(crate) struct Sight {
    pub(crate) snapshot: std::sync::Arc<Snapshot>,
    /// Whether who asks sees the values of variables.
    variables: bool,
}

impl Shown {
    /// The project that it belongs to.
    pub(crate) fn project(&self) -> Option<&Name> {
        self.spec.project.as_ref()
    }
}

impl Sight {
    /// As it is now, for everybody.
    pub(crate) fn now(house: &House) -> Self {
        Self { snapshot: house.fleet.snapshot(), variables: false }
    }
    /// As it is now, for who asks.
    pub(crate) fn of(house: &House, caller: &Caller) -> Self {
        Self { variables: sees_variables(caller), ..Self::now(house) }
    }
    /// Every deployment that the fleet knows.
    pub(crate) fn all(&self) -> Vec<Shown> {
        self.snapshot.deployments.values().map(|view| self.show(view.record.clone())).collect()
    }
    /// A stored record with its status.
    pub(crate) fn show(&self, record: Record) -> Shown {
        let view = self.view(&record.spec.name);
        let status = Status {
            state: state(&record, view).to_owned(),
            reason: view.and_then(|view| view.reason.clone()),
            revision: view.map(|view| view.revision),
            ready: view.map_or(0, |view| view.ready),
            in_flight: view.map_or(0, |view| view.in_flight),
            waiting: view.map_or(0, |view| view.waiting),
            instances: self.instances(&record.spec.name),
            origin: record.origin,
            rollout: ShownRollout::of(&record, view),
        };
        Shown {
            name: record.spec.name.clone(),
            status,
            generation: record.generation,
            created_at: record.created_at,
            updated_at: record.updated_at,
            spec: wish(record.spec, self.variables),
        }
    }
    /// How the fleet sees a deployment.
    pub(crate) fn view(&self, name: &Name) -> Option<&DeploymentView> {
        self.snapshot.deployments.get(name).map(AsRef::as_ref)
    }
    fn instances(&self, name: &Name) -> Vec<InstanceId> {
        self.snapshot.instances.iter().filter(|instance| instance.deployment == *name).map(|instance| instance.id.clone()).collect()
    }
}

/// The word for how a deployment stands.
pub(crate) fn state(record: &Record, view: Option<&DeploymentView>) -> &'static str {
    let Some(view) = view.filter(|_| !record.deleting) else {
        return if record.deleting { "deleting" } else { Phase::Pending.as_str() };
    };
    match (view.phase, view.reason.as_ref().map(|reason| reason.code)) {
        _ if view.ready > 0 => Phase::Ready.as_str(),
        (Phase::Stopped, None | Some(ReasonCode::Idle | ReasonCode::Unloaded | ReasonCode::KeepAliveOver)) => "cold",
        (Phase::Stopped, Some(ReasonCode::Progressing)) => Phase::Pending.as_str(),
        (Phase::Stopped, Some(_)) => Phase::Failed.as_str(),
        (phase, _) => phase.as_str(),
    }
}

/// Whether they see the values of engines' variables: who may set them.
pub(crate) fn sees_variables(caller: &Caller) -> bool {
    caller.may(Verb::Update, Kind::Server).is_ok()
}

/// A wish as it is shown: without what may open the address of its model, and but to who may set variables without their values.
fn wish(mut spec: Deployment, variables: bool) -> Deployment {
    if !variables {
        spec.env.iter_mut().filter(|(name, _)| *name != CARDS).for_each(|(_, value)| HIDDEN.clone_into(value));
    }
    Deployment { model: spec.model.as_ref().map(Source::shown), ..spec }
}

/// The same as audits tell it.
pub(crate) fn told(spec: &Deployment) -> Deployment {
    wish(spec.clone(), false)
}

/// The wish of somebody who may have been shown what was there as [`wish`] shows it: what was kept from them is as it was.
pub(crate) fn meant(mut wanted: Deployment, before: Option<&Deployment>) -> Deployment {
    let Some(before) = before else { return wanted };
    wanted.model = wanted.model.map(|model| model.meant(before.model.as_ref()));
    for (name, value) in wanted.env.iter_mut().filter(|(_, value)| *value == HIDDEN) {
        if let Some(there) = before.env.get(name) {
            value.clone_from(there);
        }
    }
    wanted
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ShownRollout {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    to: u64,
    strategy: Strategy,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    ready: u32,
    failures: u32,
    paused: bool,
    started_at: Timestamp,
    progress_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl ShownRollout {
    /// As the fleet has it; one that it has not looked at yet has just begun.
    pub(crate) fn of(record: &Record, view: Option<&DeploymentView>) -> Self {
        let fresh = || RolloutStatus::first(record.generation, &record.spec.rollout, record.updated_at);
        let status = view.filter(|view| view.rollout.to >= record.generation).map_or_else(fresh, |view| view.rollout.clone());
        Self::with(&status, record, view)
    }
    /// This one, of that deployment.
    pub(crate) fn with(status: &RolloutStatus, record: &Record, view: Option<&DeploymentView>) -> Self {
        let state = match status.phase {
            RolloutPhase::Complete => "complete",
            RolloutPhase::RolledBack => "rolled_back",
            RolloutPhase::Progressing if status.paused => "paused",
            RolloutPhase::Progressing if view.is_some_and(|view| view.scaling.wanted == 0 && view.scaling.has == 0) => "waiting",
            RolloutPhase::Progressing => "progressing",
        };
        Self {
            state,
            from: status.from,
            to: status.to,
            strategy: status.strategy,
            weight: status.weight(&record.spec.rollout),
            ready: view.map_or(0, |view| view.ready_new),
            failures: status.failures,
            paused: status.paused,
            started_at: status.started_at,
            progress_at: status.progress_at,
            reason: status.reason.clone(),
        }
    }
}

/// A revision as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ShownRevision {
    number: u64,
    status: RevisionStatus,
    cause: String,
    created_at: Timestamp,
    digest: Option<String>,
    spec: Deployment,
    version: Option<Version>,
}

impl ShownRevision {
    /// As it is shown to who sees the values of variables, or does not.
    pub(crate) fn of(kept: KeptRevision, variables: bool) -> Self {
        let Revision { number, spec, version } = kept.revision;
        let (status, cause, created_at, digest) = (kept.status, kept.cause, kept.created_at, kept.digest);
        Self { number, status, cause, created_at, digest, spec: wish(spec, variables), version }
    }
}

/// How many instances there should be.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct ShownScaling {
    min: u32,
    max: u32,
    wanted: u32,
    has: u32,
    because: Vec<Reason>,
}

impl From<&Scaling> for ShownScaling {
    fn from(scaling: &Scaling) -> Self {
        let Scaling { min, max, wanted, has, because } = scaling.clone();
        Self { min, max, wanted, has, because }
    }
}
