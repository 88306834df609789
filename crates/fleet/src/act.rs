//! Does what was planned.
//!
//! In: actions. Out: a changed world, events, and tasks that report back ([`crate::reports`]).
//! Everything slow is a task; the owner itself only writes to the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Fault, Secret, Timestamp, tasks};
use futures_util::FutureExt as _;
use spec::{
    Cause, Deployment, Event, EventKind, Grant, InstanceId, Keep, KeyFrom, Name, Phase, Reason, ReasonCode, Record, Revision, RuntimeKind,
    Version,
};

use crate::fetching::Fetching;
use crate::launch::{self, Start as Launch};
use crate::ledger::Ledger;
use crate::plan::Action;
use crate::pulse::Pulse;
use crate::returns::Cleared;
use crate::sleep::{Nap, Step};
use crate::turn::{Event as Message, Owner, Which};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start};
use crate::{cause, follow, footprints, reports};

/// An instance that served this long before it failed counts as a first failure.
const STEADY: Duration = Duration::from_mins(1);

/// Does one thing.
pub(crate) async fn act(owner: &mut Owner, action: Action) {
    match action {
        Action::Resolve(name) => resolve(owner, &name),
        Action::Roll(name, status) => crate::steps::roll(owner, &name, *status),
        Action::Create(name, number) => create(owner, &name, number),
        Action::Launch(id, grant) => start(owner, &id, grant),
        Action::Move(id, phase, reason) => go(owner, &id, phase, reason),
        Action::Tell(id, reason) => tell(owner, &id, reason),
        Action::Fail(id, reason) => fail(owner, &id, reason).await,
        Action::Sleep(id, step) => sleep(owner, &id, step),
        Action::Stop(id) => stop(owner, &id),
        Action::Forget(id) => forget(owner, &id).await,
        Action::Remove(name) => remove(owner, &name).await,
    }
}

fn resolve(owner: &mut Owner, name: &Name) {
    let Some(wish) = owner.world.wishes.get_mut(name) else { return };
    wish.resolve = Resolve::Running;
    let (fetching, fetch) = Fetching::begin();
    wish.fetching = fetching;
    let record = wish.record.clone();
    let which = Which { name: name.clone(), generation: record.generation, created_at: record.created_at };
    let (registry, programs) = (owner.registry.clone(), Arc::clone(&owner.yard.programs));
    let store = owner.store.clone();
    let missing_key = record.spec.key_from().filter(|from| (owner.secrets)(*from).is_none()).map(key_missing);
    let work = async move {
        let version = match missing_key {
            Some(reason) => Err(reason),
            None if record.spec.engine().needs_model() => follow::freeze((&store, &registry), &record, fetch).await,
            None => Ok(None),
        };
        let Record { spec, generation: number, .. } = record;
        let version = version.and_then(|version| version.map(|version| servable(&spec, version)).transpose());
        // Which build it will be decides what was measured of it; where there is none the launch says so.
        let _ = programs.find(spec.engine()).await;
        version.map(|version| Arc::new(Revision { number, spec, version }))
    };
    let broken = || Reason::new(ReasonCode::SourceUnreachable, "reading it failed inside penstock", "see the log of penstock");
    reporting(owner, "resolve", work, move |result| Message::Resolved(which, result.unwrap_or_else(|| Err(broken()))));
}

/// Does something slow in a task that always reports back, also when it panics: then with nothing.
fn reporting<T: Send + 'static>(
    owner: &Owner,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
    message: impl FnOnce(Option<T>) -> Message + Send + 'static,
) {
    let messages = owner.messages.clone();
    tasks::spawn(name, async move {
        let done = AssertUnwindSafe(work).catch_unwind().await;
        if done.is_err() {
            tracing::error!(task = name, "task panicked");
        }
        let _ = messages.send(message(done.ok())).await; // the owner may have ended
    })
    .detach();
}

fn key_missing(from: KeyFrom<'_>) -> Reason {
    let (what, remedy) = match from {
        KeyFrom::Variable(name) => (format!("{from} is not set"), format!("start penstock with {name} set")),
        KeyFrom::File(_) => (format!("there is no key in {from}"), "write it there, and give penstock the right to read it".to_owned()),
        KeyFrom::Secret(name) => (format!("there is no secret `{name}`"), format!("store it with `penstock secret set {name}`")),
    };
    Reason::new(ReasonCode::KeyMissing, what, remedy)
}

/// A model of a format that the engine serves.
fn servable(spec: &Deployment, version: Version) -> Result<Version, Reason> {
    let Some(wrong) = spec.engine().format_problem(version.format) else { return Ok(version) };
    let what = wrong.0.first().map(|problem| problem.what.clone()).unwrap_or_default();
    Err(Reason::new(ReasonCode::ModelUnknown, what, wrong.hint().unwrap_or_default()))
}

fn create(owner: &mut Owner, name: &Name, number: u64) {
    let Some(revision) = owner.world.wishes.get(name).and_then(|wish| wish.revision_of(number)).cloned() else { return };
    let mut item = new_item(InstanceId::random(), revision, Secret::new(base::id::random_hex(KEY_DIGITS)), owner.world.now);
    footprints::recall(&owner.world.footprints, &mut item);
    item.cause = owner.world.wishes.get(name).map(|wish| cause::of_creation(wish, number, owner.world.date())).unwrap_or_default();
    let message = format!("{name}: an instance is wanted: {}", item.cause);
    let event = Event::now(EventKind::InstancePhase, item.cause.clone(), message).of(name);
    owner.story.tell(Event { instance: Some(item.id.clone()), ..event });
    owner.world.items.insert(item.id.clone(), item);
}

/// 128 bits.
const KEY_DIGITS: usize = 32;

/// An instance that was just decided on.
pub fn new_item(id: InstanceId, revision: Arc<Revision>, key: Secret, now: Timestamp) -> Item {
    let spec = &revision.spec;
    Item {
        id,
        deployment: spec.name.clone(),
        fence: 0,
        engine: spec.engine(),
        runtime: spec.runtime(),
        phase: Phase::Pending,
        since: now,
        reason: Some(Reason::new(ReasonCode::Progressing, "it is about to start", "")),
        cause: Cause::Unknown,
        memory: engine::engine(spec.engine()).memory(revision.version.as_ref(), spec).total(),
        measured: false,
        on_card: None,
        peak: ByteSize(0),
        noted: ByteSize(0),
        build: String::new(),
        grant: Grant::default(),
        slots: spec.slots(),
        endpoint: None,
        key,
        created_at: now,
        launched_at: None,
        ready_at: None,
        start: Start::Pending,
        sight: Sight::Unknown,
        seen_at: None,
        health: Health::Unknown,
        used: board::MemberUse::default(),
        pulse: Pulse::default(),
        nap: Nap::default(),
        progress_at: now,
        log_lines: 0,
        stop_asked: None,
        cleared: None,
        revision,
    }
}

fn start(owner: &mut Owner, id: &InstanceId, grant: Grant) {
    go(owner, id, Phase::Starting, Some(Reason::new(ReasonCode::Progressing, "its process is being started", "")));
    let (now, drift) = (owner.world.now, owner.world.drift);
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.start = Start::Running;
    item.sight = Sight::Unknown;
    item.launched_at = Some(now);
    item.take(grant.clone());
    let (revision, key) = (Arc::clone(&item.revision), item.key.clone());
    let order = Launch { id: id.clone(), revision, key, created_at: item.created_at.shifted(drift), grant };
    let kind = item.runtime;
    let (yard, id, runtime, registry) = (owner.yard.clone(), id.clone(), owner.runtime(kind), owner.registry.clone());
    let work = async move {
        let Some(runtime) = runtime else { return Err(no_runtime(kind).into()) };
        let _held = launch::at_hand(&registry, order.revision.version.as_ref()).await?;
        Ok(launch::launch(yard, runtime, order).await?)
    };
    reporting(owner, "launch", work, move |result| Message::Started(id, result.unwrap_or_else(|| Err(broken().into()))));
}

fn broken() -> Reason {
    Reason::new(ReasonCode::EngineExited, "its start failed inside penstock", "see the log of penstock")
}

fn no_runtime(kind: RuntimeKind) -> Reason {
    Reason::new(ReasonCode::EngineMissing, format!("there is no runtime `{kind}` here"), "change the deployment's runtime")
}

/// From one phase to the next; every edge is an event.
pub(crate) fn go(owner: &mut Owner, id: &InstanceId, phase: Phase, reason: Option<Reason>) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    let by = cause::of_move(item, phase, reason.as_ref(), owner.world.wishes.get(&item.deployment));
    match phase {
        Phase::Sleeping => item.doze(),
        Phase::Ready => item.rise(),
        _ => {}
    }
    let from = std::mem::replace(&mut item.phase, phase);
    item.since = now;
    item.reason.clone_from(&reason);
    if phase == Phase::Reclaiming {
        item.stop_asked = None; // an engine that has ended is asked once more, so that its runtime forgets it
    }
    if phase == Phase::Draining && reason.as_ref().is_some_and(|reason| reason.code == ReasonCode::NoRoom) {
        owner.counters.evictions += 1;
    }
    if phase.is_falling() || phase == Phase::Failed {
        owner.probes.remove(id);
    }
    if phase == Phase::Ready && item.ready_at.is_none() {
        item.ready_at = Some(now);
        is_up(owner, id);
    }
    if phase.is_falling() {
        note_cleared(owner, phase, reason.as_ref());
    }
    let Some(item) = owner.world.items.get(id) else { return };
    let name = &item.deployment;
    if let Some(wish) = owner.world.wishes.get_mut(name).filter(|_| phase == Phase::Draining && is_steady(item, now)) {
        wish.failures = 0;
    }
    let event = Event::now(EventKind::InstancePhase, by, format!("{name}: {from} -> {phase}")).of(name);
    owner.story.tell(Event { instance: Some(id.clone()), phase: Some((from, phase)), reason, ..event });
}

/// It stays in its phase, for another reason now; other numbers are no news.
fn tell(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.reason = Some(reason);
}

/// A step into its sleep, or out of it.
fn sleep(owner: &mut Owner, id: &InstanceId, step: Step) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    match step {
        Step::Ask => {
            item.nap = Nap::Asked(item.last_of_use());
            item.health = Health::Unknown; // until it has answered anew
        }
        Step::Lend => return item.lend(&owner.world.room.nodes),
        Step::Wake => {
            item.rise();
            (item.nap, item.health, item.progress_at) = (Nap::Waking, Health::Loading, now);
            if let Some(wish) = owner.world.wishes.get(&item.deployment) {
                item.cause = cause::of_waking(wish);
            }
        }
    }
    if step == Step::Wake {
        go(owner, id, Phase::Loading, Some(Reason::new(ReasonCode::Progressing, "it wakes", "")));
        wake(owner, id);
    } else if let Some(watched) = owner.probes.get(id) {
        watched.ask_anew();
    }
}

/// Its engine reads the model anew, once that is known to be the same.
fn wake(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.get(id) else { return };
    let others = item.revision.version.as_ref().filter(|version| version.contents.keep == Keep::Reference);
    let Some(version) = others.cloned() else { return reports::at_hand(owner, id, Ok(())) };
    let (id, registry) = (id.clone(), owner.registry.clone());
    let work = async move { launch::at_hand(&registry, Some(&version)).await.map(drop) };
    reporting(owner, "wake", work, move |result| Message::AtHand(id, result.unwrap_or_else(|| Err(broken().into()))));
}

/// Somebody leaves for another one, which will hear of it: its memory may come back some time after its end.
fn note_cleared(owner: &mut Owner, phase: Phase, reason: Option<&Reason>) {
    let no_room = reason.filter(|reason| reason.code == ReasonCode::NoRoom);
    let Some(name) = no_room.and_then(|reason| reason.fact(cause::FOR)) else { return };
    let (now, ledger) = (owner.world.now, Ledger::of(&owner.world));
    for waiting in owner.world.items.values_mut().filter(|other| other.waits_for_room() && other.deployment.as_str() == name) {
        match &mut waiting.cleared {
            Some(cleared) if phase != Phase::Draining => cleared.step(now),
            earlier => *earlier = Some(Cleared::begin(earlier.as_ref(), &ledger, now)),
        }
    }
}

/// It is ready for the first time.
fn is_up(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.get(id) else { return };
    let load_ms = item.load_ms(); // none of one that was taken over
    owner.counters.loads += u64::from(load_ms.is_some());
    if let Some(wish) = owner.world.wishes.get_mut(&item.deployment) {
        wish.failure = None;
        wish.retry_at = None;
        wish.load_ms = load_ms.or(wish.load_ms);
    }
}

fn is_steady(item: &Item, now: Timestamp) -> bool {
    item.ready_at.is_some_and(|at| now.since(at) >= STEADY)
}

/// It is not taken over any more: its failure has been counted, and what is left of it after a crash of ours is told to end.
async fn fail(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get(id) else { return };
    let (name, number, steady) = (item.deployment.clone(), item.revision.number, is_steady(item, now));
    let exit = if let Sight::Exited(exit) = &item.sight { Some(exit) } else { None };
    let is_lost = exit.is_some_and(|exit| exit.lost);
    // What ended while penstock was down is taken for one that had served: its callers wait, too.
    let served = item.ready_at.is_some() || (exit.is_some() && item.is_taken_over());
    go(owner, id, Phase::Failed, Some(reason.clone()));
    owner.counters.failures += 1;
    if let Some(wish) = owner.world.wishes.get_mut(&name) {
        wish.failures = if steady { 1 } else { wish.failures.saturating_add(1) };
        let wait = wish.restarts.wait(&reason, served, wish.failures, now);
        if !is_lost {
            crate::steps::note_failure(wish, number, &reason);
        }
        wish.failure = Some(reason);
        wish.retry_at = Some(now.plus(wait));
        wish.hand = Hand::Off;
    }
    remove_intent(owner, id).await;
}

fn stop(owner: &mut Owner, id: &InstanceId) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.stop_asked = Some(now);
    let kind = item.runtime;
    if let Some(runtime) = owner.runtime(kind) {
        ask_to_stop(owner, id.clone(), runtime);
    }
}

/// From the first TERM to the second.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Asks for its end. What could not be asked is reported after a breath, and asked again.
pub(crate) fn ask_to_stop(owner: &Owner, id: InstanceId, runtime: Arc<dyn runtime::Runtime>) {
    const BREATH: Duration = Duration::from_millis(500);
    let messages = owner.messages.clone();
    tasks::spawn("stop", async move {
        if let Err(error) = runtime.stop(&id, GRACE).await {
            tracing::warn!(instance = %id, error = base::chain(&error), "the instance could not be told to stop");
            tokio::time::sleep(BREATH).await;
            let _ = messages.send(Message::NotStopped(id)).await; // the owner may have ended
        }
    })
    .detach();
}

async fn forget(owner: &mut Owner, id: &InstanceId) {
    owner.world.items.remove(id);
    owner.probes.remove(id);
    remove_intent(owner, id).await;
}

async fn remove_intent(owner: &Owner, id: &InstanceId) {
    if let Err(error) = owner.store.remove_instance(id).await {
        tracing::warn!(instance = %id, error = base::chain(&error), "the intent could not be removed; the next start does it");
    }
}

async fn remove(owner: &mut Owner, name: &Name) {
    match owner.store.remove_deployment(name).await {
        Ok(true) => {
            owner.world.wishes.remove(name);
            owner.story.tell(Event::now(EventKind::DeploymentDeleted, Cause::Deletion, format!("{name}: deleted")).of(name));
        }
        Ok(false) => drop(owner.world.wishes.remove(name)), // brought back, or gone; the next turn sees which
        Err(error) => {
            tracing::warn!(deployment = %name, error = base::chain(&error), "the deployment could not be removed; the next turn tries again");
        }
    }
}
