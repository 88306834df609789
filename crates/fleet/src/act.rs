//! Does what was planned.
//!
//! In: actions. Out: a changed world, events, and tasks that report back ([`crate::reports`]).
//! Everything slow is a task; the owner itself only writes to the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Fault, Secret, Timestamp, tasks};
use futures_util::FutureExt as _;
use spec::{Cause, Event, EventKind, Grant, InstanceId, Name, Phase, Reason, ReasonCode, Revision, RuntimeKind};

use crate::launch::{self, Start as Launch};
use crate::plan::Action;
use crate::pulse::Pulse;
use crate::turn::{Event as Message, Owner, Which};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start};
use crate::{cause, footprints};

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
        Action::Fail(id, reason) => fail(owner, &id, reason),
        Action::Stop(id) => stop(owner, &id),
        Action::Forget(id) => forget(owner, &id).await,
        Action::Remove(name) => remove(owner, &name).await,
    }
}

fn resolve(owner: &mut Owner, name: &Name) {
    let Some(wish) = owner.world.wishes.get_mut(name) else { return };
    wish.resolve = Resolve::Running;
    let (spec, number, created_at) = (wish.record.spec.clone(), wish.record.generation, wish.record.created_at);
    let which = Which { name: name.clone(), generation: number, created_at };
    let (registry, programs) = (owner.registry.clone(), Arc::clone(&owner.yard.programs));
    let missing_key = spec.api_key_env.as_deref().filter(|variable| (owner.secrets)(variable).is_none()).map(str::to_owned);
    let work = async move {
        let version = match (missing_key, &spec.model) {
            (Some(variable), _) => Err(key_missing(&variable)),
            (None, Some(source)) if spec.engine().needs_model() => {
                registry.resolve(source).await.map(Some).map_err(|error| unresolved(&error))
            }
            _ => Ok(None),
        };
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

fn key_missing(variable: &str) -> Reason {
    Reason::new(
        ReasonCode::KeyMissing,
        format!("the environment variable {variable} is not set"),
        format!("start penstock with {variable} set"),
    )
}

fn unresolved(error: &registry::Error) -> Reason {
    use registry::Error;
    let code = match error {
        Error::Missing { .. } | Error::NotAFile { .. } | Error::Permission { .. } | Error::NotFound { .. } => ReasonCode::ModelMissing,
        Error::UnknownArchitecture { .. } => ReasonCode::ModelUnknown,
        Error::Unreachable { .. } => ReasonCode::SourceUnreachable,
        _ => ReasonCode::ModelCorrupt,
    };
    Reason::new(code, base::chain(error), error.hint().unwrap_or_default())
}

fn create(owner: &mut Owner, name: &Name, number: u64) {
    let Some(revision) = owner.world.wishes.get(name).and_then(|wish| wish.revision_of(number)).cloned() else { return };
    let mut item = new_item(InstanceId::random(), revision, Secret::new(base::id::random_hex(KEY_DIGITS)), owner.world.now);
    footprints::recall(&owner.world.footprints, &mut item);
    item.cause = owner.world.wishes.get(name).map(|wish| cause::of_creation(wish, number, owner.world.now)).unwrap_or_default();
    let message = format!("{name}: an instance is wanted: {}", item.cause);
    let event = Event::now(EventKind::InstancePhase, item.cause.clone(), message).of(name);
    owner.story.tell(Event { instance: Some(item.id.clone()), ..event });
    owner.world.items.insert(item.id.clone(), item);
}

/// 128 bits.
const KEY_DIGITS: usize = 32;

pub(crate) fn new_item(id: InstanceId, revision: Arc<Revision>, key: Secret, now: Timestamp) -> Item {
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
        sight: Sight::Absent,
        seen_at: None,
        health: Health::Unknown,
        used: board::MemberUse::default(),
        pulse: Pulse::default(),
        progress_at: now,
        log_lines: 0,
        stop_asked: None,
        cleared_at: None,
        revision,
    }
}

fn start(owner: &mut Owner, id: &InstanceId, grant: Grant) {
    go(owner, id, Phase::Starting, Some(Reason::new(ReasonCode::Progressing, "its process is being started", "")));
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.start = Start::Running;
    item.launched_at = Some(now);
    item.take(grant.clone());
    let (revision, key) = (Arc::clone(&item.revision), item.key.clone());
    let order = Launch { id: id.clone(), revision, key, created_at: item.created_at, grant };
    let kind = item.runtime;
    let (yard, id, runtime) = (owner.yard.clone(), id.clone(), owner.runtime(kind));
    let work = async move {
        match runtime {
            Some(runtime) => launch::launch(yard, runtime, order).await,
            None => Err(no_runtime(kind)),
        }
    };
    let broken = || Reason::new(ReasonCode::EngineExited, "its start failed inside penstock", "see the log of penstock");
    reporting(owner, "launch", work, move |result| Message::Started(id, result.unwrap_or_else(|| Err(broken()))));
}

fn no_runtime(kind: RuntimeKind) -> Reason {
    Reason::new(ReasonCode::EngineMissing, format!("there is no runtime `{kind}` here"), "change the deployment's runtime")
}

/// From one phase to the next; every edge is an event.
fn go(owner: &mut Owner, id: &InstanceId, phase: Phase, reason: Option<Reason>) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    let by = cause::of_move(item, phase, reason.as_ref(), owner.world.wishes.get(&item.deployment));
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
        note_cleared(owner, reason.as_ref());
    }
    let Some(item) = owner.world.items.get(id) else { return };
    let name = &item.deployment;
    if let Some(wish) = owner.world.wishes.get_mut(name).filter(|_| phase == Phase::Draining && is_steady(item, now)) {
        wish.failures = 0;
    }
    let event = Event::now(EventKind::InstancePhase, by, format!("{name}: {from} -> {phase}")).of(name);
    owner.story.tell(Event { instance: Some(id.clone()), phase: Some((from, phase)), reason, ..event });
}

/// Somebody leaves for another one, which will hear of it: its memory may come back some time after its end.
fn note_cleared(owner: &mut Owner, reason: Option<&Reason>) {
    let no_room = reason.filter(|reason| reason.code == ReasonCode::NoRoom);
    let Some(name) = no_room.and_then(|reason| reason.fact(cause::FOR)) else { return };
    let now = owner.world.now;
    for waiting in owner.world.items.values_mut().filter(|other| other.waits_for_room() && other.deployment.as_str() == name) {
        waiting.cleared_at = Some(now);
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

fn fail(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get(id) else { return };
    let (name, served, steady) = (item.deployment.clone(), item.ready_at.is_some(), is_steady(item, now));
    let number = item.revision.number;
    go(owner, id, Phase::Failed, Some(reason.clone()));
    owner.counters.failures += 1;
    if let Some(wish) = owner.world.wishes.get_mut(&name) {
        wish.failures = if steady { 1 } else { wish.failures.saturating_add(1) };
        let wait = wish.restarts.wait(&reason, served, wish.failures, now);
        wish.failure = Some(reason);
        wish.retry_at = Some(now.plus(wait));
        wish.hand = Hand::Off;
        crate::steps::note_failure(wish, number);
    }
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
