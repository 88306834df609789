//! Sleep and wake: an engine that nobody calls keeps its process and gives back its memory.
//!
//! In: the [`World`]. Out: who is listened to, who lends what it no longer has, who is woken, and who has to be started anew instead.
//! Pure. One that fell asleep leaves the board first, with all of its memory still held; then it is asked once more whether it sleeps,
//! since a call that came in between has woken it; only after that are the bytes that it gave back lent to others. It is woken when
//! somebody waits for it, what it needs is free on the devices that it was started for, and nobody waits for room; else it ends, and
//! another one is started as any other, in the line of all. From: AIBrix' warm pools and vLLM's sleep mode, with the owner deciding
//! when memory comes back, and not the engine.

use std::collections::BTreeSet;

use base::{ByteSize, Timestamp};
use spec::{Grant, InstanceId, Name, Node, Phase, Reason, ReasonCode};

use crate::ledger::{Ledger, signed};
use crate::plan::Action;
use crate::world::{Health, Item, Sight, World};

/// How far an instance is with its sleep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Nap {
    /// It is awake, as far as anybody knows.
    #[default]
    Awake,
    /// It fell asleep and left the board; it was last of use then.
    Leaving(Timestamp),
    /// It is asked once more.
    Asked(Timestamp),
    /// It has given back its memory.
    Lent(Timestamp, Own),
    /// It was told to wake.
    Waking,
}

/// What an instance holds when it is awake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    grant: Grant,
    memory: ByteSize,
}

/// What is done with one that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is asked once more whether it sleeps.
    Ask,
    /// What it gave back is lent to others.
    Lend,
    /// It is woken.
    Wake,
}

impl Nap {
    /// When it was last of use before it fell asleep.
    pub(crate) fn idle_since(&self) -> Option<Timestamp> {
        match self {
            Self::Leaving(at) | Self::Asked(at) | Self::Lent(at, _) => Some(*at),
            Self::Awake | Self::Waking => None,
        }
    }
}

/// Why it is not ready.
pub(crate) fn reason(item: &Item) -> Reason {
    let after = item.revision.spec.replicas.sleep_after.unwrap_or_default();
    let message = format!("no caller for {}, so it sleeps", base::clock::human::print(after));
    Reason::new(ReasonCode::Asleep, message, "")
}

/// The next step into sleep, unless somebody waits for it by now.
pub(crate) fn fall(item: &Item, world: &World) -> Option<Action> {
    if is_asked_for(item, world) {
        return None;
    }
    let step = |step| Some(Action::Sleep(item.id.clone(), step));
    match (item.phase, &item.nap) {
        (Phase::Sleeping, Nap::Leaving(_)) => step(Step::Ask),
        (Phase::Sleeping, Nap::Asked(_)) if item.health == Health::Asleep && item.used.in_flight == 0 => step(Step::Lend),
        _ => None,
    }
}

/// One that sleeps of each deployment that somebody waits for.
pub(crate) fn wake(world: &World, decided: &BTreeSet<InstanceId>) -> Vec<Action> {
    let mut asleep = world.items.values().filter(|item| item.phase == Phase::Sleeping && !decided.contains(&item.id)).peekable();
    if asleep.peek().is_none() || world.stopping.is_some() {
        return Vec::new();
    }
    let mut ledger = Ledger::of(world);
    let contended = world.items.values().any(Item::waits_for_room);
    let mut woken: BTreeSet<&Name> = BTreeSet::new();
    let mut actions = Vec::new();
    for item in asleep {
        let comes = || world.items_of(&item.deployment).any(|other| other.phase.is_rising() && !other.waits_for_room());
        if !is_asked_for(item, world) || woken.contains(&item.deployment) || comes() {
            continue;
        }
        woken.insert(&item.deployment);
        let more = lacks(item, &ledger);
        let fits = more.iter().all(|(at, bytes)| ledger.now.get(*at).is_some_and(|left| bytes <= left)) && has_its_own(item, &ledger);
        if fits && (more.is_empty() || !contended) {
            ledger.take(&more);
            actions.push(Action::Sleep(item.id.clone(), Step::Wake));
        } else {
            let why = "others have or want the memory that it gave back while it slept; another one is started in its place";
            actions.push(Action::Move(item.id.clone(), Phase::Draining, Some(Reason::new(ReasonCode::Asleep, why, ""))));
        }
    }
    actions
}

fn is_asked_for(item: &Item, world: &World) -> bool {
    world.wishes.get(&item.deployment).is_some_and(|wish| wish.is_asked_for() && !wish.record.deleting)
}

/// Nothing of what is kept for it is in use. It may be: one that was found again asleep had lent it, and nobody knows that any more.
fn has_its_own(item: &Item, ledger: &Ledger) -> bool {
    ledger.of_item(item).iter().all(|(at, _)| ledger.now.get(*at).is_none_or(|left| *left >= 0))
}

/// What it needs beside what it has, to be awake.
fn lacks(item: &Item, ledger: &Ledger) -> Vec<(usize, i64)> {
    let Nap::Lent(_, own) = &item.nap else { return Vec::new() };
    let has = ledger.of_item(item);
    let awake = Item { grant: own.grant.clone(), memory: own.memory, ..item.clone() };
    let kept = |at: usize| has.iter().filter(|(device, _)| *device == at).map(|(_, bytes)| *bytes).sum::<ByteSize>();
    ledger.of_item(&awake).into_iter().map(|(at, bytes)| (at, signed(bytes.saturating_sub(kept(at))))).collect()
}

impl Item {
    /// It leaves the board to sleep.
    pub(crate) fn doze(&mut self) {
        self.nap = Nap::Leaving(self.last_of_use());
    }
    /// It sleeps: of what it was given it holds what it is seen to have.
    pub(crate) fn lend(&mut self, nodes: &[Node]) {
        let Nap::Asked(since) = self.nap else { return };
        self.nap = Nap::Lent(since, Own { grant: self.grant.clone(), memory: self.memory });
        let kept = engine::engine(self.engine).probe().sleep.map(|sleep| sleep.keeps).unwrap_or_default();
        let Sight::Running { pid, .. } = self.sight else { return };
        let node = nodes.iter().find(|node| node.name == self.grant.node);
        for share in self.grant.shares.iter_mut().filter(|share| !share.kind.is_host()) {
            let seen = pid.and_then(|pid| node?.device(&share.device)?.used_by(pid));
            share.bytes = seen.unwrap_or(kept).min(share.bytes);
        }
        self.hold(self.resident());
    }
    /// While it sleeps it holds of main memory what it is seen to have.
    pub(crate) fn hold(&mut self, resident: ByteSize) {
        if self.grant.shares.is_empty() {
            self.memory = resident;
            return;
        }
        if let Some(host) = self.grant.shares.iter_mut().find(|share| share.kind.is_host()) {
            host.bytes = resident;
        }
        self.memory = self.grant.total();
    }
    /// It has again what it had before it slept.
    pub(crate) fn rise(&mut self) {
        if let Nap::Lent(_, own) = std::mem::take(&mut self.nap) {
            (self.grant, self.memory) = (own.grant, own.memory);
        }
    }
}

#[cfg(test)]
mod tests;
