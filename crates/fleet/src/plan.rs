//! What to do now.
//!
//! In: the [`World`]. Out: actions, each of which is safe to do again. Pure: no I/O, no clock. One
//! instance after the other what follows from its own life, then for each deployment how many there
//! should be, then room for those that wait for it. About one instance there is at most one decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{Backoff, ByteSize};
use spec::{InstanceId, Name, Phase, Reason, ReasonCode};

use crate::evict::{Candidate, evict};
use crate::life::{self, Next};
use crate::place::{Fit, Ledger, place};
use crate::scale::{self, Target};
use crate::world::{Item, Resolve, Wish, World};

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

impl Action {
    /// The instance that it is about.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Launch(id) | Self::Move(id, ..) | Self::Fail(id, _) | Self::Stop(id) | Self::Forget(id) => Some(id),
            Self::Resolve(_) | Self::Create(_) | Self::Remove(_) => None,
        }
    }
}

/// What to do now.
pub fn plan(world: &World) -> Vec<Action> {
    let mut actions: Vec<Action> = world.items.values().filter_map(|item| live(item, world)).collect();
    let decided = instances(&actions);
    let wanted = world.wishes.iter().flat_map(|(name, wish)| serve(name, wish, world));
    actions.extend(wanted.filter(|action| action.instance().is_none_or(|id| !decided.contains(id))));
    let decided = instances(&actions);
    actions.extend(give_room(world, &decided));
    actions
}

fn instances(actions: &[Action]) -> BTreeSet<InstanceId> {
    actions.iter().filter_map(Action::instance).cloned().collect()
}

fn live(item: &Item, world: &World) -> Option<Action> {
    let id = || item.id.clone();
    match life::next(item, world.now) {
        Next::Stay if is_over(item, world) => Some(Action::Move(id(), Phase::Reclaiming, item.reason.clone())),
        Next::Stay if item.phase == Phase::Draining && world.stopping.is_some_and(|until| until <= world.now) => {
            Some(Action::Move(id(), Phase::Stopping, item.reason.clone()))
        }
        Next::Stay if item.is_serving() && !world.wishes.contains_key(&item.deployment) => {
            Some(leave(item, &Reason::new(ReasonCode::Superseded, "its deployment is gone", "")))
        }
        Next::Stay => None,
        Next::Move(phase, reason) => Some(Action::Move(id(), phase, reason)),
        Next::Fail(reason) => Some(Action::Fail(id(), reason)),
        Next::Stop => Some(Action::Stop(id())),
        Next::Forget => Some(Action::Forget(id())),
    }
}

/// A failed instance is shown until its deployment is gone or has another one, but not before its
/// engine has ended.
fn is_over(item: &Item, world: &World) -> bool {
    let gone = || world.wishes.get(&item.deployment).is_none_or(|wish| wish.record.deleting);
    let other = || world.items_of(&item.deployment).any(|other| other.created_at > item.created_at);
    item.phase == Phase::Failed && !item.holds_memory() && (gone() || world.stopping.is_some() || other())
}

fn serve(name: &Name, wish: &Wish, world: &World) -> Vec<Action> {
    let mut any = world.items_of(name).peekable();
    if wish.record.deleting && any.peek().is_none() {
        return vec![Action::Remove(name.clone())];
    }
    let serving: Vec<&Item> = any.filter(|item| item.is_serving()).collect();
    let target = scale::target(wish, &serving, world);
    let mut actions = Vec::new();
    if !wish.record.deleting && world.stopping.is_none() && wants_resolve(wish, world) {
        actions.push(Action::Resolve(name.clone()));
    }
    let (current, old): (Vec<&Item>, Vec<&Item>) = serving.into_iter().partition(|item| item.revision.number == wish.record.generation);
    let have = u32::try_from(current.len()).unwrap_or(u32::MAX);
    if target.count > have {
        let may = matches!(wish.resolve, Resolve::Done(_)) && wish.retry_at.is_none_or(|at| at <= world.now);
        actions.extend(may.then(|| Action::Create(name.clone())));
    }
    actions.extend(surplus(&current, target.count).into_iter().map(|item| leave(item, &why(item, &target))));
    let replaced = current.iter().any(|item| item.phase == Phase::Ready);
    let frozen = matches!(wish.resolve, Resolve::Done(_));
    let superseded = Reason::new(ReasonCode::Superseded, "a newer revision takes its place", "");
    for item in old {
        if target.count == 0 {
            actions.push(leave(item, &target.reason));
        } else if replaced || (frozen && item.waits_for_room()) {
            actions.push(leave(item, &superseded));
        }
    }
    actions
}

fn why(item: &Item, target: &Target) -> Reason {
    if item.waits_for_room() && target.reason.code == ReasonCode::KeepAliveOver {
        return Reason::new(ReasonCode::Idle, "whoever asked for it has left", "");
    }
    target.reason.clone()
}

fn wants_resolve(wish: &Wish, world: &World) -> bool {
    match &wish.resolve {
        Resolve::Pending => true,
        Resolve::Failed(_, at) => *at <= world.now && (wish.is_asked_for() || wish.floor() > 0),
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
    let phase = if item.waits_for_room() { Phase::Stopped } else { Phase::Draining };
    Action::Move(item.id.clone(), phase, Some(reason.clone()))
}

/// Lets in whoever fits, in the order of asking, and makes room for the first who does not. Nobody
/// passes whoever waits for room, but those who need none.
fn give_room(world: &World, decided: &BTreeSet<InstanceId>) -> Vec<Action> {
    let mut ledger = Ledger { held: world.held(), promised: world.promised() };
    let mut actions = Vec::new();
    let mut first: Option<&Item> = None;
    let mut waiting: Vec<&Item> = world.items.values().filter(|item| item.waits_for_room() && !decided.contains(&item.id)).collect();
    waiting.sort_by_key(|item| item.created_at);
    for item in waiting {
        let fit = if item.memory == ByteSize(0) { Fit::Fits } else { place(item.memory, &world.room, ledger) };
        match (fit, first) {
            (Fit::Never { need, budget }, _) => actions.push(Action::Fail(item.id.clone(), never(need, budget))),
            (Fit::Fits, None) => {
                ledger.add(item.memory);
                actions.push(Action::Launch(item.id.clone()));
            }
            (Fit::Fits, Some(_)) if item.memory == ByteSize(0) => actions.push(Action::Launch(item.id.clone())),
            (Fit::NoRoom { need, missing, budget }, None) => {
                first = Some(item);
                actions.extend(make_room(item, world, missing, decided));
                let message = format!("it needs {need}, {missing} more than is free of {budget}");
                actions.extend(wait_for_room(item, message));
            }
            (_, Some(first)) => actions.extend(wait_for_room(item, format!("`{}` asked first and waits for room", first.deployment))),
        }
    }
    actions
}

fn wait_for_room(item: &Item, message: String) -> Option<Action> {
    let reason = Reason::new(ReasonCode::NoRoom, message, "it starts when another model is unloaded");
    (item.phase == Phase::Pending).then(|| Action::Move(item.id.clone(), Phase::Placing, Some(reason)))
}

fn never(need: ByteSize, budget: ByteSize) -> Reason {
    let message = format!("it needs {need}, and there are {budget} in all");
    Reason::new(ReasonCode::DoesNotFit, message, "lower context or parallel, use a smaller quantisation, or raise the memory budget")
}

/// Drains the cheapest set of idle instances, unless what already leaves is enough.
fn make_room(item: &Item, world: &World, missing: ByteSize, decided: &BTreeSet<InstanceId>) -> Vec<Action> {
    let holders = || world.items.values().filter(|other| other.holds_memory());
    let leaving: ByteSize = holders().filter(|other| !other.is_serving()).map(|other| other.memory).sum();
    let missing = missing.saturating_sub(leaving);
    // What has just been decided may give back enough; the next round knows.
    if missing == ByteSize(0) || holders().any(|other| decided.contains(&other.id)) {
        return Vec::new();
    }
    let candidates = candidates(item, world, decided);
    let reason =
        Reason::new(ReasonCode::NoRoom, format!("unloaded to make room for `{}`", item.deployment), "the next call loads it again");
    let victims = evict(missing, &candidates).unwrap_or_default();
    victims.into_iter().map(|id| Action::Move(id, Phase::Draining, Some(reason.clone()))).collect()
}

/// Who may leave for this one: the idle that nobody waits for and that are not pinned, as many of each
/// deployment as it has above its minimum, the longest unused first; and its own idle predecessors.
fn candidates(item: &Item, world: &World, decided: &BTreeSet<InstanceId>) -> Vec<Candidate> {
    let ready = |name: &Name| world.items_of(name).filter(|other| other.phase == Phase::Ready).count();
    let mut spare: BTreeMap<&Name, usize> = world.wishes.iter().map(|(name, wish)| (name, spare(wish, ready(name)))).collect();
    let mut idle: Vec<&Item> = world.items.values().filter(|other| is_idle(other) && !decided.contains(&other.id)).collect();
    idle.sort_by_key(|other| other.last_of_use());
    idle.retain(|other| {
        let predecessor = other.deployment == item.deployment && other.revision.number < item.revision.number;
        let left = spare.get_mut(&other.deployment);
        predecessor || left.is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
    });
    idle.into_iter().map(candidate).collect()
}

fn is_idle(item: &Item) -> bool {
    item.phase == Phase::Ready && item.used.in_flight == 0
}

fn spare(wish: &Wish, ready: usize) -> usize {
    let held = wish.record.spec.pinned || wish.demand.waiting > 0;
    if held { 0 } else { ready.saturating_sub(wish.record.spec.replicas.min as usize) }
}

fn candidate(item: &Item) -> Candidate {
    Candidate { id: item.id.clone(), memory: item.memory, reload_ms: item.load_ms().unwrap_or(1), last_used: item.last_of_use() }
}
