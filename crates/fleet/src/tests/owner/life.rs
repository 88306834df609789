//! A long life of one installation: Penstock comes and goes, engines and store stay.
//!
//! In: a seed. Out: how much happened, or which promise was broken. Each Penstock is a runtime of its own, whose clock is made: dropping it
//! ends every task wherever it is, as a crash does.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::simulated::Simulated;
use base::tasks::{self, Task};
use base::{ByteSize, Timestamp};
use board::{Board, Failure, Wait};
use registry::Registry;
use runtime::Runtime;
use runtime::programs::Programs;
use spec::{Cause, Deployment, EngineKind, Name, Phase, Strategy};

use super::Store;
use super::engines::{DROWSY, Engines, MACHINES, ONE, SLEEP_AFTER};
use super::play::{Dice, Play};
use super::store::Memory;
use crate::reserve::Wanted;
use crate::steps::Verb;
use crate::{Config, Fleet, Handle, Parts, Snapshot, StopHow};

/// Name, replicas.min and .max. What must always be there leaves room for each of the others.
const DEPLOYMENTS: [(&str, u32, u32); 4] = [("a", 0, 3), ("b", 0, 1), ("c", 1, 1), ("d", 0, 2)];
const STRATEGIES: [Strategy; 3] = [Strategy::Rolling, Strategy::Recreate, Strategy::Canary];
const BEGINS: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const TICK: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const DRAINS_FOR: Duration = Duration::from_mins(5);
/// Backoffs, drains and starts that get stuck are over after this time.
const SERVED_WITHIN: Duration = Duration::from_mins(20);
/// When nobody calls any more, everything has come to rest after this time.
const RESTS_AFTER: Duration = Duration::from_mins(12);
const WATCHED_FOR: Duration = Duration::from_mins(2);
const STOPS_WITHIN: Duration = Duration::from_mins(2);

/// How much happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) trace: (u64, u64),
    pub(super) awaits: u64,
    pub(super) looks: u64,
    pub(super) deaths: u64,
    pub(super) launches: u64,
    pub(super) naps: u64,
    pub(super) served: u64,
}

/// How one Penstock ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Died,
    Left,
    Done,
}

pub(super) struct Life {
    play: Arc<Play>,
    engines: Arc<Engines>,
    memory: Arc<Memory>,
    served: Arc<std::sync::Mutex<BTreeMap<Name, u64>>>,
    dice: Dice,
    /// By the time that passes.
    now: Timestamp,
    /// How far ahead the system clock is, in milliseconds.
    ahead: i64,
    /// Of each deployment, how often it was changed.
    changes: [u64; DEPLOYMENTS.len()],
    callers: u64,
    deaths: u64,
    left: u64,
}

/// What is there while one Penstock runs.
struct Here {
    fleet: Handle,
    owner: Task,
    board: Arc<Board>,
}

/// What the simulation has no part in: a real store and a registry that nobody asks.
fn unused() -> &'static (store::Store, Registry) {
    static UNUSED: OnceLock<(store::Store, Registry)> = OnceLock::new();
    UNUSED.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::TempDir::new().unwrap();
        let store = runtime.block_on(store::Store::open(dir.path().join("penstock.db"))).unwrap();
        let config = registry::Config { models_dir: None, base_dir: "/".into(), home: None, ..registry::Config::default() };
        (store.clone(), Registry::new(store, config))
    })
}

fn name(which: usize) -> Name {
    Name::parse(DEPLOYMENTS[which].0).unwrap()
}

impl Life {
    pub(super) fn of(seed: u64, aloud: bool) -> Self {
        let play = Play::of(seed, aloud);
        // Every third installation has less to give away than its machines have.
        let budget = seed.is_multiple_of(3).then_some(ByteSize(3 * ONE + ONE / 2));
        let engines = Engines::of(Arc::clone(&play), budget);
        engines.are_here();
        Self {
            memory: Memory::of(Arc::clone(&play)),
            engines,
            play,
            served: Arc::default(),
            dice: Dice::of(seed),
            now: BEGINS,
            ahead: 0,
            changes: [0; DEPLOYMENTS.len()],
            callers: 0,
            deaths: 0,
            left: 0,
        }
    }

    pub(super) fn live(mut self, steps: u64) -> Result<Told, String> {
        let _ = unused();
        self.left = steps;
        self.first_wishes();
        while self.left > 0 {
            match self.penstock(false)? {
                End::Died => self.deaths += 1,
                End::Left | End::Done => {}
            }
            self.now = self.now.plus(if self.dice.below(8) == 0 { self.dice.ms(0, 90_000) } else { self.dice.ms(0, 2_000) });
            if self.dice.below(16) == 0 {
                self.set_clock(self.now); // while no Penstock runs
            }
        }
        self.play.goes_wrong(0);
        let end = self.penstock(true)?;
        assert_eq!(end, End::Done);
        let served = self.served.lock().unwrap().values().sum();
        Ok(Told {
            trace: self.play.trace(),
            awaits: self.play.awaits(),
            looks: self.engines.looks(),
            deaths: self.deaths,
            launches: self.engines.launches() as u64,
            naps: self.engines.naps(),
            served,
        })
    }

    fn first_wishes(&mut self) {
        let _simulated = Simulated::begin(self.dice.roll(), self.now);
        for which in 0..DEPLOYMENTS.len() {
            self.change(which);
        }
    }

    /// One Penstock, from its start until it dies, leaves, or everything is over.
    fn penstock(&mut self, last: bool) -> Result<End, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let end = runtime.block_on(async {
            let began_ahead = self.ahead;
            let _simulated = Simulated::begin(self.dice.roll(), self.now.shifted(began_ahead));
            self.engines.clock_is_ahead(began_ahead);
            self.play.begins();
            self.engines.advance();
            let end = self.run(last).await;
            self.now = Timestamp::steady().shifted(-began_ahead);
            end
        });
        drop(runtime);
        match self.play.broken() {
            Some(broken) => Err(broken),
            None => end,
        }
    }

    async fn run(&mut self, last: bool) -> Result<End, String> {
        let _engines = tasks::spawn("engines", Arc::clone(&self.engines).go_on());
        let play = Arc::clone(&self.play);
        let before = self.engines.living();
        let kept = self.memory.rows().list_instances().unwrap_or_default();
        let started = tokio::select! {
            biased;
            () = play.over.notified() => None,
            started = self.start() => Some(started),
        };
        let here = match started {
            None => return Ok(End::Died),
            Some(Err(error)) => {
                self.play.note(format_args!("it does not start: {}", base::chain(&error)));
                return Ok(End::Left);
            }
            Some(Ok(here)) => here,
        };
        self.play.shows(here.fleet.watch());
        let seen = here.fleet.snapshot();
        for (id, fence) in before {
            let wished = |kept: &&store::Kept| kept.id == id && kept.fence == fence && seen.deployments.contains_key(&kept.deployment);
            let lives = self.engines.living().iter().any(|(living, _)| *living == id);
            if lives && kept.iter().any(|kept| wished(&kept)) && !seen.instances.iter().any(|one| one.id == id) {
                return Err(format!("{id} lives and was not found again"));
            }
        }
        if last { self.end_well(&here).await } else { self.steps(&here).await }
    }

    async fn start(&self) -> Result<Here, crate::Error> {
        let (real, registry) = unused();
        let board = Board::new();
        let parts = Parts {
            store: Store::in_memory(real.clone(), Arc::clone(&self.memory)),
            registry: registry.clone(),
            board: Arc::clone(&board),
            runtimes: vec![Arc::clone(&self.engines) as Arc<dyn Runtime>],
            programs: Arc::new(Programs::new("/bin/true".into(), BTreeMap::default(), None, None)),
            secrets: Arc::new(|_| None),
            config: Config { tick: TICK, budget: self.engines.budget(), ..Config::new("/simulated") },
        };
        let (fleet, owner) = Fleet::start(parts).await?;
        Ok(Here { fleet, owner, board })
    }

    async fn steps(&mut self, here: &Here) -> Result<End, String> {
        while self.left > 0 {
            self.left -= 1;
            if let Some(end) = self.step(here).await {
                return Ok(end);
            }
            let time = match self.dice.below(100) {
                0..60 => self.dice.ms(0, 50),
                60..90 => self.dice.ms(100, 3_000),
                90..99 => self.dice.ms(5_000, 30_000),
                _ => self.dice.ms(100_000, 700_000),
            };
            if self.pass(time).await {
                return Ok(End::Died);
            }
            Self::check(here)?;
        }
        Ok(End::Done)
    }

    /// Whether Penstock dies before this time is over.
    async fn pass(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.play.over.notified() => true,
            () = tokio::time::sleep(time) => self.play.is_dead(),
        }
    }

    /// Something happens.
    async fn step(&mut self, here: &Here) -> Option<End> {
        let which = self.dice.at(DEPLOYMENTS.len());
        match self.dice.below(100) {
            0..24 => {
                let count = self.dice.below(4);
                (0..count).for_each(|_| self.call(here, which));
            }
            24..32 => {
                self.change(which);
                self.poke(here);
            }
            32..36 => {
                let _ = self.memory.rows().mark_deployment_deleting(&name(which)); // there may be none
                self.play.note(format_args!("{} is to go", name(which)));
                self.poke(here);
            }
            36..44 => self.operate(here, which),
            44..50 => self.engines.crash(&mut self.dice),
            50..54 => self.engines.mute(&mut self.dice),
            54..57 => self.engines.fail_from_now_on(self.dice.below(3) == 0),
            57..61 => {
                let at = self.dice.at(MACHINES.len());
                self.engines.strangers_want(at, self.dice.below(MACHINES[at].1));
            }
            61..67 => self.set_aside(here),
            67..71 => {
                let faults = [0, 0, 10, 50, 200][self.dice.at(5)];
                self.play.goes_wrong(faults);
            }
            71..75 => self.play.dies_in(self.dice.below(60)),
            75 => {
                // Gracefully, and the engines stay.
                let grace = Duration::from_secs(5);
                tokio::select! {
                    biased;
                    () = self.play.over.notified() => return Some(End::Died),
                    () = here.fleet.stop(StopHow { adopt: true, grace }) => return Some(End::Left),
                }
            }
            76..79 => self.ends_and_dies(here, which),
            79..82 => self.clock_is_set(),
            _ => {}
        }
        None
    }

    /// The same while Penstock runs.
    fn clock_is_set(&mut self) {
        let by = self.set_clock(Timestamp::now().shifted(-self.ahead));
        Simulated::set_clock(by);
        self.play.note(format_args!("the clock is set by {by} ms"));
    }

    /// The system clock is set, by a second or by hours, forth or back. By how much.
    fn set_clock(&mut self, now: Timestamp) -> i64 {
        let by = if self.dice.below(3) == 0 { self.dice.ms(100, 2_000) } else { self.dice.ms(60_000, 10_000_000) };
        let by = i64::try_from(by.as_millis()).unwrap();
        let by = if self.dice.below(2) == 0 { by } else { -by };
        self.engines.expire(now.shifted(self.ahead));
        self.ahead += by;
        self.engines.expire(now.shifted(self.ahead));
        by
    }

    /// Sometimes a signal is lost.
    fn poke(&mut self, here: &Here) {
        if self.dice.below(4) > 0 {
            here.fleet.poke();
        }
    }

    fn change(&mut self, which: usize) {
        let (_, min, max) = DEPLOYMENTS[which];
        let mut spec = Deployment::named(name(which));
        self.changes[which] += 1;
        let number = self.changes[which];
        spec.engine = Some(EngineKind::Echo);
        spec.env.insert("CHANGE".into(), if self.dice.below(4) == 0 { "none".into() } else { number.to_string() });
        (spec.replicas.min, spec.replicas.max, spec.replicas.keep_alive) = (min, max, Some(KEEP_ALIVE));
        spec.pinned = self.dice.below(8) == 0;
        spec.replicas.sleep_after = DROWSY.contains(&DEPLOYMENTS[which].0).then_some(SLEEP_AFTER);
        (spec.timeouts.start, spec.timeouts.drain) = (Duration::from_secs(30), Some(DRAINS_FOR));
        spec.rollout.strategy = STRATEGIES[self.dice.at(STRATEGIES.len())];
        spec.rollout.progress_deadline = Duration::from_mins(2);
        (spec.rollout.canary.weights, spec.rollout.canary.hold) = (vec![20, 50], Duration::from_secs(2));
        self.store(&spec);
    }

    fn store(&self, spec: &Deployment) -> u64 {
        let record = self.memory.rows().put_deployment(spec);
        self.play.note(format_args!("{} is wished, {}", spec.name, record.generation));
        record.generation
    }

    /// An operator does something; the answer may be long in coming.
    fn operate(&mut self, here: &Here, which: usize) {
        let (fleet, play, name, what) = (here.fleet.clone(), Arc::clone(&self.play), name(which), self.dice.below(6));
        let soon = self.dice.ms(0, 40);
        tasks::spawn("operator", async move {
            let said = match what {
                0 => format!("{:?}", fleet.load(&name).await.is_ok()),
                1 => format!("{:?}", fleet.unload(&name).await.is_ok()),
                2 => format!("{:?}", fleet.rollout(&name, Verb::Pause, Cause::Unknown).await.is_ok()),
                3 => format!("{:?}", fleet.rollout(&name, Verb::Resume, Cause::Unknown).await.is_ok()),
                4 => {
                    // Its end falls into its start.
                    let loads = fleet.load(&name).await.is_ok();
                    tokio::time::sleep(soon).await;
                    format!("{loads:?} {:?}", fleet.unload(&name).await.is_ok())
                }
                _ => format!("{:?}", fleet.rollout(&name, Verb::Promote, Cause::Unknown).await.is_ok()),
            };
            play.note(format_args!("operator {what} of {name}: {said}"));
        })
        .detach();
    }

    /// Engines are on their way out when Penstock dies.
    fn ends_and_dies(&mut self, here: &Here, which: usize) {
        let (fleet, name, dies_in) = (here.fleet.clone(), name(which), self.dice.below(40));
        tasks::spawn("operator", async move { drop(fleet.unload(&name).await) }).detach();
        self.play.dies_in(dies_in);
    }

    /// Somebody wants memory for other work, or gives it back.
    fn set_aside(&mut self, here: &Here) {
        let (fleet, engines) = (here.fleet.clone(), Arc::clone(&self.engines));
        let rows = self.memory.rows().list_allocations().unwrap_or_default();
        let at = self.dice.at(rows.len() * 2 + 1);
        if let Some(one) = rows.get(at).cloned() {
            tasks::spawn("operator", async move {
                engines.give_up(&one.id);
                let _ = fleet.release(&one.node, &one.id, Cause::Unknown).await;
            })
            .detach();
            return;
        }
        let node = MACHINES[self.dice.at(MACHINES.len())].0.to_owned();
        let expires_at = (self.dice.below(2) == 0).then(|| Timestamp::now().plus(self.dice.ms(1_000, 100_000)));
        let bytes = ByteSize(self.dice.below(2 * ONE));
        let wanted = Wanted { node, device: None, bytes, holder: "a batch".into(), expires_at, cause: Cause::Unknown };
        tasks::spawn("operator", async move {
            if let Ok(allocation) = fleet.allocate(wanted).await {
                engines.set_aside(allocation);
            }
        })
        .detach();
    }

    /// One caller, who waits, is served for a while, and goes.
    fn call(&mut self, here: &Here, which: usize) {
        self.callers += 1;
        let (play, engines, board, name, number) =
            (Arc::clone(&self.play), Arc::clone(&self.engines), Arc::clone(&here.board), name(which), self.callers);
        // No two run out of patience in the same moment.
        let (ready, cold) = (self.dice.ms(1_000, 20_000), self.dice.ms(5_000, 100_000));
        let odd = Duration::from_nanos(number);
        let wait = Wait { patience_ready: ready + odd, patience_cold: cold + odd, keep_alive: None, avoid: Vec::new() };
        let holds = if self.dice.below(10) == 0 { self.dice.ms(5_000, 60_000) } else { self.dice.ms(0, 3_000) };
        let served = Arc::clone(&self.served);
        tasks::spawn("caller", async move {
            const LOOKS: Duration = Duration::from_millis(500);
            let lease = match board.lease(&name, wait).await {
                Ok(lease) => lease,
                Err(error) => return play.note(format_args!("caller {number} of {name}: {error}")),
            };
            let id = lease.member.id.clone();
            play.note(format_args!("caller {number} of {name} is served by {id}, {}", lease.member.revision));
            if engines.is_told(&id) {
                return play.broke(format!("a caller was sent to {id}, which had been told to end"));
            }
            let _call = engines.enter(&id);
            let mut left = holds;
            while left > Duration::ZERO {
                if !engines.serves(&id) {
                    return lease.failed(Failure::Broken);
                }
                let time = left.min(LOOKS);
                tokio::time::sleep(time).await;
                left -= time;
            }
            lease.answered();
            let revision = lease.member.revision;
            served.lock().unwrap().entry(name).and_modify(|most| *most = revision.max(*most)).or_insert(revision);
        })
        .detach();
    }

    /// What must be so at any time.
    fn check(here: &Here) -> Result<(), String> {
        if here.owner.is_finished() {
            return Err("the owner has ended".to_owned());
        }
        let seen = here.fleet.snapshot();
        for one in &seen.instances {
            if one.phase != Phase::Ready && one.reason.is_none() {
                return Err(format!("{} is {} without a reason", one.id, one.phase));
            }
        }
        for (name, view) in &seen.deployments {
            if view.ready == 0 && view.reason.is_none() {
                return Err(format!("`{name}` serves nobody, and there is no reason"));
            }
            let serving = |one: &&spec::Instance| {
                one.deployment == *name
                    && one.revision == view.record.generation
                    && (one.phase.is_rising() || matches!(one.phase, Phase::Ready | Phase::Unhealthy | Phase::Sleeping))
            };
            let count = seen.instances.iter().filter(serving).count();
            if count > view.record.spec.replicas.max as usize {
                return Err(format!("{count} of `{name}`"));
            }
        }
        Ok(())
    }

    /// From now on nothing goes wrong: whoever asks is served, then all comes to rest, and in the end nothing is left.
    async fn end_well(&mut self, here: &Here) -> Result<End, String> {
        self.engines.calm_down();
        let rows = self.memory.rows().list_allocations().unwrap_or_default();
        for one in rows {
            self.engines.give_up(&one.id);
            let _ = here.fleet.release(&one.node, &one.id, Cause::Unknown).await; // one that is over has gone by itself
        }
        let mut wanted = BTreeMap::new();
        for which in 0..DEPLOYMENTS.len() {
            self.change(which);
            let record = self.memory.rows().get_deployment(&name(which)).unwrap().unwrap();
            let mut spec = record.spec;
            // There may be no room for two revisions at once; then a canary goes back, in the end.
            spec.rollout.strategy = Strategy::Rolling;
            spec.pinned = false; // those that stay where they are may leave no machine with room enough for another one
            spec.env.insert("LAST".into(), "1".into());
            wanted.insert(name(which), self.store(&spec));
        }
        here.fleet.poke();
        let _ = self.pass(TICK).await;
        for which in 0..DEPLOYMENTS.len() {
            let _ = here.fleet.rollout(&name(which), Verb::Resume, Cause::Unknown).await; // those that go on need none
        }
        self.everybody_is_served(here, &wanted).await?;
        self.all_comes_to_rest(here).await?;
        let how = StopHow { adopt: false, grace: STOPS_WITHIN };
        if tokio::time::timeout(STOPS_WITHIN * 2, here.fleet.stop(how)).await.is_err() {
            return Err("it does not stop".to_owned());
        }
        let rows = self.memory.rows().list_instances().unwrap_or_default();
        if self.engines.known() > 0 || !rows.is_empty() {
            return Err(format!("it has stopped, and {} engines and {rows:?} are left", self.engines.known()));
        }
        Ok(End::Done)
    }

    async fn everybody_is_served(&mut self, here: &Here, wanted: &BTreeMap<Name, u64>) -> Result<(), String> {
        let begun = Timestamp::steady();
        loop {
            let served = self.served.lock().unwrap().clone();
            let left: Vec<&Name> =
                wanted.iter().filter(|(name, number)| served.get(*name).is_none_or(|most| most < *number)).map(|(name, _)| name).collect();
            if left.is_empty() {
                return Ok(());
            }
            if Timestamp::steady().since(begun) > SERVED_WITHIN {
                return Err(format!("{left:?} were not served: {}", told(&here.fleet.snapshot())));
            }
            for which in 0..DEPLOYMENTS.len() {
                if left.contains(&&name(which)) {
                    self.call(here, which);
                }
            }
            let _ = self.pass(Duration::from_secs(2)).await;
            if self.dice.below(4) == 0 {
                self.clock_is_set();
            }
            Self::check(here)?;
            if let Some(broken) = self.play.broken() {
                return Err(broken);
            }
        }
    }

    async fn all_comes_to_rest(&mut self, here: &Here) -> Result<(), String> {
        self.clock_is_set();
        let _ = self.pass(RESTS_AFTER).await;
        let (launches, looks) = (self.engines.launches(), self.engines.looks());
        let _ = self.pass(WATCHED_FOR).await;
        let least: u32 = DEPLOYMENTS.iter().map(|(_, min, _)| min).sum();
        let living = self.engines.living().len();
        let turns = self.engines.looks() - looks;
        let most = WATCHED_FOR.as_secs() / TICK.as_secs() * 2;
        if self.engines.launches() != launches || living != least as usize || turns > most {
            let more = self.engines.launches() - launches;
            return Err(format!(
                "it does not rest: {more} more starts, {living} of {least} engines, {turns} of {most} turns: {}",
                told(&here.fleet.snapshot())
            ));
        }
        Ok(())
    }
}

fn told(seen: &Snapshot) -> String {
    let deployments = seen.deployments.iter().map(|(name, view)| {
        let why = view.reason.as_ref().map(|reason| reason.message.as_str());
        format!("\n{name}, {}: {}, {} wait, {:?}, {why:?}", view.record.generation, view.phase, view.waiting, view.rollout)
    });
    let instances = seen.instances.iter().map(|one| {
        let why = one.reason.as_ref().map(|reason| reason.message.as_str());
        format!("\n{} of {}, {}: {}, {} calls, {why:?}", one.id, one.deployment, one.revision, one.phase, one.in_flight)
    });
    deployments.chain(instances).collect()
}
