//! Which instances of which revision there should be while a deployment goes from one to the next.
//!
//! In: the wish with its [`RolloutStatus`], its instances, how many are wanted, the world. Out: a [`Decision`]: how far the
//! rollout is now, or else which instances come and go. Pure. What it decides by is stored, so that a crash in the middle
//! leaves something that one turn goes on with. From: Kubernetes' deployment controller (surge and unavailable), Argo
//! Rollouts (the canary's gate, in [`canary`]).

use base::Timestamp;
use spec::{Phase, Reason, ReasonCode, Rollout, RolloutPhase, RolloutStatus, Strategy};

use crate::ledger::{Ledger, signed};
use crate::need;
use crate::place::{Fit, place};
use crate::scale::Target;
use crate::world::{Item, Resolve, Wish, World};

pub(crate) mod canary;
mod verdict;

pub use verdict::MOST_FAILURES;
pub(crate) use verdict::is_shared;

/// What a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The deployment.
    pub wish: &'a Wish,
    /// Its instances that serve or will.
    pub serving: &'a [&'a Item],
    /// How many there should be.
    pub target: &'a Target,
    /// All else.
    pub world: &'a World,
}

/// What to do.
#[derive(Debug, Default)]
pub struct Decision<'a> {
    /// The rollout is so far now; whatever follows from that is decided next.
    pub status: Option<RolloutStatus>,
    /// One more instance of each of these revisions.
    pub create: Vec<u64>,
    /// These go.
    pub leave: Vec<(&'a Item, Reason)>,
}

/// How long a new instance waits for room beside the old ones before they end first.
const ROOM_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// What to do now.
pub fn decide<'a>(scene: &Scene<'a>) -> Decision<'a> {
    let status = &scene.wish.rollout;
    if let Some(next) = scene.next() {
        return Decision { status: Some(next), ..Decision::default() };
    }
    let mut decision = Decision::default();
    if scene.target.count == 0 && !scene.goes_on_unasked() {
        let go = |item: &&'a Item| (*item, scene.why_less(item));
        decision.leave = scene.serving.iter().map(go).collect();
        return decision;
    }
    match status.phase {
        RolloutPhase::Complete => scene.settle(status.to, &mut decision),
        RolloutPhase::RolledBack => scene.settle(status.from.unwrap_or(status.to), &mut decision),
        RolloutPhase::Progressing if status.paused => scene.stay(&mut decision),
        RolloutPhase::Progressing => scene.go_on(&mut decision),
    }
    decision
}

impl<'a> Scene<'a> {
    fn status(&self) -> &'a RolloutStatus {
        &self.wish.rollout
    }
    fn settings(&self) -> &'a Rollout {
        &self.wish.record.spec.rollout
    }
    fn of(&self, number: u64) -> Vec<&'a Item> {
        self.serving.iter().copied().filter(|item| item.revision.number == number).collect()
    }
    /// Of the revision that is rolled out.
    fn newer(&self) -> Vec<&'a Item> {
        self.of(self.status().to)
    }
    /// Of all others.
    fn older(&self) -> Vec<&'a Item> {
        self.serving.iter().copied().filter(|item| item.revision.number != self.status().to).collect()
    }
    /// So many are wanted; while the old ones end first, as many as there were.
    fn wanted(&self) -> u32 {
        if self.goes_on_unasked() { self.target.count.max(self.status().replicas) } else { self.target.count }
    }
    /// The old ones ended so that the new ones can start: nobody has to ask for those, nor for the old ones should it go back.
    fn goes_on_unasked(&self) -> bool {
        let status = self.status();
        let is_under_way = status.phase != RolloutPhase::Complete && status.strategy == Strategy::Recreate && status.replicas > 0;
        is_under_way && !self.is_ending() && !matches!(self.target.reason.code, ReasonCode::Unloaded)
    }
    fn is_ending(&self) -> bool {
        self.world.stopping.is_some() || self.wish.record.deleting
    }
    /// It is known whether engines that run can serve the new revision: those that do carry its number.
    fn is_frozen(&self) -> bool {
        matches!(self.wish.resolve, Resolve::Done(_))
    }
    /// Whether an instance of this revision can be decided on.
    fn can_create(&self, number: u64) -> bool {
        self.wish.revision_of(number).is_some() && self.wish.retry_at.is_none_or(|at| at <= self.world.now)
    }
    fn create(&self, number: u64, decision: &mut Decision<'a>) {
        if self.can_create(number) {
            decision.create.push(number);
        }
    }
    /// The revision to start one more of when nothing is to be moved.
    fn steady(&self) -> u64 {
        self.status().from.unwrap_or(self.status().to)
    }

    /// How far it is, if that is another state than before.
    fn next(&self) -> Option<RolloutStatus> {
        let status = self.status();
        let is_back = || status.from.is_some_and(|from| ready(&self.of(from)) > 0);
        if status.phase == RolloutPhase::RolledBack && status.replicas > 0 && is_back() {
            return Some(RolloutStatus { replicas: 0, ..status.clone() }); // from now on callers decide again
        }
        if status.phase != RolloutPhase::Progressing || self.is_ending() {
            return None;
        }
        let now = self.world.now;
        // A pause holds back what comes after the first revision; that one has served once it is complete.
        if status.paused && (status.from.is_some() || !self.is_complete()) {
            return None;
        }
        if self.is_complete() {
            return Some(RolloutStatus { phase: RolloutPhase::Complete, progress_at: now, reason: None, ..status.clone() });
        }
        if let Some(reason) = status.from.and_then(|from| verdict::against(self, from)) {
            return Some(RolloutStatus { phase: RolloutPhase::RolledBack, progress_at: now, reason: Some(reason), ..status.clone() });
        }
        self.ends_first().or_else(|| canary::step(self))
    }

    /// The new revision serves, and nothing else does.
    fn is_complete(&self) -> bool {
        let status = self.status();
        let alone = self.older().is_empty() && (status.weight(self.settings()).is_none() || status.from.is_none());
        alone && ready(&self.newer()) >= self.wanted().min(status.replicas).max(1)
    }

    /// The strategy is to end the old ones first, or has to be since there is no room for both.
    fn ends_first(&self) -> Option<RolloutStatus> {
        let status = self.status();
        let old = self.older();
        if old.is_empty() || status.weight(self.settings()).is_some() || status.replicas > 0 {
            return None;
        }
        // Of two old revisions both may have had instances.
        let replicas = count(&old).min(self.wish.bounds(self.world.date()).1).max(1);
        if status.strategy == Strategy::Recreate {
            return self.can_create(status.to).then(|| RolloutStatus { replicas, ..status.clone() });
        }
        let waits = self.newer().into_iter().find(|item| item.waits_for_room() && self.world.now.since(item.since) >= ROOM_PATIENCE)?;
        let leaves = self.world.items.values().any(|item| item.holds_memory() && !item.is_serving());
        if leaves || waits.phase != Phase::Placing || !self.fits_without(&old, waits) {
            return None;
        }
        let why = waits.reason.as_ref().map(|reason| reason.message.as_str()).unwrap_or_default();
        let message =
            format!("there is no room for revision {} beside the old one: {why}; the old one ends first, callers wait", status.to);
        let reason = Reason::new(ReasonCode::NoRoom, message, "raise the memory budget for updates without a wait");
        Some(RolloutStatus { strategy: Strategy::Recreate, replicas, reason: Some(reason), ..status.clone() })
    }

    /// Whether it would fit if these were gone.
    fn fits_without(&self, old: &[&Item], item: &Item) -> bool {
        let mut ledger = Ledger::of(self.world);
        let given: Vec<_> = old.iter().filter(|item| item.holds_memory()).flat_map(|item| ledger.of_item(item)).collect();
        for (at, bytes) in given {
            if let Some(left) = ledger.now.get_mut(at) {
                *left = left.saturating_add(signed(bytes));
            }
        }
        matches!(place(&need::of(item, &self.world.room), &ledger, self.world.room.packing), Fit::Fits(_))
    }

    /// Only this revision.
    fn settle(&self, number: u64, decision: &mut Decision<'a>) {
        let (these, others): (Vec<&Item>, Vec<&Item>) = self.serving.iter().copied().partition(|item| item.revision.number == number);
        if count(&these) < self.wanted() {
            self.create(number, decision);
        }
        self.trim(&these, self.wanted(), decision);
        let replaced = ready(&these) > 0 || self.status().phase == RolloutPhase::RolledBack;
        let gone = others.into_iter().filter(|item| replaced || item.waits_for_room());
        decision.leave.extend(gone.map(|item| (item, self.superseded())));
    }

    /// Nothing moves; what is missing is started as it was.
    fn stay(&self, decision: &mut Decision<'a>) {
        let spare = self.settings().max_surge;
        if count(self.serving) < self.target.count {
            self.create(self.steady(), decision);
        }
        self.trim(self.serving, self.target.count.saturating_add(spare), decision);
    }

    fn go_on(&self, decision: &mut Decision<'a>) {
        let status = self.status();
        let cannot_start = matches!(self.wish.resolve, Resolve::Failed(..));
        if cannot_start && status.from.is_some() && !self.goes_on_unasked() {
            return self.stay(decision); // the old one goes on
        }
        match status.weight(self.settings()) {
            Some(weight) => canary::keep(self, weight, decision),
            None if status.strategy == Strategy::Recreate && status.from.is_some() => self.recreate(decision),
            None => self.roll(decision),
        }
    }

    /// The old ones go; when nothing of them is left, the new ones come.
    fn recreate(&self, decision: &mut Decision<'a>) {
        let (new, old) = (self.newer(), self.older());
        if self.status().replicas > 0 {
            decision.leave.extend(old.iter().map(|item| (*item, self.superseded())));
        }
        let holds = |item: &Item| item.holds_memory() && item.revision.number != self.status().to;
        let is_left = self.world.items_of(&self.wish.record.spec.name).any(holds);
        if !is_left && old.is_empty() && count(&new) < self.wanted() {
            self.create(self.status().to, decision);
        }
        self.trim(&new, self.wanted(), decision);
    }

    /// New ones come within the surge; old ones go as far as enough others are ready.
    fn roll(&self, decision: &mut Decision<'a>) {
        let (new, old, wanted) = (self.newer(), self.older(), self.target.count);
        let most = wanted.saturating_add(if old.is_empty() { 0 } else { self.settings().max_surge });
        if count(&new) < wanted && count(self.serving) < most {
            self.create(self.status().to, decision);
        }
        self.trim(&new, wanted, decision);
        let needed = wanted.saturating_sub(self.settings().max_unavailable);
        let available = ready(self.serving);
        let frozen = self.is_frozen();
        let unready = old.iter().filter(|item| item.phase != Phase::Ready);
        let idle = unready.filter(|item| (frozen && item.waits_for_room()) || available >= needed.max(1));
        decision.leave.extend(idle.map(|item| (*item, self.superseded())));
        let mut going: Vec<&Item> = old.iter().copied().filter(|item| item.phase == Phase::Ready).collect();
        going.sort_by_key(|item| (item.used.in_flight, item.last_of_use()));
        going.truncate(if frozen { available.saturating_sub(needed) as usize } else { 0 });
        decision.leave.extend(going.into_iter().map(|item| (item, self.superseded())));
    }

    /// Those that are too many go: first those that do not serve yet, then the longest unused. None goes while it works.
    fn trim(&self, items: &[&'a Item], most: u32, decision: &mut Decision<'a>) {
        let mut order: Vec<&Item> = items.iter().copied().filter(|item| item.used.in_flight == 0).collect();
        order.sort_by_key(|item| (item.phase == Phase::Ready, item.last_of_use()));
        order.truncate(items.len().saturating_sub(most as usize));
        decision.leave.extend(order.into_iter().map(|item| (item, self.why_less(item))));
    }

    fn why_less(&self, item: &Item) -> Reason {
        if item.waits_for_room() && self.target.reason.code == ReasonCode::KeepAliveOver {
            return Reason::new(ReasonCode::Idle, "whoever asked for it has left", "");
        }
        self.target.reason.clone()
    }

    fn superseded(&self) -> Reason {
        let status = self.status();
        let message = match status.phase {
            RolloutPhase::RolledBack => format!("revision {} was not good; revision {} goes on", status.to, self.steady()),
            _ => format!("revision {} takes its place", status.to),
        };
        Reason::new(ReasonCode::Superseded, message, "")
    }
}

/// Those that take calls.
pub(crate) fn ready(items: &[&Item]) -> u32 {
    u32::try_from(items.iter().filter(|item| item.phase == Phase::Ready).count()).unwrap_or(u32::MAX)
}

pub(crate) fn count(items: &[&Item]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// What the story tells of a rollout that went from one state to another.
pub(crate) fn told(before: &RolloutStatus, now: &RolloutStatus, at: Timestamp) -> Option<(spec::EventKind, String)> {
    use spec::EventKind::{RolloutComplete, RolloutRolledBack, RolloutStep};
    let from = now.from?;
    let why = || now.reason.as_ref().map(|reason| format!(": {}", reason.message)).unwrap_or_default();
    match now.phase {
        RolloutPhase::Complete => {
            let took = base::clock::human::print(at.since(now.started_at));
            Some((RolloutComplete, format!("revision {} serves instead of {from}, after {took}", now.to)))
        }
        RolloutPhase::RolledBack if before.phase == now.phase => None,
        RolloutPhase::RolledBack => Some((RolloutRolledBack, format!("back to revision {from}{}", why()))),
        RolloutPhase::Progressing if now.strategy != before.strategy => Some((RolloutStep, format!("by recreate from now on{}", why()))),
        RolloutPhase::Progressing if now.step != before.step => {
            Some((RolloutStep, format!("revision {} did well; it gets the next share of the calls (step {})", now.to, now.step + 1)))
        }
        RolloutPhase::Progressing if now.held_since.is_some() && before.held_since.is_none() => {
            Some((RolloutStep, format!("revision {} takes its share of the calls (step {})", now.to, now.step + 1)))
        }
        RolloutPhase::Progressing if now.replicas != before.replicas => {
            Some((RolloutStep, format!("revision {from} ends its calls; callers wait for revision {}", now.to)))
        }
        RolloutPhase::Progressing => None,
    }
}
