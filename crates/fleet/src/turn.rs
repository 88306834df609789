//! The one owner of the engine room's state, and its turns.
//!
//! In: pokes, reports of its own tasks, changes that runtimes and callers signal, and a tick. Out:
//! a turn: observe, plan, act, publish. Holds: the world; nobody else changes it. From: level-
//! triggered controllers of Kubernetes: a lost signal costs at most one tick, never the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use board::Board;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use registry::Registry;
use runtime::Runtime;
use spec::{Allocation, AllocationId, Cause, InstanceId, Name, Node, Operation, Order, Reason, Revision, RolloutStatus, RuntimeKind};
use store::Mark;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::fresh::Fresh;
use crate::handle::{Parts, Secrets, StopHow};
use crate::jobs::Jobs;
use crate::launch::{Unstarted, Yard};
use crate::probe::Watched;
use crate::recover::Told;
use crate::reserve::Wanted;
use crate::seam::Store;
use crate::snapshot::{Counters, Snapshot};
use crate::steps::{self, Verb};
use crate::story::Story;
use crate::world::{Hand, Health, Room, World};
use crate::{act, fetching, footprints, held, jobs, observe, plan, recover, reports, reserve, returns, room};

/// What may happen to the owner.
#[derive(Debug)]
pub enum Event {
    /// A wish was frozen, or could not be.
    Resolved(Which, Result<Arc<Revision>, Reason>),
    /// A start has been handed to its runtime, or failed.
    Started(InstanceId, Result<Order, Unstarted>),
    /// The files of one that is to wake are those that it was started with, or not.
    AtHand(InstanceId, Result<(), Unstarted>),
    /// A probe's answer changed.
    Probed(InstanceId, Health),
    /// An end could not be asked for.
    NotStopped(InstanceId),
    /// An operator's hand.
    Hand(Name, Hand, Operation),
    /// An operator's verb for a rollout.
    Roll(Name, Verb, spec::Cause, oneshot::Sender<Result<RolloutStatus, crate::Error>>),
    /// Somebody wants to understand the world; they get a copy.
    Look(oneshot::Sender<Box<World>>),
    /// Memory is to be set aside.
    Allocate(Wanted, oneshot::Sender<Result<Allocation, crate::Error>>),
    /// It is given back.
    Release(String, AllocationId, Cause, oneshot::Sender<Result<(), crate::Error>>),
    /// Keys of remote engines may say something else.
    KeysChanged,
    /// Another room's event.
    Tell(spec::Event),
    /// Penstock goes down.
    Stop(StopHow, oneshot::Sender<()>),
}

/// Which wish, as it was when something was begun for it.
#[derive(Debug)]
pub struct Which {
    /// Its name.
    pub name: Name,
    /// Its generation.
    pub generation: u64,
    /// When it was stored: one of the same name may have been deleted since.
    pub created_at: Timestamp,
}

/// The owner.
pub(crate) struct Owner {
    pub(crate) world: World,
    pub(crate) counters: Counters,
    pub(crate) story: Story,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) board: Arc<Board>,
    pub(crate) runtimes: Vec<Arc<dyn Runtime>>,
    pub(crate) secrets: Secrets,
    pub(crate) outbound: net::Guard,
    pub(crate) yard: Yard,
    pub(crate) messages: mpsc::Sender<Event>,
    pub(crate) probes: BTreeMap<InstanceId, Watched>,
    pub(crate) strangers: BTreeMap<InstanceId, Told>,
    pub(crate) jobs: Jobs,
    pub(crate) files: held::Files,
    capacity: BTreeMap<RuntimeKind, Vec<Node>>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) unpublished: Fresh,
    pub(crate) unseen: Fresh,
    /// How far the wishes have been read.
    mark: Option<Mark>,
    pub(crate) followed: Option<u64>,
    tick: Duration,
    stop: Option<Stop>,
}

/// How and until when it stops, and who waits for it.
struct Stop {
    adopt: bool,
    until: Instant,
    askers: Vec<oneshot::Sender<()>>,
}

/// Time that engines need to end, of all the time that stopping may take; the rest is for calls.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

/// Rounds of one turn; what is left is done by the next.
const ROUNDS: usize = 8;
/// Between two turns: signals that come within this time after one are the next. The first after a rest is not kept waiting.
const GATHER: Duration = Duration::from_millis(1);

/// Takes turns until it is told to stop.
pub(crate) async fn run(mut owner: Owner, mut inbox: mpsc::Receiver<Event>, poke: Arc<Notify>) {
    let mut wanted = owner.board.wanted();
    let mut changes: Vec<watch::Receiver<u64>> = owner.runtimes.iter().map(|runtime| runtime.changes()).collect();
    loop {
        owner.turn().await;
        if owner.has_stopped().await {
            return;
        }
        let earliest = Instant::now() + GATHER;
        tokio::select! {
            biased; // whichever it is, a turn follows
            message = inbox.recv() => match message {
                Some(message) => owner.take(message).await,
                None => return,
            },
            () = poke.notified() => {}
            changed = wanted.changed() => if changed.is_err() { return },
            () = any_change(&mut changes) => {}
            () = tokio::time::sleep(owner.rest()) => {}
        }
        if earliest > Instant::now() {
            tokio::time::sleep_until(earliest).await;
        }
        while let Ok(message) = inbox.try_recv() {
            owner.take(message).await;
        }
    }
}

async fn any_change(changes: &mut [watch::Receiver<u64>]) {
    let mut waits: FuturesUnordered<_> = changes.iter_mut().map(watch::Receiver::changed).collect();
    while let Some(changed) = waits.next().await {
        if changed.is_ok() {
            return;
        }
    }
    std::future::pending::<()>().await; // no runtime can change any more; the tick goes on
}

impl Owner {
    pub(crate) fn new(parts: Parts, messages: mpsc::Sender<Event>, snapshots: watch::Sender<Arc<Snapshot>>) -> Self {
        let config = parts.config;
        let yard = Yard {
            store: parts.store.clone(),
            programs: parts.programs,
            instances_dir: config.data_dir.join("instances"),
            orphan_ttl: config.orphan_ttl,
            threads: config.threads,
        };
        let room =
            Room { budget: config.budget, margin: config.margin, patience: config.patience, packing: config.packing, ..Room::default() };
        Self {
            world: World { room, ..World::default() },
            counters: Counters::default(),
            story: Story::new(parts.store.clone()),
            store: parts.store,
            registry: parts.registry,
            board: parts.board,
            runtimes: parts.runtimes,
            secrets: parts.secrets,
            outbound: config.outbound,
            yard,
            messages,
            probes: BTreeMap::new(),
            strangers: BTreeMap::new(),
            jobs: Jobs::new(),
            files: held::Files::new(),
            capacity: BTreeMap::new(),
            snapshots,
            unpublished: Fresh::default(),
            unseen: Fresh::default(),
            mark: None,
            followed: None,
            tick: config.tick,
            stop: None,
        }
    }

    /// How long it may rest when nothing happens.
    fn rest(&self) -> Duration {
        let next = room::next_look(&self.world).map(|at| at.since(Timestamp::steady()));
        next.map_or(self.tick, |next| next.clamp(GATHER, self.tick))
    }

    pub(crate) fn listeners(&self) -> broadcast::Sender<spec::Event> {
        self.story.listeners()
    }

    pub(crate) fn runtime(&self, kind: RuntimeKind) -> Option<Arc<dyn Runtime>> {
        self.runtimes.iter().find(|runtime| runtime.kind() == kind).cloned()
    }

    async fn take(&mut self, message: Event) {
        match message {
            Event::Resolved(which, result) => reports::resolved(self, &which, result).await,
            Event::Started(id, result) => reports::started(self, &id, result),
            Event::AtHand(id, result) => reports::at_hand(self, &id, result),
            Event::Probed(id, health) => reports::probed(self, &id, health),
            Event::NotStopped(id) => reports::not_stopped(self, &id),
            Event::Hand(name, hand, operation) => {
                if !self.world.wishes.contains_key(&name) {
                    self.look_at_wishes().await; // stored a moment ago
                }
                jobs::by_hand(self, &name, hand, operation);
            }
            Event::Roll(name, verb, by, asker) => {
                self.look_at_wishes().await; // changed a moment ago
                let done = steps::by_hand(self, &name, verb, by).await;
                let _ = asker.send(done); // the asker may have gone
            }
            Event::Look(asker) => drop(asker.send(Box::new(self.world.clone()))), // the asker may have gone
            Event::Allocate(wanted, asker) => {
                let _ = self.look_at_room().await; // as it is now, not as the last turn saw it
                let done = reserve::allocate(self, wanted).await;
                self.show(); // whoever has the answer sees it counted
                let _ = asker.send(done); // the asker may have gone
            }
            Event::Release(node, id, cause, asker) => {
                let done = reserve::release(self, &node, &id, cause).await;
                self.show();
                let _ = asker.send(done); // the asker may have gone
            }
            Event::KeysChanged => reports::keys_changed(self),
            Event::Tell(event) => self.story.tell(event),
            Event::Stop(how, asker) => self.begin_to_stop(how, asker),
        }
    }

    /// Who asks again can only make it stricter.
    fn begin_to_stop(&mut self, how: StopHow, asker: oneshot::Sender<()>) {
        let mut stop = self.stop.take().unwrap_or_else(|| {
            self.story.tell(spec::Event::now(spec::EventKind::Stopping, spec::Cause::Penstock, "penstock is stopping"));
            Stop { adopt: how.adopt, until: Instant::now() + how.grace, askers: Vec::new() }
        });
        stop.adopt &= how.adopt;
        stop.until = stop.until.min(Instant::now() + how.grace);
        stop.askers.push(asker);
        let calls = stop.until.saturating_duration_since(Instant::now()).saturating_sub(ENDS_WITHIN);
        self.world.stopping = (!stop.adopt).then(|| Timestamp::steady().plus(calls));
        self.world.wishes.touch_all();
        self.stop = Some(stop);
    }

    async fn turn(&mut self) {
        let begun = Instant::now();
        self.observe().await;
        observe::demand(&mut self.world, &self.board);
        returns::follow(&mut self.world);
        fetching::look(&mut self.world);
        steps::look_at_load(self);
        for _ in 0..ROUNDS {
            self.look_at_the_clock();
            observe::demand(&mut self.world, &self.board);
            let plan::Plan { actions, weighed } = plan::weigh(&self.world);
            self.counters.weighed += u64::try_from(weighed).unwrap_or(u64::MAX);
            let idle = actions.is_empty();
            for action in actions {
                act::act(self, action).await;
            }
            self.publish();
            if idle {
                break;
            }
        }
        footprints::note(self).await;
        steps::save(self).await;
        self.registry.news().into_iter().for_each(|event| self.story.tell(event));
        self.story.flush().await;
        jobs::settle(self).await;
        self.show();
        self.counters.turns += 1;
        self.counters.busy += begun.elapsed();
    }

    async fn observe(&mut self) {
        self.look_at_the_clock();
        self.look_at_wishes().await;
        self.publish_new_names();
        if crate::follow::follow(self).await {
            self.look_at_wishes().await; // at their next generation
        }
        let seen = observe::sightings(&self.runtimes).await;
        let measured = self.look_at_room().await; // after them: what engines take in between is not free any more
        let strangers = observe::sights(&mut self.world, seen, &measured);
        recover::send_away(self, strangers);
        held::look(self);
        for (id, watched) in &self.probes {
            if let Some(item) = self.world.items.get_mut(id) {
                item.pulse.beat = watched.beat();
            }
        }
        for id in self.board.take_suspects() {
            if let Some(watched) = self.probes.get(&id) {
                watched.nudge();
            }
        }
    }

    async fn look_at_wishes(&mut self) {
        if let Err(error) = self.read_wishes().await {
            tracing::warn!(error = base::chain(&error), "wishes and routes could not be read; the last ones hold");
        }
    }

    /// Reads what has changed since the last time; a read that fails leaves the mark, so the next one misses nothing.
    async fn read_wishes(&mut self) -> Result<(), store::Error> {
        if let Some(changes) = self.store.changes(self.mark).await? {
            self.mark = Some(changes.mark);
            self.counters.read += u64::try_from(changes.deployments.len()).unwrap_or(u64::MAX);
            observe::changes(&mut self.world, changes);
        }
        Ok(())
    }

    /// A runtime that cannot be read has what it had. Gives those that could be read.
    async fn look_at_room(&mut self) -> BTreeSet<RuntimeKind> {
        let mut measured = BTreeSet::new();
        for runtime in &self.runtimes {
            match runtime.capacity().await {
                Ok(found) => {
                    self.capacity.insert(runtime.kind(), found);
                    measured.insert(runtime.kind());
                }
                Err(error) => tracing::warn!(runtime = %runtime.kind(), error = base::chain(&error), "its capacity could not be read"),
            }
        }
        self.world.room.nodes = self.capacity.values().flatten().cloned().collect();
        self.world.room.able = self.yard.programs.able();
        reserve::expire(self).await;
        measured
    }

    /// Finds what ran before this process did.
    pub(crate) async fn recover(&mut self) -> Result<(), crate::Error> {
        self.look_at_the_clock();
        self.world.footprints = footprints::Footprints::of(self.store.list_footprints().await?);
        self.read_wishes().await?;
        steps::take_up(self).await?;
        reserve::take_up(self).await?;
        let seen = recover::look(self).await?;
        recover::adopt(self, seen).await?;
        jobs::bury(self).await?;
        self.story.tell(spec::Event::now(spec::EventKind::Started, spec::Cause::Penstock, "penstock started"));
        self.turn().await;
        Ok(())
    }

    async fn has_stopped(&mut self) -> bool {
        let Some(stop) = &self.stop else { return false };
        let over = stop.adopt || self.world.items.is_empty() || Instant::now() >= stop.until;
        if over {
            if !stop.adopt {
                self.tell_the_rest().await;
            }
            jobs::give_up(self).await;
            self.story.flush().await;
            for asker in self.stop.take().map(|stop| stop.askers).unwrap_or_default() {
                let _ = asker.send(()); // the asker may have gone
            }
        }
        over
    }

    /// Time is up: whatever still runs is told to end before we go; its keeper sees to it.
    async fn tell_the_rest(&self) {
        let stops = self.world.items.values().filter_map(|item| {
            let runtime = self.runtime(item.runtime)?;
            Some(async move { (&item.id, runtime.stop(&item.id, act::GRACE).await) })
        });
        for (id, told) in futures_util::future::join_all(stops).await {
            if let Err(error) = told {
                tracing::warn!(instance = %id, error = base::chain(&error), "it could not be told to stop; nobody claims it any more");
            }
        }
    }
}
