//! Does what was planned.
//!
//! In: actions. Out: a changed world, events, and tasks that report back ([`crate::reports`]).
//! Everything slow is a task; the owner itself only writes to the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base::{Fault, Secret, Timestamp, tasks};
use futures_util::FutureExt as _;
use spec::{Event, EventKind, InstanceId, Name, Phase, Reason, ReasonCode, Revision, RuntimeKind};

use crate::launch::{self, Start as Launch};
use crate::plan::{AFTER_FAILURE, Action};
use crate::turn::{Event as Message, Owner, Which};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start};

/// An instance that served this long before it failed counts as a first failure.
const STEADY: Duration = Duration::from_mins(1);

/// Does one thing.
pub(crate) async fn act(owner: &mut Owner, action: Action) {
    match action {
        Action::Resolve(name) => resolve(owner, &name),
        Action::Create(name) => create(owner, &name),
        Action::Launch(id) => start(owner, &id),
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
    let registry = owner.registry.clone();
    let missing_key = spec.api_key_env.as_deref().filter(|variable| (owner.secrets)(variable).is_none()).map(str::to_owned);
    let work = async move {
        let version = match (missing_key, &spec.model) {
            (Some(variable), _) => Err(key_missing(&variable)),
            (None, Some(source)) if spec.engine().needs_model() => {
                registry.resolve(source).await.map(Some).map_err(|error| unresolved(&error))
            }
            _ => Ok(None),
        };
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

fn create(owner: &mut Owner, name: &Name) {
    let Some(revision) = owner.world.wishes.get(name).and_then(|wish| wish.revision()).cloned() else { return };
    let item = new_item(InstanceId::random(), revision, Secret::new(base::id::random_hex(KEY_DIGITS)), owner.world.now);
    owner.story.tell(Event {
        instance: Some(item.id.clone()),
        ..Event::now(EventKind::InstancePhase, format!("{name}: an instance is wanted")).of(name)
    });
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
        memory: engine::engine(spec.engine()).memory(revision.version.as_ref(), spec).total(),
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
        progress_at: now,
        log_lines: 0,
        stop_asked: None,
        revision,
    }
}

fn start(owner: &mut Owner, id: &InstanceId) {
    go(owner, id, Phase::Starting, Some(Reason::new(ReasonCode::Progressing, "its process is being started", "")));
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.start = Start::Running;
    item.launched_at = Some(now);
    let order = Launch { id: id.clone(), revision: Arc::clone(&item.revision), key: item.key.clone(), created_at: item.created_at };
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
    let Some(item) = owner.world.items.get(id) else { return };
    let name = &item.deployment;
    if let Some(wish) = owner.world.wishes.get_mut(name).filter(|_| phase == Phase::Draining && is_steady(item, now)) {
        wish.failures = 0;
    }
    let event = Event::now(EventKind::InstancePhase, format!("{name}: {from} -> {phase}")).of(name);
    owner.story.tell(Event { instance: Some(id.clone()), phase: Some((from, phase)), reason, ..event });
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
    go(owner, id, Phase::Failed, Some(reason.clone()));
    owner.counters.failures += 1;
    if let Some(wish) = owner.world.wishes.get_mut(&name) {
        wish.failures = if steady { 1 } else { wish.failures.saturating_add(1) };
        // What served and died is started again at once the first time: its callers wait.
        let wait = if served && wish.failures == 1 { Duration::ZERO } else { after(&reason, wish.failures) };
        wish.failure = Some(reason);
        wish.retry_at = Some(now.plus(wait));
        wish.hand = Hand::Off;
    }
}

/// What cannot change by itself is not tried again soon; what costs nothing to try is.
fn after(reason: &Reason, failures: u32) -> Duration {
    const REMOTE_AGAIN: Duration = Duration::from_secs(15);
    let usual = AFTER_FAILURE.ceiling(failures);
    match reason.code {
        ReasonCode::DoesNotFit | ReasonCode::EngineMissing => Duration::from_secs(30),
        ReasonCode::RemoteUnreachable => usual.min(REMOTE_AGAIN),
        _ => usual,
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
            owner.story.tell(Event::now(EventKind::DeploymentDeleted, format!("{name}: deleted")).of(name));
        }
        Ok(false) => drop(owner.world.wishes.remove(name)), // brought back, or gone; the next turn sees which
        Err(error) => {
            tracing::warn!(deployment = %name, error = base::chain(&error), "the deployment could not be removed; the next turn tries again");
        }
    }
}
