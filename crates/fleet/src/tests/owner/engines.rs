//! Where the engines of the simulation run: they outlive every crash of Penstock, and know what they were promised.
//!
//! In: orders. Out: what a real runtime would show, late, never, or wrong. Whoever gives away more than there is, or starts something
//! twice, is caught here at the moment at which it does. Holds: no task and no clock of its own; what takes time is due at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{ByteSize, Timestamp};
use hyper::StatusCode;
use runtime::{Error, LogStream, LogsFrom, Runtime};
use spec::{Allocation, AllocationId, Device, DeviceKind, Endpoint, Exit, InstanceId, Node, Order, RuntimeKind, Seen, SeenState};
use tokio::sync::{Notify, watch};

use super::play::{Dice, Play};

/// What one instance takes.
pub(super) const ONE: u64 = 8 << 20;
/// Machines, and the memory of each.
pub(super) const MACHINES: [(&str, u64); 2] = [("here", 4 * ONE + ONE / 2), ("there", 2 * ONE + ONE / 4)];

thread_local! {
    static HERE: RefCell<Option<Arc<Engines>>> = const { RefCell::new(None) };
}

type Answer = Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>>;

/// What an engine of the simulation says to a probe; nothing where there is no simulation.
pub(crate) fn answer(endpoint: &Endpoint, path: &'static str) -> Option<impl Future<Output = Answer> + Send + use<>> {
    let engines = HERE.with_borrow(Option::clone)?;
    let endpoint = endpoint.clone();
    Some(async move { engines.answer(&endpoint, path).await })
}

/// How engines of the simulation are asked whether they sleep, and woken; nothing where there is no simulation.
pub(crate) fn sleep() -> Option<engine::Sleep> {
    let sleep = engine::Sleep { asks: ASKS, wakes: (WAKES, ""), keeps: ByteSize(0) };
    HERE.with_borrow(Option::is_some).then_some(sleep)
}

const ASKS: &str = "/props";
const WAKES: &str = "/tokenize";
/// These fall asleep when nobody calls them.
pub(super) const DROWSY: [&str; 2] = ["b", "d"];
/// After so long.
pub(super) const SLEEP_AFTER: Duration = Duration::from_secs(2);
/// And keep so much.
const KEPT: u64 = ONE / 8;
/// By so many milliseconds Penstock's calendar may be off.
const CLOCKS_DIFFER: i64 = 200;

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// It answers when its time has come.
    Loading(Timestamp),
    /// It never will.
    Stuck,
    /// It ends by itself when its time has come.
    Fails(Timestamp),
    Up,
    /// It lives and does not answer.
    Mute,
    /// It was told to end.
    Ending(Timestamp),
    Ended(Exit),
}

struct Engine {
    order: Order,
    state: State,
    born: Timestamp,
    /// It has taken all of its memory by then, if nothing ends it before.
    full_at: Timestamp,
    told: bool,
    /// Calls that it works on, and when the last one came.
    calls: u32,
    idle_since: Timestamp,
    /// It has given back its memory.
    dozes: bool,
}

/// A call of an engine, until it is dropped.
pub(super) struct Calling(Arc<Engines>, InstanceId);

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(engine) = self.0.lock().engines.get_mut(&self.1) {
            engine.calls -= 1; // it may be that the present of this thread is no more, so no clock is read
        }
        self.0.moved.notify_one();
    }
}

impl Engine {
    fn lives(&self) -> bool {
        !matches!(self.state, State::Ended(_))
    }
    /// What it was given, and may take.
    fn given(&self, node: &str) -> u64 {
        if self.lives() { self.order.grant.of(node, "ram").0 } else { 0 }
    }
    fn takes(&self, node: &str) -> u64 {
        if self.dozes { self.given(node).min(KEPT) } else { self.given(node) }
    }
    /// When it falls asleep, if nobody calls it before.
    fn nap_at(&self) -> Option<Timestamp> {
        let may = self.state == State::Up && self.calls == 0 && !self.dozes && DROWSY.contains(&self.order.deployment.as_str());
        may.then(|| self.idle_since.plus(SLEEP_AFTER))
    }
    /// It takes its memory step by step, also while it is on its way out.
    fn resident(&self, now: Timestamp) -> u64 {
        let loads_for = self.full_at.since(self.born);
        if self.dozes {
            return self.order.grant.total().0.min(KEPT);
        }
        if now >= self.full_at {
            return self.order.grant.total().0;
        }
        let part = now.since(self.born).as_millis() * 4 / loads_for.as_millis().max(1);
        self.order.grant.total().0 * u64::try_from(part.min(4)).unwrap() / 4
    }
}

#[derive(Default)]
struct Inner {
    engines: BTreeMap<InstanceId, Engine>,
    launched: BTreeSet<InstanceId>,
    /// Somebody has asked for their end, whether or not the asking has come through.
    asked: BTreeSet<InstanceId>,
    /// Memory of those who have ended, and when it comes back.
    lingering: Vec<(String, u64, Timestamp)>,
    /// What strangers want, and what they have.
    strangers: [(u64, u64); MACHINES.len()],
    /// Set aside, and confirmed to whoever asked.
    aside: BTreeMap<AllocationId, Allocation>,
    /// New ones fail.
    fail: bool,
    looks: u64,
    /// Nothing goes wrong any more.
    calm: bool,
    /// How often one fell asleep.
    naps: u64,
}

/// A runtime, and the engines that run there.
pub(super) struct Engines {
    play: Arc<Play>,
    inner: Mutex<Inner>,
    /// All of them together may take so much.
    budget: Option<ByteSize>,
    /// How far ahead the system clock was when this Penstock began, in milliseconds.
    ahead: AtomicI64,
    changes: watch::Sender<u64>,
    moved: Notify,
}

impl Engines {
    pub(super) fn of(play: Arc<Play>, budget: Option<ByteSize>) -> Arc<Self> {
        Arc::new(Self {
            play,
            inner: Mutex::default(),
            budget,
            ahead: AtomicI64::new(0),
            changes: watch::Sender::new(0),
            moved: Notify::new(),
        })
    }
    /// Probes of this thread ask these.
    pub(super) fn are_here(self: &Arc<Self>) {
        HERE.set(Some(Arc::clone(self)));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Another Penstock begins, by a clock that is so far ahead.
    pub(super) fn clock_is_ahead(&self, by: i64) {
        self.ahead.store(by, Relaxed);
    }
    /// By the time that passes here, whatever any clock says.
    fn now(&self) -> Timestamp {
        Timestamp::steady().shifted(-self.ahead.load(Relaxed))
    }
    /// By this date those are over who were set aside until then: who is told so does not count on it any more, though the clock be set back.
    pub(super) fn expire(&self, date: Timestamp) {
        self.lock().aside.retain(|_, one| one.holds(date));
    }

    /// Lets what takes time go on, for as long as it is polled.
    pub(super) async fn go_on(self: Arc<Self>) {
        loop {
            let due = self.due();
            let wait = due.map_or(Duration::from_hours(1), |due| due.since(self.now()).max(Duration::from_millis(1)));
            tokio::select! {
                biased;
                () = self.moved.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            self.advance();
        }
    }

    fn due(&self) -> Option<Timestamp> {
        let of = |engine: &Engine| match engine.state {
            State::Loading(at) | State::Fails(at) | State::Ending(at) => Some(at),
            _ => engine.nap_at(),
        };
        self.lock().engines.values().filter_map(of).min()
    }

    /// What is due happens.
    pub(super) fn advance(&self) {
        let now = self.now();
        let (mut ended, mut naps) = (Vec::new(), Vec::new());
        let mut inner = self.lock();
        inner.lingering.retain(|(_, _, until)| *until > now);
        for (id, engine) in &mut inner.engines {
            match engine.state {
                State::Loading(at) if at <= now => (engine.state, engine.idle_since) = (State::Up, now),
                State::Fails(at) if at <= now => ended.push((id.clone(), false)),
                State::Ending(at) if at <= now => ended.push((id.clone(), true)),
                _ if engine.nap_at().is_some_and(|at| at <= now) => {
                    engine.dozes = true;
                    naps.push(id.clone());
                }
                _ => {}
            }
        }
        inner.naps += naps.len() as u64;
        drop(inner);
        for id in naps {
            self.play.note(format_args!("{id} falls asleep"));
        }
        for (id, asked) in ended {
            self.end(&id, asked);
        }
    }

    fn end(&self, id: &InstanceId, asked: bool) {
        let now = self.now();
        let back = self.play.draw(|dice| if dice.below(4) == 0 { dice.ms(1, 3_000) } else { Duration::ZERO });
        let mut inner = self.lock();
        let Some(engine) = inner.engines.get_mut(id).filter(|engine| engine.lives()) else { return };
        let (node, bytes) = (engine.order.grant.node.clone(), engine.resident(now));
        let (code, last_lines) = (Some(i32::from(!asked)), vec!["error: it ended".to_owned()]);
        engine.state = State::Ended(Exit { code, signal: None, asked, spawn_error: None, last_lines, at: now, lost: false });
        inner.lingering.push((node, bytes, now.plus(back)));
        drop(inner);
        self.play.note(format_args!("{id} ended, asked: {asked}"));
        self.tick();
    }

    fn tick(&self) {
        self.changes.send_modify(|n| *n += 1);
        self.moved.notify_one();
    }

    /// Something happens to one that lives.
    fn disturb(&self, dice: &mut Dice, may: impl Fn(&State) -> bool) -> Option<InstanceId> {
        let inner = self.lock();
        let all: Vec<&InstanceId> = inner.engines.iter().filter(|(_, engine)| may(&engine.state)).map(|(id, _)| id).collect();
        let at = dice.at(all.len());
        all.get(at).map(|id| (*id).clone())
    }
    pub(super) fn crash(&self, dice: &mut Dice) {
        if let Some(id) = self.disturb(dice, |state| !matches!(state, State::Ended(_))) {
            self.end(&id, false);
        }
    }
    pub(super) fn mute(&self, dice: &mut Dice) {
        let Some(id) = self.disturb(dice, |state| matches!(state, State::Up | State::Mute)) else { return };
        if let Some(engine) = self.lock().engines.get_mut(&id) {
            engine.state = if engine.state == State::Up { State::Mute } else { State::Up };
        }
    }
    pub(super) fn fail_from_now_on(&self, yes: bool) {
        self.lock().fail = yes;
    }
    pub(super) fn strangers_want(&self, at: usize, bytes: u64) {
        self.lock().strangers[at].0 = bytes;
    }
    /// It was confirmed.
    pub(super) fn set_aside(&self, allocation: Allocation) {
        self.lock().aside.insert(allocation.id.clone(), allocation);
        self.check("set aside");
    }
    /// Whoever had it no longer counts on it.
    pub(super) fn give_up(&self, id: &AllocationId) {
        self.lock().aside.remove(id);
    }
    /// From now on nothing goes wrong with them.
    pub(super) fn calm_down(&self) {
        let mut inner = self.lock();
        (inner.fail, inner.calm) = (false, true);
        inner.strangers.iter_mut().for_each(|wanted| wanted.0 = 0);
        inner.engines.values_mut().filter(|engine| engine.state == State::Mute).for_each(|engine| engine.state = State::Up);
    }

    pub(super) fn launches(&self) -> usize {
        self.lock().launched.len()
    }
    pub(super) fn budget(&self) -> Option<ByteSize> {
        self.budget
    }
    pub(super) fn looks(&self) -> u64 {
        self.lock().looks
    }
    pub(super) fn naps(&self) -> u64 {
        self.lock().naps
    }
    /// A call comes to one, and wakes it if it sleeps.
    pub(super) fn enter(self: &Arc<Self>, id: &InstanceId) -> Option<Calling> {
        let mut inner = self.lock();
        let engine = inner.engines.get_mut(id)?;
        (engine.calls, engine.idle_since) = (engine.calls + 1, self.now());
        let woken = std::mem::take(&mut engine.dozes);
        drop(inner);
        if woken {
            self.play.note(format_args!("{id} is woken by a call"));
            self.check("woken by a call");
        }
        Some(Calling(Arc::clone(self), id.clone()))
    }
    pub(super) fn known(&self) -> usize {
        self.lock().engines.len()
    }
    pub(super) fn living(&self) -> Vec<(InstanceId, u64)> {
        let inner = self.lock();
        inner.engines.iter().filter(|(_, engine)| engine.lives() && !engine.told).map(|(id, e)| (id.clone(), e.order.fence)).collect()
    }
    /// It lives and answers.
    pub(super) fn serves(&self, id: &InstanceId) -> bool {
        self.lock().engines.get(id).is_some_and(|engine| matches!(engine.state, State::Up | State::Ending(_)))
    }
    /// Its end was asked for.
    pub(super) fn is_told(&self, id: &InstanceId) -> bool {
        self.lock().engines.get(id).is_none_or(|engine| engine.told)
    }

    /// Nothing is given away twice.
    fn check(&self, when: &str) {
        let (now, date) = (self.now(), Timestamp::now().shifted(CLOCKS_DIFFER));
        let inner = self.lock();
        let mut wrong = None;
        for (at, (node, total)) in MACHINES.into_iter().enumerate() {
            let ours: u64 = inner.engines.values().map(|engine| engine.takes(node)).sum();
            let back: u64 = inner.lingering.iter().filter(|(of, _, until)| of == node && *until > now).map(|(_, bytes, _)| bytes).sum();
            let theirs = inner.strangers[at].1;
            let aside: u64 = inner.aside.values().filter(|one| one.node == node && one.holds(date)).map(|one| one.bytes.0).sum();
            if ours + back + theirs > total || ours + aside > total {
                wrong = Some(format!(
                    "{when}: of the {total} of {node} engines have {ours}, {back} are not back yet, strangers have {theirs} and {aside} are set aside"
                ));
            }
        }
        let all: u64 = MACHINES.iter().flat_map(|(node, _)| inner.engines.values().map(move |engine| engine.takes(node))).sum();
        if let Some(budget) = self.budget.filter(|budget| all > budget.0) {
            wrong = Some(format!("{when}: engines have {all} of a budget of {budget}"));
        }
        drop(inner);
        if let Some(wrong) = wrong {
            self.play.broke(wrong);
        }
    }

    /// Strangers take what nobody was given, and no more; how much that is of each machine.
    fn capacity_now(&self) -> (Vec<Node>, [u64; MACHINES.len()]) {
        let now = self.now();
        let seen = self.play.snapshot();
        let inner = self.lock();
        let (mut nodes, mut theirs) = (Vec::new(), [0; MACHINES.len()]);
        for (at, (name, total)) in MACHINES.into_iter().enumerate() {
            // Nobody takes what one that sleeps may take again.
            let ours: u64 = inner.engines.values().map(|engine| engine.given(name)).sum();
            let nodes_seen = seen.iter().flat_map(|seen| &seen.nodes).filter(|node| node.node.name == name);
            let promised: u64 = nodes_seen.map(|node| node.held.0).sum();
            let back: u64 = inner.lingering.iter().filter(|(of, _, until)| of == name && *until > now).map(|(_, bytes, _)| bytes).sum();
            let (wants, _) = inner.strangers[at];
            let has = wants.min(total.saturating_sub(ours.max(promised) + back));
            theirs[at] = has;
            if inner.strangers[at].1 != has {
                self.play.note(format_args!("strangers have {has} of {name}, engines {ours}, promised {promised}, not back {back}"));
            }
            let living = inner.engines.values().filter(|engine| engine.lives() && engine.order.grant.node == name);
            let used: u64 = living.map(|engine| engine.resident(now)).sum();
            let device = Device::new("ram", DeviceKind::Ram, ByteSize(total), ByteSize(total.saturating_sub(used + back + has)));
            nodes.push(Node { name: name.into(), cores: 2, devices: vec![device] });
        }
        (nodes, theirs)
    }
    /// They have it once it has been seen: of what they take while nobody can look, nobody can know.
    fn strangers_have(&self, theirs: [u64; MACHINES.len()]) {
        for (one, has) in self.lock().strangers.iter_mut().zip(theirs) {
            one.1 = has;
        }
    }

    fn begin(&self, order: &Order) {
        let now = self.now();
        let state = self.play.draw(|dice| match (dice.below(100), self.lock().fail) {
            (0..50, true) => State::Fails(now.plus(dice.ms(0, 2_000))),
            (0, false) => State::Stuck,
            _ => State::Loading(now.plus(dice.ms(0, 4_000))),
        });
        self.play
            .note(format_args!("{} of {}, {} starts on {}: {state:?}", order.instance, order.deployment, order.revision, order.grant.node));
        let id = order.instance.clone();
        if !self.lock().launched.insert(id.clone()) {
            return self.play.broke(format!("{id} is started twice"));
        }
        // It would live on until somebody asked once more.
        if self.lock().asked.contains(&id) {
            return self.play.broke(format!("the end of {id} was asked for while it was being started, and then it came up"));
        }
        let full_at = if let State::Loading(until) = state { until } else { now };
        let order = order.clone();
        self.lock().engines.insert(id, Engine { order, state, born: now, full_at, told: false, calls: 0, idle_since: now, dozes: false });
        self.check("started");
        self.tick();
    }

    fn told_to_end(&self, id: &InstanceId) {
        let now = self.now();
        let until = now.plus(self.play.draw(|dice| if dice.below(8) == 0 { dice.ms(8_000, 12_000) } else { dice.ms(0, 2_000) }));
        let mut inner = self.lock();
        // Calls are shorter than anything may take to drain.
        let works = inner.engines.get(id).is_some_and(|engine| engine.state == State::Up && engine.calls > 0);
        let cut = inner.calm && works;
        match inner.engines.get_mut(id) {
            Some(Engine { state: State::Ended(_), .. }) => drop(inner.engines.remove(id)),
            Some(Engine { state: State::Ending(_), .. }) | None => {}
            Some(engine) => (engine.state, engine.told) = (State::Ending(until), true),
        }
        drop(inner);
        self.play.note(format_args!("{id} is told to end"));
        if cut {
            self.play.broke(format!("{id} was told to end while a call was under way"));
        }
        self.tick();
    }

    fn listed(&self) -> Vec<Seen> {
        let now = self.now();
        let mut inner = self.lock();
        inner.looks += 1;
        let seen = |engine: &Engine| Seen {
            order: engine.order.clone(),
            state: match &engine.state {
                State::Ending(_) => SeenState::Stopping,
                State::Ended(exit) => SeenState::Exited(exit.clone()),
                _ => SeenState::Running,
            },
            pid: engine.lives().then_some(1),
            started_at: engine.born,
            resident: engine.lives().then(|| ByteSize(engine.resident(now))),
            cpu: None,
            log_lines: 0,
        };
        inner.engines.values().map(seen).collect()
    }

    async fn answer(&self, endpoint: &Endpoint, path: &'static str) -> Answer {
        let look = || {
            let mut inner = self.lock();
            let (id, engine) = inner.engines.iter_mut().find(|(_, engine)| engine.order.endpoint == *endpoint)?;
            let woken = path == WAKES && engine.state == State::Up && std::mem::take(&mut engine.dozes);
            if woken {
                engine.idle_since = self.now();
            }
            let said = (engine.state.clone(), format!("{{\"is_sleeping\":{}}}", engine.dozes), woken.then(|| id.clone()));
            drop(inner);
            if let Some(id) = &said.2 {
                self.play.note(format_args!("{id} is woken"));
                self.check("woken");
                self.moved.notify_one();
            }
            Some((said.0, said.1))
        };
        match self.play.through("probe", look).await.map(Option::unzip) {
            Some((Some(State::Up | State::Ending(_)), Some(said))) => Ok((StatusCode::OK, said)),
            Some((Some(State::Mute), _)) => std::future::pending().await,
            _ => Err("connection refused".into()),
        }
    }
}

fn fault(what: &'static str) -> Error {
    Error::Io { what, path: "a simulation".into(), source: io::Error::other("told to fail") }
}

#[async_trait]
impl Runtime for Engines {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }
    async fn capacity(&self) -> Result<Vec<Node>, Error> {
        let seen = self.play.through("capacity", || self.capacity_now()).await;
        let (nodes, theirs) = seen.ok_or_else(|| fault("read the machines"))?;
        self.strangers_have(theirs);
        Ok(nodes)
    }
    async fn list(&self) -> Result<Vec<Seen>, Error> {
        self.play.through("list", || self.listed()).await.ok_or_else(|| fault("list"))
    }
    async fn launch(&self, order: &Order) -> Result<(), Error> {
        self.play.through("launch", || self.begin(order)).await.ok_or_else(|| fault("launch"))
    }
    async fn stop(&self, id: &InstanceId, _: Duration) -> Result<(), Error> {
        self.lock().asked.insert(id.clone());
        self.play.through("stop", || self.told_to_end(id)).await.ok_or_else(|| fault("stop"))
    }
    async fn logs(&self, id: &InstanceId, _: LogsFrom) -> Result<LogStream, Error> {
        Err(Error::NotFound(id.clone()))
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
