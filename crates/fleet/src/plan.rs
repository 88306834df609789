//! What to do now.
//!
//! In: the [`World`]. Out: actions, each of which is safe to do again. Pure: no I/O, no clock. One
//! deployment after the other, first its instances' own lives, then how many there should be, then
//! room for those that wait for it.

use std::time::Duration;

use base::{Backoff, ByteSize};
use spec::{InstanceId, Name, Phase, Reason, ReasonCode};

use crate::evict::{Candidate, evict};
use crate::life::{self, Next};
use crate::place::{Fit, place};
use crate::scale;
use crate::world::{Hand, Item, Resolve, Wish, World};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Freeze the wish as a revision.
    Resolve(Name),
    /// Decide on one more instance.
    Create(Name),
    /// Start it; there is room.
    Launch(InstanceId),
    /// It goes to this phase.
    Move(InstanceId, Phase, Option<Reason>),
    /// It failed; its deployment backs off.
    Fail(InstanceId, Reason),
    /// Ask for its end.
    Stop(InstanceId),
    /// Nothing is left of it.
    Forget(InstanceId),
    /// Nothing is left of the deployment.
    Remove(Name),
}

/// How long a deployment waits after failures in a row. The first is tried again soon, since most
/// failures pass; one that does not pass must not become a busy loop.
pub const AFTER_FAILURE: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_mins(5) };

/// What to do now.
pub fn plan(world: &World) -> Vec<Action> {
    let mut actions = Vec::new();
    for item in world.items.values() {
        actions.extend(live(item, world));
    }
    for (name, wish) in &world.wishes {
        actions.extend(serve(name, wish, world));
    }
    actions.extend(give_room(world));
    actions
}

fn live(item: &Item, world: &World) -> Option<Action> {
    let id = || item.id.clone();
    match life::next(item, world.now) {
        Next::Stay => superseded_failure(item, world).then(|| Action::Forget(id())),
        Next::Move(phase, reason) => Some(Action::Move(id(), phase, reason)),
        Next::Fail(reason) => Some(Action::Fail(id(), reason)),
        Next::Stop => Some(Action::Stop(id())),
        Next::Forget => Some(Action::Forget(id())),
    }
}

/// A failed instance is shown until its deployment is gone or has another one.
fn superseded_failure(item: &Item, world: &World) -> bool {
    let gone = world.wishes.get(&item.deployment).is_none_or(|wish| wish.record.deleting);
    let other = || world.items_of(&item.deployment).any(|other| other.created_at > item.created_at);
    item.phase == Phase::Failed && item.stop_asked && (gone || world.stopping || other())
}

fn serve(name: &Name, wish: &Wish, world: &World) -> Vec<Action> {
    let all: Vec<&Item> = world.items_of(name).collect();
    if wish.record.deleting && all.is_empty() {
        return vec![Action::Remove(name.clone())];
    }
    let serving: Vec<&Item> = all.iter().copied().filter(|item| item.is_serving()).collect();
    let target = scale::target(wish, &serving, world.now, world.stopping);
    let mut actions = Vec::new();
    if !wish.record.deleting && !world.stopping && wants_resolve(wish, world) {
        actions.push(Action::Resolve(name.clone()));
    }
    let (current, old): (Vec<&Item>, Vec<&Item>) = serving.iter().copied().partition(|item| item.revision.number == wish.record.generation);
    let have = u32::try_from(current.len()).unwrap_or(u32::MAX);
    if target.count > have {
        let may = matches!(wish.resolve, Resolve::Done(_)) && wish.retry_at.is_none_or(|at| at <= world.now);
        actions.extend(may.then(|| Action::Create(name.clone())));
    }
    actions.extend(surplus(&current, target.count).into_iter().map(|item| leave(item, &target.reason)));
    let replaced = current.iter().any(|item| item.phase == Phase::Ready) || target.count == 0;
    if replaced {
        let reason = if target.count == 0 { target.reason } else { Reason::new(ReasonCode::Superseded, "a newer revision serves", "") };
        actions.extend(old.into_iter().map(|item| leave(item, &reason)));
    }
    actions
}

fn wants_resolve(wish: &Wish, world: &World) -> bool {
    match &wish.resolve {
        Resolve::Pending => true,
        Resolve::Failed(_, at) => *at <= world.now && (wish.is_asked_for() || wish.record.spec.replicas.min > 0 || wish.hand == Hand::Load),
        Resolve::Running | Resolve::Done(_) => false,
    }
}

/// Who goes when there are too many: first those that do not serve yet, then the longest unused.
/// None goes while it works, unless nothing is wanted at all: then it drains.
fn surplus<'a>(current: &[&'a Item], target: u32) -> Vec<&'a Item> {
    let mut order: Vec<&Item> = current.iter().copied().filter(|item| target == 0 || item.used.in_flight == 0).collect();
    order.sort_by_key(|item| (item.phase == Phase::Ready, item.last_of_use()));
    let too_many = current.len().saturating_sub(target as usize);
    order.truncate(too_many);
    order
}

fn leave(item: &Item, reason: &Reason) -> Action {
    let never_started = matches!(item.phase, Phase::Pending | Phase::Fetching | Phase::Placing);
    let phase = if never_started { Phase::Stopped } else { Phase::Draining };
    Action::Move(item.id.clone(), phase, Some(reason.clone()))
}

/// Lets in whoever fits, in the order of asking, and makes room for the first who does not.
fn give_room(world: &World) -> Vec<Action> {
    let mut held = world.held();
    let mut actions = Vec::new();
    let mut waiting: Vec<&Item> = world.items.values().filter(|item| matches!(item.phase, Phase::Pending | Phase::Placing)).collect();
    waiting.sort_by_key(|item| item.created_at);
    for item in waiting {
        match place(item.memory, &world.room, held) {
            Fit::Fits => {
                held += item.memory;
                actions.push(Action::Launch(item.id.clone()));
            }
            Fit::Never { need, budget } => actions.push(Action::Fail(item.id.clone(), never(need, budget))),
            Fit::NoRoom { need, missing, budget } => {
                actions.extend(make_room(item, world, missing));
                if item.phase == Phase::Pending {
                    let message = format!("it needs {need}, {missing} more than is free of {budget}");
                    let reason = Reason::new(ReasonCode::NoRoom, message, "it starts when another model is unloaded");
                    actions.push(Action::Move(item.id.clone(), Phase::Placing, Some(reason)));
                }
                return actions; // nobody passes whoever waits for room
            }
        }
    }
    actions
}

fn never(need: ByteSize, budget: ByteSize) -> Reason {
    let message = format!("it needs {need}, and there are {budget} in all");
    Reason::new(ReasonCode::DoesNotFit, message, "lower context or parallel, use a smaller quantisation, or raise the memory budget")
}

/// Drains the cheapest set of idle instances, unless what already leaves is enough.
fn make_room(item: &Item, world: &World, missing: ByteSize) -> Vec<Action> {
    let leaving: ByteSize = world.items.values().filter(|other| other.phase.is_falling()).map(|other| other.memory).sum();
    let missing = missing.saturating_sub(leaving);
    if missing == ByteSize(0) {
        return Vec::new();
    }
    let candidates: Vec<Candidate> = world.items.values().filter(|other| may_leave(other, world)).map(candidate).collect();
    let reason =
        Reason::new(ReasonCode::NoRoom, format!("unloaded to make room for `{}`", item.deployment), "the next call loads it again");
    let victims = evict(missing, &candidates).unwrap_or_default();
    victims.into_iter().map(|id| Action::Move(id, Phase::Draining, Some(reason.clone()))).collect()
}

fn candidate(item: &Item) -> Candidate {
    Candidate { id: item.id.clone(), memory: item.memory, reload_ms: item.load_ms.unwrap_or(1), last_used: item.last_of_use() }
}

/// Idle, not pinned, nobody waits for it, and not needed by a minimum.
fn may_leave(item: &Item, world: &World) -> bool {
    let Some(wish) = world.wishes.get(&item.deployment) else { return false };
    let serving = world.items_of(&item.deployment).filter(|other| other.is_serving()).count();
    item.phase == Phase::Ready
        && item.used.in_flight == 0
        && !wish.record.spec.pinned
        && wish.demand.waiting == 0
        && serving > wish.record.spec.replicas.min as usize
}
