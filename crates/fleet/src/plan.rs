//! What to do now.
//!
//! In: the [`World`]. Out: actions, each of which is safe to do again. Pure: no I/O, no clock. One
//! instance after the other what follows from its own life, then for each deployment how many there
//! should be, then room for those that wait for it. About one instance there is at most one decision. Of ten thousand
//! deployments most are at rest, and none of them is looked at.

use std::collections::BTreeSet;

use spec::{Grant, InstanceId, Name, Phase, Reason, ReasonCode, RolloutPhase, RolloutStatus};

use crate::life::{self, Next};
use crate::rollout::{self, Scene};
use crate::room::give_room;
use crate::world::{Health, Item, Resolve, Wish, World};
use crate::{pulse, scale, sleep};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Freeze the wish as a revision.
    Resolve(Name),
    /// The rollout is so far.
    Roll(Name, Box<RolloutStatus>),
    /// Decide on one more instance of this revision.
    Create(Name, u64),
    /// Start it on these devices; there is room.
    Launch(InstanceId, Grant),
    /// It goes to this phase.
    Move(InstanceId, Phase, Option<Reason>),
    /// It waits in its phase for another reason, or with other numbers.
    Tell(InstanceId, Reason),
    /// It failed; its deployment backs off.
    Fail(InstanceId, Reason),
    /// A step into its sleep, or out of it.
    Sleep(InstanceId, sleep::Step),
    /// Ask for its end.
    Stop(InstanceId),
    /// Nothing is left of it.
    Forget(InstanceId),
    /// Nothing is left of the deployment.
    Remove(Name),
}

impl Action {
    /// The instance that it is about.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Launch(id, _)
            | Self::Move(id, ..)
            | Self::Tell(id, _)
            | Self::Fail(id, _)
            | Self::Sleep(id, _)
            | Self::Stop(id)
            | Self::Forget(id) => Some(id),
            Self::Resolve(_) | Self::Roll(..) | Self::Create(..) | Self::Remove(_) => None,
        }
    }
}

/// What to do, and how much was looked at for it.
#[derive(Debug)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Wishes that were compared with the world; those at rest are not.
    pub weighed: usize,
}

/// What to do now.
pub fn plan(world: &World) -> Vec<Action> {
    weigh(world).actions
}

/// The same, with what it took.
pub fn weigh(world: &World) -> Plan {
    let active = world.active();
    let mut actions: Vec<Action> = world.items.values().filter_map(|item| live(item, world)).collect();
    let decided = instances(&actions);
    let wishes = active.iter().filter_map(|(name, items)| Some((world.wishes.get(name)?, items)));
    let wanted = wishes.flat_map(|(wish, items)| serve(wish, items, world));
    actions.extend(wanted.filter(|action| action.instance().is_none_or(|id| !decided.contains(id))));
    let decided = instances(&actions);
    let woken = sleep::wake(world, &decided);
    if woken.is_empty() {
        actions.extend(give_room(world, &decided));
    }
    actions.extend(woken); // what they take is known in the next round
    Plan { actions, weighed: active.len() }
}

fn instances(actions: &[Action]) -> BTreeSet<InstanceId> {
    actions.iter().filter_map(Action::instance).cloned().collect()
}

fn live(item: &Item, world: &World) -> Option<Action> {
    let id = || item.id.clone();
    if let Some(reason) = lost(item, world).or_else(|| pulse::hung(item, is_waited_for(item, world), world.now)) {
        return Some(Action::Fail(id(), reason));
    }
    match life::next(item, world.now) {
        Next::Stay if is_over(item, world) => Some(Action::Move(id(), Phase::Reclaiming, item.reason.clone())),
        Next::Stay if item.phase == Phase::Draining && world.stopping.is_some_and(|until| until <= world.now) => {
            Some(Action::Move(id(), Phase::Stopping, item.reason.clone()))
        }
        Next::Stay if item.is_serving() && !world.wishes.contains_key(&item.deployment) => {
            Some(leave(item, &Reason::new(ReasonCode::Superseded, "its deployment is gone", "")))
        }
        // While a rollout compares revisions each of them stays on the board.
        Next::Move(Phase::Sleeping, _) if is_rolling(item, world) => None,
        Next::Stay => sleep::fall(item, world),
        Next::Move(phase, reason) => Some(Action::Move(id(), phase, reason)),
        Next::Fail(reason) => Some(Action::Fail(id(), reason)),
        Next::Stop => Some(Action::Stop(id())),
        Next::Forget => Some(Action::Forget(id())),
    }
}

/// Somebody's call is on it, or would be.
fn is_waited_for(item: &Item, world: &World) -> bool {
    item.used.in_flight > 0 || world.wishes.get(&item.deployment).is_some_and(|wish| wish.demand.waiting > 0)
}

fn is_rolling(item: &Item, world: &World) -> bool {
    let rollout = world.wishes.get(&item.deployment).map(|wish| &wish.rollout);
    item.phase == Phase::Ready && rollout.is_some_and(|rollout| rollout.phase == RolloutPhase::Progressing && rollout.from.is_some())
}

/// It is to work on a card that its machine no longer has. As long as it answers the list may be wrong, and it serves on.
fn lost(item: &Item, world: &World) -> Option<Reason> {
    let node = world.room.nodes.iter().find(|node| node.name == item.grant.node)?;
    let gone = item.grant.gpus().find(|share| share.kind.is_card() && node.device(&share.device).is_none())?;
    let message = format!("the device {} of {} is gone", gone.device, node.name);
    let remedy = "see the log of the machine's kernel; it is started again where there is room";
    (item.is_serving() && item.holds_memory() && item.health != Health::Up).then(|| Reason::new(ReasonCode::DeviceLost, message, remedy))
}

/// A failed instance is shown until its deployment is gone or has another one, but not before its
/// engine has ended.
fn is_over(item: &Item, world: &World) -> bool {
    let gone = || world.wishes.get(&item.deployment).is_none_or(|wish| wish.record.deleting);
    let other = || world.items_of(&item.deployment).any(|other| other.created_at > item.created_at);
    item.phase == Phase::Failed && !item.holds_memory() && (gone() || world.stopping.is_some() || other())
}

/// What one wish asks for, with all instances of its deployment.
pub(crate) fn serve(wish: &Wish, items: &[&Item], world: &World) -> Vec<Action> {
    let name = &wish.record.spec.name;
    if wish.record.deleting && items.is_empty() {
        return vec![Action::Remove(name.clone())];
    }
    let serving: Vec<&Item> = items.iter().copied().filter(|item| item.is_serving()).collect();
    let target = scale::target(wish, &serving, world);
    let mut actions = Vec::new();
    if !wish.record.deleting && world.stopping.is_none() && wants_resolve(wish, world) {
        actions.push(Action::Resolve(name.clone()));
    }
    let decision = rollout::decide(&Scene { wish, serving: &serving, target: &target, world });
    actions.extend(decision.status.map(|status| Action::Roll(name.clone(), Box::new(status))));
    actions.extend(decision.create.into_iter().map(|number| Action::Create(name.clone(), number)));
    actions.extend(decision.leave.into_iter().map(|(item, reason)| leave(item, &reason)));
    actions
}

fn wants_resolve(wish: &Wish, world: &World) -> bool {
    match &wish.resolve {
        Resolve::Pending => true,
        Resolve::Failed(_, at) => *at <= world.now && (wish.is_asked_for() || wish.bounds(world.date()).0 > 0),
        Resolve::Running | Resolve::Done(_) => false,
    }
}

fn leave(item: &Item, reason: &Reason) -> Action {
    let phase = if item.waits_for_room() { Phase::Stopped } else { Phase::Draining };
    Action::Move(item.id.clone(), phase, Some(reason.clone()))
}
