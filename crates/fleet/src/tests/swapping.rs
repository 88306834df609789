//! Two callers on two models that exclude each other: how much they get done, and how long they wait.
//!
//! The plan is made over and over in virtual time; loads, calls and ends take as long as they are told to.

use std::time::Duration;

use base::{ByteSize, Timestamp};
use board::MemberUse;
use spec::{Exit, InstanceId, Phase};

use super::values::{NOW, item, name, revision, wish, world};
use crate::plan::{Action, plan};
use crate::world::{Health, Item, Sight, Start, World};

const STEP: Duration = Duration::from_millis(20);
const LOAD: Duration = Duration::from_secs(2);
const END: Duration = Duration::from_millis(200);
const CALL: Duration = Duration::from_millis(500);
/// Between the end of a call and the next.
const THINK: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who calls one model, and again as soon as there is an answer.
struct Caller {
    model: &'static str,
    calls_at: Timestamp,
    /// Waits since then.
    waits: Option<Timestamp>,
    /// Is answered then, by this one.
    answered: Option<(Timestamp, InstanceId)>,
    done: u32,
    longest: Duration,
}

/// What they got done, and the longest that any of them waited.
#[derive(Debug)]
struct Outcome {
    done: Vec<u32>,
    longest: Duration,
}

struct Street {
    world: World,
    callers: Vec<Caller>,
    ends: Vec<(InstanceId, Timestamp)>,
    born: u32,
}

impl Street {
    fn new(models: &[&'static str], patience: Duration) -> Self {
        let wishes = models.iter().map(|model| wish(model, |w| w.record.spec.replicas.keep_alive = None)).collect();
        let mut world = world(wishes, vec![]);
        world.room.patience = patience;
        let caller = |model| Caller { model, calls_at: NOW, waits: None, answered: None, done: 0, longest: Duration::ZERO };
        Self { world, callers: models.iter().map(|model| caller(*model)).collect(), ends: Vec::new(), born: 0 }
    }

    fn go(mut self, time: Duration) -> Outcome {
        let until = NOW.plus(time);
        while self.world.now < until {
            self.moment();
        }
        let waits = |caller: &Caller| caller.waits.map_or(caller.longest, |since| caller.longest.max(until.since(since)));
        Outcome { done: self.callers.iter().map(|c| c.done).collect(), longest: self.callers.iter().map(waits).max().unwrap() }
    }

    fn moment(&mut self) {
        self.call();
        self.engines();
        self.turn();
        self.answer();
        self.world.now = self.world.now.plus(STEP);
    }

    /// Calls end, and others begin.
    fn call(&mut self) {
        let now = self.world.now;
        for caller in &mut self.callers {
            if let Some((at, id)) = caller.answered.take_if(|(at, _)| *at <= now) {
                caller.done += 1;
                caller.calls_at = at.plus(THINK);
                let item = self.world.items.get_mut(&id).expect("nobody who works is taken away");
                (item.used.in_flight, item.used.last_used) = (item.used.in_flight - 1, Some(now));
            }
            if caller.answered.is_none() && caller.waits.is_none() && caller.calls_at <= now {
                caller.waits = Some(now);
            }
        }
    }

    /// Whoever waits and finds a free instance is served.
    fn answer(&mut self) {
        let now = self.world.now;
        for caller in &mut self.callers {
            let Some(since) = caller.waits else { continue };
            let free = |item: &&mut Item| {
                item.deployment.as_str() == caller.model && item.phase == Phase::Ready && item.used.in_flight < item.slots
            };
            if let Some(item) = self.world.items.values_mut().find(free) {
                (item.used.in_flight, item.used.last_used) = (item.used.in_flight + 1, Some(now));
                caller.longest = caller.longest.max(now.since(since));
                (caller.waits, caller.answered) = (None, Some((now.plus(CALL), item.id.clone())));
            }
        }
    }

    fn engines(&mut self) {
        let now = self.world.now;
        for item in self.world.items.values_mut() {
            if let Some((_, at)) = self.ends.iter().find(|(id, _)| *id == item.id) {
                let exit = Exit { code: Some(0), signal: None, asked: true, spawn_error: None, last_lines: vec![], at: now, lost: false };
                item.sight = if *at <= now { Sight::Exited(exit) } else { item.sight.clone() };
            } else if item.start == Start::Done && item.launched_at.is_some_and(|at| now.since(at) >= LOAD) {
                item.health = Health::Up;
            }
            item.seen_at = Some(now);
        }
    }

    fn turn(&mut self) {
        for _ in 0..8 {
            for (name, wish) in &mut self.world.wishes {
                wish.demand.waiting =
                    u32::try_from(self.callers.iter().filter(|c| c.model == name.as_str() && c.waits.is_some()).count()).unwrap();
            }
            let actions = plan(&self.world);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.world.now;
        match action {
            Action::Create(name, _) => {
                self.born += 1;
                let fresh = Item {
                    memory: ByteSize(80),
                    revision: revision(name.as_str(), 1),
                    created_at: now,
                    progress_at: now,
                    since: now,
                    start: Start::Pending,
                    sight: Sight::Absent,
                    health: Health::Unknown,
                    launched_at: None,
                    ready_at: None,
                    used: MemberUse::default(),
                    ..item(&format!("i{:04}", self.born), name.as_str(), Phase::Pending)
                };
                self.world.items.insert(fresh.id.clone(), fresh);
            }
            Action::Launch(id, grant) => {
                let item = self.world.items.get_mut(&id).unwrap();
                item.take(grant);
                (item.phase, item.since, item.start, item.launched_at) = (Phase::Starting, now, Start::Done, Some(now));
                item.sight = Sight::Running { pid: Some(1), resident: Some(item.memory) };
            }
            Action::Move(id, phase, reason) => {
                let item = self.world.items.get_mut(&id).unwrap();
                (item.phase, item.since, item.reason) = (phase, now, reason);
                match phase {
                    Phase::Ready => drop(item.ready_at.get_or_insert(now)),
                    Phase::Draining => assert!(item.ready_at.is_some()),
                    Phase::Reclaiming => (item.sight, item.stop_asked) = (Sight::Absent, None),
                    _ => {}
                }
            }
            Action::Stop(id) => {
                self.world.items.get_mut(&id).unwrap().stop_asked = Some(now);
                self.ends.push((id, now.plus(END)));
            }
            Action::Forget(id) => drop(self.world.items.remove(&id)),
            Action::Fail(id, reason) => panic!("{id} failed: {reason:?}"),
            Action::Roll(name, status) => self.world.wishes.get_mut(&name).unwrap().rollout = *status,
            Action::Tell(id, reason) => self.world.items.get_mut(&id).unwrap().reason = Some(reason),
            Action::Resolve(_) | Action::Remove(_) | Action::Sleep(..) => {}
        }
    }
}

#[test]
fn two_models_that_exclude_each_other_do_three_times_as_much_as_first_come_first_served() {
    const TIME: Duration = Duration::from_mins(10);
    let fair = Street::new(&["a", "b"], PATIENCE).go(TIME);
    let first_come = Street::new(&["a", "b"], Duration::ZERO).go(TIME);
    let done = |outcome: &Outcome| outcome.done.iter().sum::<u32>();
    println!("{fair:?} against {first_come:?}");
    assert!(done(&first_come) > 100, "{first_come:?}");
    assert!(done(&fair) >= 3 * done(&first_come), "{fair:?} and {first_come:?}");
    let swap = LOAD + END + CALL + 8 * STEP;
    assert!(fair.longest <= PATIENCE + swap, "{fair:?}");
    assert!(fair.done.iter().all(|one| one * 3 > done(&fair)), "nobody gets less than a third: {fair:?}");
}

#[test]
fn of_many_models_that_exclude_each_other_none_starves_and_each_swap_is_worth_its_while() {
    let outcome = Street::new(&["a", "b", "c", "d", "e"], PATIENCE).go(Duration::from_mins(10));
    let (least, most) = (outcome.done.iter().min().unwrap(), outcome.done.iter().max().unwrap());
    assert!(*least > 20 && most * 2 <= least * 3, "{outcome:?}");
}

#[test]
fn a_model_whose_callers_have_gone_is_not_waited_for() {
    let mut street = Street::new(&["a", "b"], PATIENCE);
    street.callers[1].calls_at = NOW.plus(Duration::from_secs(5));
    let until = NOW.plus(Duration::from_secs(10));
    while street.world.now < until {
        if street.callers[0].done == 1 {
            street.callers[0].calls_at = until; // the first one has its answer and leaves
        }
        street.moment();
    }
    assert!(street.callers[1].longest <= LOAD + END + Duration::from_millis(200), "{:?}", street.callers[1].longest);
    assert!(street.world.items_of(&name("b")).any(|item| item.phase == Phase::Ready));
}
