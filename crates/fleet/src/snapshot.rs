//! What others may see of the engine room: one value, made anew by each turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use board::Shelf;
use spec::deployment::{Record, Step};
use spec::{Instance, InstanceId, Name, Phase, Reason, ReasonCode, RolloutStatus, Version};

use crate::clock;
use crate::fetching;
use crate::holdings::{self, NodeView};
use crate::pipeline::{self, Done};
use crate::scale::{self, Scaling};
use crate::steps;
use crate::wishes::Active;
use crate::world::{Hand, Item, Resolve, Sight, Wish, World};

/// The engine room at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By name; one that is as it was is the same `Arc` as before.
    pub deployments: Shelf<Arc<DeploymentView>>,
    /// Oldest first.
    pub instances: Vec<Instance>,
    /// The machines.
    pub nodes: Vec<NodeView>,
    /// Totals since the start.
    pub counters: Counters,
    /// The memory budget, when one is set.
    pub budget: Option<ByteSize>,
    /// Always left free.
    pub margin: ByteSize,
    /// Held by our instances.
    pub used: ByteSize,
    /// Of that, what each of them holds: its estimate, from its start until it has ended.
    pub held: BTreeMap<InstanceId, ByteSize>,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Instances that became ready.
    pub loads: u64,
    /// Instances drained to make room.
    pub evictions: u64,
    /// Instances that failed.
    pub failures: u64,
    /// Turns before this one.
    pub turns: u64,
    /// How long they took together.
    pub busy: Duration,
    /// Wishes that were read from the store.
    pub read: u64,
    /// Wishes that were weighed by plans.
    pub weighed: u64,
    /// Deployments that were looked at to publish them.
    pub published: u64,
    /// Deployments that were looked at to show them.
    pub shown: u64,
}

/// A deployment.
#[derive(Debug, Clone)]
pub struct DeploymentView {
    /// As it is stored.
    pub record: Record,
    /// The phase of its foremost instance; `Stopped` when it has none.
    pub phase: Phase,
    /// Why it is not ready.
    pub reason: Option<Reason>,
    /// The revision that serves, or is wanted.
    pub revision: u64,
    /// The model's version, once it is resolved.
    pub version: Option<Version>,
    /// Instances that serve.
    pub ready: u32,
    /// Those of them that run the newest revision.
    pub ready_new: u32,
    /// Callers in line.
    pub waiting: u32,
    /// Calls running.
    pub in_flight: u32,
    /// The steps of its pipeline.
    pub steps: Vec<StepView>,
    /// What one instance takes: as it was measured of an earlier one, else by estimate.
    pub memory: ByteSize,
    /// How far it is from one revision to the next.
    pub rollout: RolloutStatus,
    /// How many instances there should be, and why.
    pub scaling: Scaling,
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// Which.
    pub step: Step,
    /// Whether it is done.
    pub done: Done,
}

/// The view of this world; of the deployments only these names are looked at again.
pub(crate) fn snapshot(world: &World, active: &Active<'_>, (before, names): (&Snapshot, &BTreeSet<Name>), counters: Counters) -> Snapshot {
    let mut deployments = before.deployments.clone();
    for name in names {
        let items = active.get(name).map(Vec::as_slice).unwrap_or_default();
        match world.wishes.get(name) {
            Some(wish) => drop(deployments.insert(name.clone(), Arc::new(deployment(wish, items, world)))),
            None => drop(deployments.remove(name)),
        }
    }
    let held = world.held();
    let mut items: Vec<&Item> = world.items.values().collect();
    items.sort_by_key(|item| item.created_at);
    Snapshot {
        deployments,
        instances: items.into_iter().map(|item| instance(item, world.drift)).collect(),
        nodes: holdings::nodes(world),
        counters,
        budget: world.room.budget,
        margin: world.room.margin,
        used: held,
        held: world.items.values().filter(|item| item.holds_memory()).map(|item| (item.id.clone(), item.memory)).collect(),
    }
}

/// The view of all of this world.
#[cfg(test)]
pub(crate) fn whole(world: &World) -> Snapshot {
    let names = world.wishes.iter().map(|(name, _)| name.clone()).collect();
    snapshot(world, &world.active(), (&Snapshot::default(), &names), Counters::default())
}

fn deployment(wish: &Wish, items: &[&Item], world: &World) -> DeploymentView {
    let foremost = items.iter().copied().filter(|item| item.is_serving()).max_by_key(|item| item.phase);
    let foremost = foremost.or_else(|| items.iter().copied().max_by_key(|item| item.created_at));
    let ready: Vec<&Item> = items.iter().copied().filter(|item| item.phase == Phase::Ready).collect();
    let serving: Vec<&Item> = items.iter().copied().filter(|item| item.is_serving()).collect();
    let phase = match (foremost, &wish.resolve) {
        (Some(item), _) => item.phase,
        (None, Resolve::Failed(..)) => Phase::Failed,
        (None, Resolve::Running) if fetching::seen(wish).is_some() => Phase::Fetching,
        (None, _) => Phase::Stopped,
    };
    DeploymentView {
        phase,
        reason: if ready.is_empty() { Some(reason(wish, foremost, world.date())) } else { None },
        revision: steps::shown(wish, &ready),
        version: wish.revision().and_then(|revision| revision.version.clone()),
        ready: u32::try_from(ready.len()).unwrap_or(u32::MAX),
        ready_new: u32::try_from(ready.iter().filter(|item| item.revision.number == wish.rollout.to).count()).unwrap_or(u32::MAX),
        waiting: wish.demand.waiting,
        in_flight: wish.demand.in_flight,
        steps: pipeline::steps(wish, foremost).into_iter().map(|(step, done)| StepView { step, done }).collect(),
        memory: wish.memory,
        rollout: clock::dated(&wish.rollout, world.drift),
        scaling: scale::explain(wish, &serving, world),
        record: wish.record.clone(),
    }
}

fn reason(wish: &Wish, foremost: Option<&Item>, now: Timestamp) -> Reason {
    if let Some(reason) = foremost.filter(|item| item.phase != Phase::Stopped).and_then(|item| item.reason.clone()) {
        return reason;
    }
    if let Some(reason) = scale::closed(wish, now) {
        return reason;
    }
    match (&wish.resolve, &wish.failure) {
        (Resolve::Failed(reason, _), _) | (_, Some(reason)) => reason.clone(),
        (_, None) if wish.hand == Hand::Unload => {
            Reason::new(ReasonCode::Unloaded, "it was unloaded by hand", "the next call, or `load`, starts it")
        }
        (Resolve::Pending | Resolve::Running, None) => fetching::reason(wish),
        (Resolve::Done(_), None) => scale::idle(wish),
    }
}

/// An instance as operators see it, with times by the calendar.
fn instance(item: &Item, drift: i64) -> Instance {
    let (pid, resident) = match &item.sight {
        Sight::Running { pid, resident } => (*pid, *resident),
        _ => (None, None),
    };
    Instance {
        id: item.id.clone(),
        deployment: item.deployment.clone(),
        revision: item.revision.number,
        engine: item.engine,
        runtime: item.runtime,
        phase: item.phase,
        since: item.since.shifted(drift),
        reason: item.reason.clone(),
        memory: if item.holds_memory() { resident.unwrap_or(item.memory) } else { ByteSize(0) },
        reserved: item.memory,
        measured: item.measured,
        footprint: (item.noted > ByteSize(0)).then_some(item.noted),
        pid,
        endpoint: item.endpoint.as_ref().map(ToString::to_string),
        in_flight: item.used.in_flight,
        ejected: item.used.ejected,
        slots: item.slots,
        last_used: item.used.last_used.map(|at| at.shifted(drift)),
        created_at: item.created_at.shifted(drift),
        load_ms: item.load_ms(),
    }
}
