//! Whatever callers, operators and engines do: the plan never oversubscribes, starts nothing twice,
//! always says why, comes to rest in each moment, and serves whoever asks once nothing fails any more.
//!
//! A tiny model stands in for `act` and the runtimes. The engines are kept beside the world, so that
//! what the plan believes is compared with what really runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{ByteSize, Timestamp};
use proptest::prelude::*;
use spec::{Exit, Grant, InstanceId, Name, Node, Phase, Reason, ReasonCode, RolloutPhase, RolloutStatus};

use super::values::{NOW, item, name, revision, room, wish, world};
use crate::plan::{Action, plan};
use crate::publish;
use crate::sleep::{self, Nap};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start, World};

/// Machines, and the memory of each.
const MACHINES: [(&str, u64); 2] = [("here", 100), ("there", 45)];
/// Name, memory, replicas.min and .max. What must always be there leaves room for each of the others.
const DEPLOYMENTS: [(&str, u64, u32, u32); 4] = [("a", 30, 0, 3), ("b", 60, 0, 1), ("c", 40, 1, 1), ("remote", 0, 0, 1)];

/// What one that sleeps keeps of its memory.
const KEPT: u64 = 3;

/// The strategies of changes, one after the other.
const STRATEGIES: [spec::Strategy; 3] = [spec::Strategy::Rolling, spec::Strategy::Recreate, spec::Strategy::Canary];

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// So many callers come.
    Callers(usize, u32),
    /// One call ends.
    CallEnds(usize),
    /// The deployment changes.
    Change(usize),
    /// Its rollout is paused, or resumed.
    Pause(usize, bool),
    /// It is to stay loaded, or need not any more.
    Pin(usize, bool),
    /// An engine that nobody calls falls asleep.
    Doze(usize),
    /// It is to go, and comes back with the next change.
    Delete(usize),
    Hand(usize, Hand),
    /// An engine ends by itself.
    Crash(usize),
    /// An engine no longer answers, or answers again.
    Mute(usize),
    /// The next starts fail.
    StartsFail(bool),
    /// Strangers use so much of a machine's memory, or of what nobody was given of it.
    Strangers(usize, u64),
    Time(Duration),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let which = 0..DEPLOYMENTS.len();
    prop_oneof![
        3 => (which.clone(), 0..4_u32).prop_map(|(d, n)| Step::Callers(d, n)),
        3 => (0..8_usize).prop_map(Step::CallEnds),
        1 => which.clone().prop_map(Step::Change),
        1 => (which.clone(), any::<bool>()).prop_map(|(d, paused)| Step::Pause(d, paused)),
        1 => (which.clone(), any::<bool>()).prop_map(|(d, pinned)| Step::Pin(d, pinned)),
        2 => (0..8_usize).prop_map(Step::Doze),
        1 => which.clone().prop_map(Step::Delete),
        1 => (which, prop_oneof![Just(Hand::Load), Just(Hand::Unload)]).prop_map(|(d, hand)| Step::Hand(d, hand)),
        1 => (0..8_usize).prop_map(Step::Crash),
        1 => (0..8_usize).prop_map(Step::Mute),
        1 => any::<bool>().prop_map(Step::StartsFail),
        1 => (0..MACHINES.len(), 0..80_u64).prop_map(|(at, bytes)| Step::Strangers(at, bytes)),
        4 => prop_oneof![0..50_u64, 500..20_000_u64, 100_000..700_000_u64].prop_map(|ms| Step::Time(Duration::from_millis(ms))),
    ]
}

/// What really runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Engine {
    /// Its start takes so many more moments.
    Starting(u32),
    /// It loads for so many more moments.
    Loading(u32),
    Up,
    Mute,
    /// It has given back its memory but for [`KEPT`].
    Asleep,
    /// It was told to end, which takes so many more moments.
    Ending(u32),
    Ended(bool),
}

pub(super) struct Model {
    world: World,
    engines: BTreeMap<InstanceId, Engine>,
    /// What each was given when it was started.
    launched: BTreeMap<InstanceId, Grant>,
    starts_fail: bool,
    /// What strangers use of each machine.
    strangers: [u64; MACHINES.len()],
    /// Decides how long things take.
    dice: u32,
    born: u64,
}

impl Model {
    pub(super) fn new(dice: u32) -> Self {
        let wishes = DEPLOYMENTS.map(|(name, _, min, max)| {
            wish(name, |w| {
                (w.record.spec.replicas.min, w.record.spec.replicas.max) = (min, max);
                w.resolve = Resolve::Pending;
            })
        });
        let mut world = world(wishes.into(), vec![]);
        world.room = room(MACHINES[0].1);
        let (name, memory) = MACHINES[1];
        world.room.nodes.push(Node { name: name.into(), ..room(memory).nodes.remove(0) });
        Self {
            strangers: [0; MACHINES.len()],
            world,
            engines: BTreeMap::new(),
            launched: BTreeMap::new(),
            starts_fail: false,
            dice,
            born: 0,
        }
    }

    fn roll(&mut self) -> u32 {
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.dice >> 16) % 4
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Callers(which, count) => {
                let wish = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0));
                if let Some(wish) = wish.filter(|wish| !wish.record.deleting) {
                    wish.demand.waiting = count;
                }
            }
            Step::CallEnds(at) => {
                let busy: Vec<_> = self.world.items.values_mut().filter(|item| item.used.in_flight > 0).collect();
                let count = busy.len().max(1);
                if let Some(item) = busy.into_iter().nth(at % count) {
                    item.used.in_flight -= 1;
                    item.used.last_used = Some(self.world.now);
                }
            }
            Step::Change(which) => self.change(which),
            Step::Pause(which, paused) => self.pause(which, paused),
            Step::Pin(which, pinned) => self.pin(which, pinned),
            Step::Doze(at) => self.doze(at),
            Step::Delete(which) => {
                if let Some(wish) = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0)) {
                    wish.record.deleting = true;
                    wish.demand.waiting = 0;
                }
            }
            Step::Hand(which, hand) => {
                if let Some(wish) = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0)) {
                    (wish.hand, wish.retry_at) = (hand, None);
                }
            }
            Step::Crash(at) => self.disturb(at, |engine| *engine = Engine::Ended(false)),
            Step::Mute(at) => self.disturb(at, |engine| *engine = if *engine == Engine::Mute { Engine::Up } else { Engine::Mute }),
            Step::StartsFail(yes) => self.starts_fail = yes,
            Step::Strangers(at, bytes) => self.strangers[at] = bytes.min(MACHINES[at].1 - self.promised(at)),
            Step::Time(time) => self.world.now = self.world.now.plus(time),
        }
        self.moment();
    }

    fn change(&mut self, which: usize) {
        let (deployment, _, min, max) = DEPLOYMENTS[which];
        if let Some(wish) = self.world.wishes.get_mut(&name(deployment)) {
            (wish.record.deleting, wish.resolve) = (false, Resolve::Pending);
            wish.record.generation += 1;
            let settings = &mut wish.record.spec.rollout;
            settings.strategy = STRATEGIES[usize::try_from(wish.record.generation).unwrap() % STRATEGIES.len()];
            (settings.canary.weights, settings.canary.hold) = (vec![20, 50], Duration::from_secs(2));
            wish.rollout = wish.rollout.aimed_at(wish.record.generation, &wish.record.spec.rollout, self.world.now);
            (wish.failures, wish.retry_at, wish.failure) = (0, None, None);
        } else {
            let fresh = wish(deployment, |w| {
                (w.record.spec.replicas.min, w.record.spec.replicas.max, w.resolve) = (min, max, Resolve::Pending);
            });
            self.world.wishes.insert(name(deployment), fresh);
        }
    }

    fn pause(&mut self, which: usize, paused: bool) {
        if let Some(wish) = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0)) {
            (wish.rollout.paused, wish.rollout.progress_at) = (paused, self.world.now);
        }
    }

    fn pin(&mut self, which: usize, pinned: bool) {
        if let Some(wish) = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0)) {
            wish.record.spec.pinned = pinned;
        }
    }

    /// Only what nobody calls falls asleep; one that holds no memory has none to give back.
    fn doze(&mut self, at: usize) {
        let is_idle =
            |id: &InstanceId| self.world.items.get(id).is_some_and(|item| item.used.in_flight == 0 && item.memory > ByteSize(KEPT));
        let up: Vec<InstanceId> =
            self.engines.iter().filter(|(id, e)| **e == Engine::Up && is_idle(id)).map(|(id, _)| id.clone()).collect();
        if let Some(id) = up.get(at % up.len().max(1)) {
            self.engines.insert(id.clone(), Engine::Asleep);
        }
    }

    /// There may be no room for two revisions at once; then a canary goes back, in the end.
    fn not_as_a_canary(&mut self, which: usize) {
        let wish = self.world.wishes.get_mut(&name(DEPLOYMENTS[which].0)).expect("it has just changed");
        if wish.rollout.strategy == spec::Strategy::Canary {
            wish.record.spec.rollout.strategy = spec::Strategy::Rolling;
            wish.rollout.strategy = spec::Strategy::Rolling;
        }
    }

    fn disturb(&mut self, at: usize, how: impl FnOnce(&mut Engine)) {
        let up: Vec<_> = self.engines.values_mut().filter(|e| matches!(e, Engine::Loading(_) | Engine::Up | Engine::Mute)).collect();
        let count = up.len().max(1);
        if let Some(engine) = up.into_iter().nth(at % count) {
            how(engine);
        }
    }

    /// One turn: the world is looked at, the plan is made and done until nothing is left to do.
    fn moment(&mut self) {
        const ROUNDS: usize = 24;
        self.go_on();
        self.observe();
        self.publish();
        for _ in 0..ROUNDS {
            let actions = plan(&self.world);
            let about: Vec<_> = actions.iter().filter_map(Action::instance).collect();
            assert_eq!(about.iter().collect::<BTreeSet<_>>().len(), about.len(), "two decisions about one: {actions:?}");
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
                self.check();
            }
            self.publish();
        }
        panic!("the plan does not come to rest: {:?}", plan(&self.world));
    }

    /// What takes time goes on.
    fn go_on(&mut self) {
        let ids: Vec<_> = self.engines.keys().cloned().collect();
        for id in ids {
            let next = match &self.engines[&id] {
                Engine::Starting(0) if self.starts_fail => {
                    self.engines.remove(&id);
                    if let Some(item) = self.world.items.get_mut(&id) {
                        item.start = Start::Failed(Reason::new(ReasonCode::EngineExited, "told to fail", ""));
                    }
                    continue;
                }
                Engine::Starting(0) => {
                    self.world.items.get_mut(&id).expect("nothing is forgotten while it is being started").start = Start::Done;
                    Engine::Loading(self.roll())
                }
                Engine::Loading(0) => Engine::Up,
                Engine::Asleep if self.world.items.get(&id).is_some_and(|item| item.used.in_flight > 0) => Engine::Up, // a call wakes it
                Engine::Ending(0) => Engine::Ended(true),
                Engine::Starting(n) => Engine::Starting(n - 1),
                Engine::Loading(n) => Engine::Loading(n - 1),
                Engine::Ending(n) => Engine::Ending(n - 1),
                still => still.clone(),
            };
            self.engines.insert(id, next);
        }
        for wish in self.world.wishes.values_mut().filter(|wish| matches!(wish.resolve, Resolve::Running)) {
            wish.resolve = Resolve::Done(revision(wish.record.spec.name.as_str(), wish.record.generation));
        }
    }

    fn observe(&mut self) {
        let now = self.world.now;
        let mut taken = self.strangers;
        for item in self.world.items.values_mut() {
            let engine = self.engines.get(&item.id).filter(|engine| !matches!(engine, Engine::Starting(_)));
            item.sight = match engine {
                None => Sight::Absent,
                Some(Engine::Ended(asked)) => {
                    let exit =
                        Exit { code: Some(1), signal: None, asked: *asked, spawn_error: None, last_lines: vec![], at: now, lost: false };
                    Sight::Exited(exit)
                }
                Some(Engine::Asleep) => Sight::Running { pid: Some(1), resident: Some(ByteSize(KEPT)) },
                // One that was told to end in its sleep takes nothing more.
                Some(_) => {
                    let most = self.launched.get(&item.id).map(Grant::total).unwrap_or_default();
                    Sight::Running { pid: Some(1), resident: Some(item.memory.min(most)) }
                }
            };
            for (taken, (node, _)) in taken.iter_mut().zip(MACHINES) {
                *taken += item.resident().0.min(item.grant.of(node, "ram").0);
            }
            item.seen_at = engine.map_or(item.seen_at, |_| Some(now));
            item.health = match engine {
                Some(Engine::Up) => Health::Up,
                Some(Engine::Asleep) => Health::Asleep,
                Some(Engine::Mute) => Health::Down("no answer".into(), now),
                _ => Health::Unknown,
            };
            if !matches!(engine, Some(Engine::Up | Engine::Mute | Engine::Asleep)) {
                item.used.in_flight = 0; // their connections broke
            }
        }
        for (node, ((_, memory), taken)) in self.world.room.nodes.iter_mut().zip(MACHINES.into_iter().zip(taken)) {
            node.devices[0].free = ByteSize(memory.saturating_sub(taken));
        }
    }

    fn fail(&mut self, id: &InstanceId, reason: Reason) {
        let now = self.world.now;
        self.go(id, Phase::Failed, Some(reason.clone()));
        let number = self.world.items[id].revision.number;
        let wish = self.world.wishes.get_mut(&self.world.items[id].deployment).unwrap();
        wish.failures += 1;
        wish.retry_at = Some(now.plus(crate::restart::AFTER_FAILURE.ceiling(wish.failures)));
        (wish.failure, wish.hand) = (Some(reason), Hand::Off);
        if let Some(reason) = wish.failure.clone() {
            crate::steps::note_failure(wish, number, &reason);
        }
    }

    fn roll_out(&mut self, name: &Name, status: RolloutStatus) {
        let wish = self.world.wishes.get_mut(name).unwrap();
        match status.phase {
            RolloutPhase::Complete => wish.stable = wish.revision().cloned(),
            RolloutPhase::RolledBack => (wish.failures, wish.retry_at, wish.failure) = (0, None, None),
            RolloutPhase::Progressing => {}
        }
        wish.rollout = status;
    }

    fn create(&mut self, name: &Name, number: u64) {
        let now = self.world.now;
        self.born += 1;
        let wish = &self.world.wishes[name];
        let memory = DEPLOYMENTS.iter().find(|d| d.0 == name.as_str()).unwrap().1;
        let fresh = Item {
            revision: std::sync::Arc::clone(wish.revision_of(number).expect("only what is frozen is started")),
            memory: ByteSize(memory),
            reason: Some(Reason::new(ReasonCode::Progressing, "new", "")),
            created_at: Timestamp::from_millis(i64::try_from(self.born).unwrap()),
            start: Start::Pending,
            sight: Sight::Absent,
            seen_at: None,
            health: Health::Unknown,
            used: board::MemberUse::default(),
            since: now,
            progress_at: now,
            launched_at: None,
            ready_at: None,
            ..item(&format!("i{}", self.born), name.as_str(), Phase::Pending)
        };
        self.world.items.insert(fresh.id.clone(), fresh);
    }

    fn act(&mut self, action: Action) {
        let now = self.world.now;
        match action {
            Action::Resolve(name) => self.world.wishes.get_mut(&name).unwrap().resolve = Resolve::Running,
            Action::Roll(name, status) => self.roll_out(&name, *status),
            Action::Create(name, number) => self.create(&name, number),
            Action::Launch(id, grant) => {
                assert!(self.launched.insert(id.clone(), grant.clone()).is_none(), "{id} is started twice");
                let moments = self.roll();
                self.engines.insert(id.clone(), Engine::Starting(moments));
                self.go(&id, Phase::Starting, Some(Reason::new(ReasonCode::Progressing, "starting", "")));
                let item = self.world.items.get_mut(&id).unwrap();
                (item.start, item.launched_at) = (Start::Running, Some(now));
                item.take(grant);
            }
            Action::Move(id, phase, reason) => self.go(&id, phase, reason),
            Action::Tell(id, reason) => self.world.items.get_mut(&id).unwrap().reason = Some(reason),
            Action::Fail(id, reason) => self.fail(&id, reason),
            Action::Stop(id) => {
                self.world.items.get_mut(&id).unwrap().stop_asked = Some(now);
                let moments = self.roll();
                match self.engines.get_mut(&id) {
                    Some(Engine::Ended(_)) => drop(self.engines.remove(&id)),
                    Some(Engine::Ending(_)) | None => {}
                    Some(Engine::Starting(_)) => panic!("{id} is told to end while it is being started"),
                    Some(engine) if *engine == Engine::Asleep => {
                        *engine = Engine::Ending(moments); // and takes nothing more
                        for share in &mut self.launched.get_mut(&id).unwrap().shares {
                            share.bytes = share.bytes.min(ByteSize(KEPT));
                        }
                    }
                    Some(engine) => *engine = Engine::Ending(moments),
                }
                self.observe();
            }
            Action::Sleep(id, step) => self.sleep(&id, step),
            Action::Forget(id) => {
                assert!(!self.engines.contains_key(&id), "{id} is forgotten and still there");
                self.world.items.remove(&id);
            }
            Action::Remove(name) => drop(self.world.wishes.remove(&name)),
        }
    }

    fn sleep(&mut self, id: &InstanceId, step: sleep::Step) {
        let now = self.world.now;
        let item = self.world.items.get_mut(id).unwrap();
        match step {
            sleep::Step::Ask => (item.nap, item.health) = (Nap::Asked(item.last_of_use()), Health::Unknown),
            sleep::Step::Lend => item.lend(&self.world.room.nodes),
            sleep::Step::Wake => {
                item.rise();
                (item.nap, item.health, item.progress_at) = (Nap::Waking, Health::Loading, now);
                self.go(id, Phase::Loading, Some(Reason::new(ReasonCode::Progressing, "waking", "")));
                let moments = self.roll();
                if self.engines[id] == Engine::Asleep {
                    self.engines.insert(id.clone(), Engine::Loading(moments));
                }
            }
        }
    }

    fn go(&mut self, id: &InstanceId, phase: Phase, reason: Option<Reason>) {
        let now = self.world.now;
        let item = self.world.items.get_mut(id).unwrap();
        let makes_room = phase == Phase::Draining && reason.as_ref().is_some_and(|reason| reason.code == ReasonCode::NoRoom);
        let is_pinned = self.world.wishes.get(&item.deployment).is_some_and(|wish| wish.record.spec.pinned);
        assert!(!(makes_room && is_pinned), "{id} is pinned and has to make room");
        match phase {
            Phase::Sleeping => item.doze(),
            Phase::Ready => item.rise(),
            _ => {}
        }
        (item.phase, item.since, item.reason) = (phase, now, reason);
        match phase {
            Phase::Reclaiming => item.stop_asked = None,
            Phase::Ready => {
                item.ready_at.get_or_insert(now);
                if let Some(wish) = self.world.wishes.get_mut(&item.deployment) {
                    (wish.failure, wish.retry_at, wish.failures) = (None, None, 0);
                    wish.hand = if wish.hand == Hand::Load { Hand::Off } else { wish.hand };
                }
            }
            _ => {}
        }
    }

    /// What the board does with the outcome: callers are served, or told why not.
    fn publish(&mut self) {
        let table = publish::table(&self.world, &board::Table::default(), &|_| None);
        let now = self.world.now;
        for (name, wish) in &mut self.world.wishes {
            if wish.demand.waiting > 0 && wish.hand == Hand::Unload {
                wish.hand = Hand::Off;
            }
            let Some(entry) = table.deployments.get(name) else { continue };
            if matches!(entry.state, board::State::Down(_)) {
                wish.demand.waiting = 0;
            }
            let free = |item: &&mut Item| item.deployment == *name && item.phase == Phase::Ready && item.used.in_flight < item.slots;
            for item in self.world.items.values_mut().filter(free) {
                if wish.demand.waiting > 0 && entry.state == board::State::Ready {
                    wish.demand.waiting -= 1;
                    item.used.in_flight += 1;
                    item.used.last_used = Some(now);
                }
            }
        }
    }

    /// What engines that live have of a machine, or may take at any time.
    fn given(&self, at: usize) -> u64 {
        self.engines.iter().map(|(id, engine)| self.takes(at, id, *engine == Engine::Asleep)).sum()
    }

    /// The same with what is kept for those that may still be woken by a call.
    fn promised(&self, at: usize) -> u64 {
        let has_lent = |id: &InstanceId| self.world.items.get(id).is_some_and(|item| matches!(item.nap, Nap::Lent(..)));
        self.engines.iter().map(|(id, engine)| self.takes(at, id, *engine == Engine::Asleep && has_lent(id))).sum()
    }

    fn takes(&self, at: usize, id: &InstanceId, is_asleep: bool) -> u64 {
        let all = self.launched[id].of(MACHINES[at].0, "ram").0;
        match self.engines[id] {
            Engine::Ended(_) => 0,
            _ if is_asleep => all.min(KEPT),
            _ => all,
        }
    }

    fn check(&self) {
        for (at, (node, memory)) in MACHINES.into_iter().enumerate() {
            let (ours, theirs) = (self.given(at), self.strangers[at]);
            assert!(ours + theirs <= memory, "{ours} and {theirs} of the {memory} of {node} are given away");
        }
        for item in self.world.items.values() {
            assert!(item.phase == Phase::Ready || item.reason.is_some(), "{} is {} without a reason", item.id, item.phase);
        }
        for (name, wish) in &self.world.wishes {
            let generation = wish.record.generation;
            let serving = self.world.items_of(name).filter(|item| item.is_serving() && item.revision.number == generation).count();
            assert!(serving <= wish.record.spec.replicas.max as usize, "{serving} of `{name}`");
        }
    }

    /// From now on nothing fails and every call ends: whoever asks is served.
    pub(super) fn everybody_is_served(&mut self) {
        const MOMENTS: usize = 400;
        self.starts_fail = false;
        self.strangers = [0; MACHINES.len()];
        for which in 0..DEPLOYMENTS.len() {
            self.change(which);
            self.pause(which, false);
            self.pin(which, false); // those that stay where they are may leave no machine with room enough for another one
            self.not_as_a_canary(which);
        }
        self.engines.values_mut().filter(|engine| **engine == Engine::Mute).for_each(|engine| *engine = Engine::Up);
        let (mut served, mut called) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..MOMENTS {
            for (deployment, ..) in DEPLOYMENTS {
                let wish = self.world.wishes.get_mut(&name(deployment)).unwrap();
                // A caller of an old revision comes again, but not within the same moment.
                let waits = !served.contains(deployment) && !called.remove(deployment);
                wish.demand.waiting = u32::from(waits);
            }
            self.moment();
            for item in self.world.items.values_mut().filter(|item| item.used.in_flight > 0) {
                let deployment = DEPLOYMENTS.iter().map(|d| d.0).find(|d| *d == item.deployment.as_str()).unwrap();
                let current = self.world.wishes.get(&item.deployment).is_some_and(|w| w.record.generation == item.revision.number);
                let _ = if current { served.insert(deployment) } else { called.insert(deployment) };
                item.used.in_flight = 0;
                item.used.last_used = Some(self.world.now);
            }
            if served.len() == DEPLOYMENTS.len() {
                return;
            }
            self.world.now = self.world.now.plus(Duration::from_secs(2));
        }
        panic!("only {served:?} were served: {}", self.told());
    }

    /// When Penstock stops, nothing is left after a while.
    pub(super) fn everything_ends(&mut self) {
        const MOMENTS: usize = 60;
        self.world.stopping = Some(self.world.now);
        for _ in 0..MOMENTS {
            self.moment();
            self.world.now = self.world.now.plus(Duration::from_secs(1));
        }
        assert!(self.world.items.is_empty() && self.engines.is_empty(), "{}", self.told());
    }

    fn told(&self) -> String {
        let wishes = self.world.wishes.iter().map(|(name, wish)| {
            format!(
                "\n{name}: generation {}, {} wait, {:?}, retry {:?}",
                wish.record.generation, wish.demand.waiting, wish.hand, wish.retry_at
            )
        });
        let items = self.world.items.values().map(|item| {
            let why = item.reason.as_ref().map(|reason| reason.message.as_str());
            let engine = self.engines.get(&item.id);
            format!(
                "\n{} of {}, {}: {}, {} calls, {engine:?}, {why:?}",
                item.id, item.deployment, item.revision.number, item.phase, item.used.in_flight
            )
        });
        wishes.chain(items).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_plan_keeps_its_promises(steps in proptest::collection::vec(step(), 1..80), dice in any::<u32>()) {
        let mut model = Model::new(dice);
        assert_eq!(model.world.now, NOW);
        for step in &steps {
            model.step(step);
        }
        model.everybody_is_served();
        model.everything_ends();
    }
}
