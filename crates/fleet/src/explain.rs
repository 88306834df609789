//! Why a deployment is as it is, and what would happen if one more instance were wanted.
//!
//! In: the [`World`]. Out: values with numbers. Pure. Nothing here decides: what would happen is found by letting the very code that
//! gives room ([`crate::room`]) decide about a copy of the world in which somebody asks, so the answer cannot differ from the deed.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{ByteSize, Secret, Timestamp};
use serde::Serialize;
use spec::{Cause, Grant, InstanceId, Name, Phase, Reason, ReasonCode, Revision};

use crate::act::new_item;
use crate::cause::FOR;
use crate::ledger::Ledger;
use crate::place::{Fit, grant, place};
use crate::plan::Action;
use crate::room::{self, give_room};
use crate::world::{Hand, Item, Resolve, Wish, World};
use crate::{footprints, need};

/// Why a deployment is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Each instance, oldest first.
    pub instances: Vec<Here>,
    /// What keeps it from having another instance; nothing where none is wanted, or nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Reason>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// What would happen if another instance were wanted now; nothing before its model is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Trial>,
}

/// An instance, and why it is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Here {
    /// Its id.
    pub id: InstanceId,
    /// Its revision.
    pub revision: u64,
    /// Where in its life it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// What it was created for.
    pub cause: Cause,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Whether an instance has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would be started at once.
    Fits,
    /// It would be started as soon as others have left.
    AfterOthers,
    /// It would wait: those who could leave may stay for now, or others asked first.
    Waits,
    /// It would fail.
    Never,
}

/// What would happen if an instance were wanted now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Whether it has room.
    pub verdict: Verdict,
    /// Bytes that it needs.
    pub memory: ByteSize,
    /// Whether that was measured of an earlier one; else it is an estimate.
    pub measured: bool,
    /// Where it would be: the devices, with bytes and layers; empty where it would wait or fail, or needs none.
    pub grant: Grant,
    /// Why it would wait or fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Who would leave for it, or already does.
    pub leave: Vec<Leaver>,
    /// What their leaving costs: the time that loading all of them again takes.
    pub cost_ms: u64,
    /// When somebody may be asked to leave at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

/// Somebody who would leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leaver {
    /// The instance.
    pub instance: InstanceId,
    /// Its deployment.
    pub deployment: Name,
    /// Bytes that it gives back.
    pub memory: ByteSize,
    /// How long loading it again takes.
    pub reload_ms: u64,
    /// Calls that run on it, and would be waited for.
    pub in_flight: u32,
    /// When it was last of use.
    pub last_used: Timestamp,
}

/// Why this deployment is as it is.
pub fn explain(world: &World, name: &Name) -> Option<Explained> {
    let wish = world.wishes.get(name)?;
    let mut items: Vec<&Item> = world.items_of(name).collect();
    items.sort_by_key(|item| item.created_at);
    let waiting = items.iter().find(|item| item.waits_for_room());
    let next = match waiting {
        Some(item) => Some(asks(world, item)),
        None => wish.revision().map(|revision| trial(world, revision)),
    };
    let (blocked, again_at) = blocked(wish, waiting.copied(), world, next.as_ref());
    Some(Explained { instances: items.into_iter().map(|item| here(item, world)).collect(), blocked, again_at, next })
}

/// What would happen if an instance of this revision were wanted now, behind all who wait already.
pub fn trial(world: &World, revision: &Arc<Revision>) -> Trial {
    let mut world = world.clone();
    let mut item = new_item(InstanceId::new("fit"), Arc::clone(revision), Secret::new(""), world.now);
    footprints::recall(&world.footprints, &mut item);
    world.items.insert(item.id.clone(), item.clone());
    asks(&world, &item)
}

/// What happens to this one, which waits for room.
fn asks(world: &World, item: &Item) -> Trial {
    let usual = Trial {
        verdict: Verdict::Waits,
        memory: item.memory,
        measured: item.measured,
        grant: Grant::default(),
        reason: item.reason.clone().filter(|reason| reason.code == ReasonCode::NoRoom),
        leave: Vec::new(),
        cost_ms: 0,
        again_at: None,
    };
    let mut trial = usual;
    for action in give_room(world, &BTreeSet::new()) {
        match action {
            Action::Launch(id, grant) if id == item.id => return Trial { verdict: Verdict::Fits, grant, reason: None, ..trial },
            Action::Fail(id, reason) if id == item.id => return Trial { verdict: Verdict::Never, reason: Some(reason), ..trial },
            Action::Move(id, Phase::Placing, reason) if id == item.id => trial.reason = reason,
            Action::Tell(id, reason) if id == item.id => trial.reason = Some(reason),
            Action::Move(id, Phase::Draining, Some(reason)) if is_for(&reason, item) => {
                trial.leave.extend(world.items.get(&id).map(|other| leaver(other, world)));
            }
            _ => {}
        }
    }
    let on_their_way = world.items.values().filter(|other| !other.is_serving() && other.holds_memory());
    trial.leave.extend(
        on_their_way.filter(|other| other.reason.as_ref().is_some_and(|reason| is_for(reason, item))).map(|other| leaver(other, world)),
    );
    if trial.leave.is_empty() {
        return Trial { again_at: room::next_look(world).map(|at| at.shifted(world.drift)), ..trial };
    }
    trial.verdict = Verdict::AfterOthers;
    trial.cost_ms = trial.leave.iter().map(|leaver| leaver.reload_ms).sum();
    trial.grant = without(&trial.leave, world, item);
    trial
}

fn is_for(reason: &Reason, item: &Item) -> bool {
    reason.fact(FOR).as_deref() == Some(item.deployment.as_str())
}

/// Where it goes once these have left.
fn without(leave: &[Leaver], world: &World, item: &Item) -> Grant {
    let mut ledger = Ledger::of(world);
    let given: Vec<(usize, i64)> = leave
        .iter()
        .filter_map(|leaver| world.items.get(&leaver.instance))
        .flat_map(|other| ledger.of_item(other))
        .map(|(at, bytes)| (at, -crate::ledger::signed(bytes)))
        .collect();
    ledger.take(&given);
    match place(&need::of(item, &world.room), &ledger, world.room.packing) {
        Fit::Fits(way) => grant(&way, &ledger),
        Fit::NoRoom { .. } | Fit::Never { .. } => Grant::default(),
    }
}

fn leaver(item: &Item, world: &World) -> Leaver {
    Leaver {
        instance: item.id.clone(),
        deployment: item.deployment.clone(),
        memory: item.memory,
        reload_ms: room::reload_ms(item),
        in_flight: item.used.in_flight,
        last_used: item.last_of_use().shifted(world.drift),
    }
}

fn here(item: &Item, world: &World) -> Here {
    Here {
        id: item.id.clone(),
        revision: item.revision.number,
        phase: item.phase,
        since: item.since.shifted(world.drift),
        cause: item.cause.clone(),
        reason: item.reason.clone(),
    }
}

/// What keeps it from having another instance, and until when.
fn blocked(wish: &Wish, waiting: Option<&Item>, world: &World, next: Option<&Trial>) -> (Option<Reason>, Option<Timestamp>) {
    if let Resolve::Failed(reason, at) = &wish.resolve {
        return (Some(reason.clone()), Some(at.shifted(world.drift)));
    }
    if let Some((reason, at)) = wish.failure.clone().zip(wish.retry_at.filter(|at| *at > world.now)) {
        return (Some(reason), Some(at.shifted(world.drift)));
    }
    if wish.hand == Hand::Unload {
        let reason = Reason::new(ReasonCode::Unloaded, "it was unloaded by hand", "the next call, or `penstock load`, starts it");
        return (Some(reason), None);
    }
    let waits = waiting.and(next).filter(|next| next.verdict != Verdict::Fits);
    match waits {
        Some(next) => (next.reason.clone(), next.again_at),
        None => (wish.rollout.paused.then(|| wish.rollout.reason.clone()).flatten(), None),
    }
}

#[cfg(test)]
mod tests;
