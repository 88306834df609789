//! Does what was planned, and takes in what became of it.
//!
//! In: actions and reports. Out: a changed world, events, and tasks that report back. Everything
//! slow is a task; the owner itself only writes to the store.

use std::sync::Arc;
use std::time::Duration;

use base::{Fault, Secret, Timestamp, tasks};
use spec::{Event, EventKind, InstanceId, Name, Order, Phase, Reason, ReasonCode, Revision, RuntimeKind};

use crate::launch::{self, Start as Launch};
use crate::plan::{AFTER_FAILURE, Action};
use crate::probe;
use crate::turn::{Event as Message, Owner};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start};

/// A wish that could not be frozen is tried again after this time.
const RESOLVE_AGAIN: Duration = Duration::from_secs(10);
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
    let (spec, number) = (wish.record.spec.clone(), wish.record.generation);
    let (registry, store, messages, name) = (owner.registry.clone(), owner.store.clone(), owner.messages.clone(), name.clone());
    let missing_key = spec.api_key_env.as_deref().filter(|variable| (owner.secrets)(variable).is_none()).map(str::to_owned);
    tasks::spawn("resolve", async move {
        let result = match (missing_key, &spec.model) {
            (Some(variable), _) => Err(key_missing(&variable)),
            (None, Some(source)) if spec.engine().needs_model() => {
                registry.resolve(source).await.map(Some).map_err(|error| unresolved(&error))
            }
            _ => Ok(None),
        };
        let result = match result {
            Ok(version) => {
                let revision = Revision { number, spec, version };
                let stored = store.put_revision(&name, &revision).await;
                stored
                    .map(|()| Arc::new(revision))
                    .map_err(|error| Reason::new(ReasonCode::Progressing, base::chain(&error), error.hint().unwrap_or_default()))
            }
            Err(reason) => Err(reason),
        };
        let _ = messages.send(Message::Resolved(name, number, result)).await; // the owner may have ended
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

/// A wish was frozen, or could not be.
pub(crate) fn resolved(owner: &mut Owner, name: &Name, generation: u64, result: Result<Arc<Revision>, Reason>) {
    let Some(wish) = owner.world.wishes.get_mut(name).filter(|wish| wish.record.generation == generation) else { return };
    wish.resolve = match result {
        Ok(revision) => Resolve::Done(revision),
        Err(reason) => {
            tracing::warn!(deployment = %name, reason = reason.message, "the model cannot be served");
            Resolve::Failed(reason, Timestamp::now().plus(RESOLVE_AGAIN))
        }
    };
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
        load_ms: None,
        start: Start::Pending,
        sight: Sight::Absent,
        health: Health::Unknown,
        used: board::MemberUse::default(),
        progress_at: now,
        log_lines: 0,
        stop_asked: false,
        revision,
    }
}

fn start(owner: &mut Owner, id: &InstanceId) {
    go(owner, id, Phase::Starting, Some(Reason::new(ReasonCode::Progressing, "its process is being started", "")));
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.start = Start::Running;
    let order = Launch { id: id.clone(), revision: Arc::clone(&item.revision), key: item.key.clone(), created_at: item.created_at };
    let kind = item.runtime;
    let Some(runtime) = owner.runtime(kind) else {
        let reason =
            Reason::new(ReasonCode::EngineMissing, format!("there is no runtime `{kind}` here"), "change the deployment's runtime");
        return fail(owner, id, reason);
    };
    let (yard, messages, id) = (owner.yard.clone(), owner.messages.clone(), id.clone());
    tasks::spawn("launch", async move {
        let result = launch::launch(yard, runtime, order).await;
        let _ = messages.send(Message::Started(id, result)).await; // the owner may have ended
    })
    .detach();
}

/// A start has been handed to its runtime, or failed.
pub(crate) fn started(owner: &mut Owner, id: &InstanceId, result: Result<Order, Reason>) {
    let Some(item) = owner.world.items.get_mut(id) else { return };
    match result {
        Ok(order) => {
            item.start = Start::Done;
            item.fence = order.fence;
            item.endpoint = Some(order.endpoint);
            item.progress_at = Timestamp::now();
            watch(owner, id);
        }
        Err(reason) => item.start = Start::Failed(reason),
    }
}

/// Begins to ask an instance whether it is up.
pub(crate) fn watch(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.get(id) else { return };
    let Some(endpoint) = item.endpoint.clone() else { return };
    let spec = &item.revision.spec;
    let key = match item.runtime {
        RuntimeKind::Process => Some(item.key.clone()),
        RuntimeKind::External => spec.api_key_env.as_deref().and_then(|name| (owner.secrets)(name)),
    };
    let target = probe::Target { id: id.clone(), endpoint, key, probe: engine::engine(item.engine).probe() };
    let (nudge, nudged) = tokio::sync::watch::channel(0);
    let task = probe::watch(target, nudged, owner.messages.clone());
    owner.probes.insert(id.clone(), (task, nudge));
}

/// A probe's answer changed.
pub(crate) fn probed(owner: &mut Owner, id: &InstanceId, health: Health) {
    if let Some(item) = owner.world.items.get_mut(id) {
        item.health = health;
    }
}

/// From one phase to the next; every edge is an event.
fn go(owner: &mut Owner, id: &InstanceId, phase: Phase, reason: Option<Reason>) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get_mut(id) else { return };
    let from = std::mem::replace(&mut item.phase, phase);
    let ready_at_last = phase == Phase::Ready && from != Phase::Unhealthy;
    item.since = now;
    item.reason.clone_from(&reason);
    if ready_at_last {
        item.load_ms = Some(u64::try_from(now.since(item.created_at).as_millis()).unwrap_or(u64::MAX));
    }
    let (name, load_ms) = (item.deployment.clone(), item.load_ms);
    if phase == Phase::Draining && reason.as_ref().is_some_and(|reason| reason.code == ReasonCode::NoRoom) {
        owner.counters.evictions += 1;
    }
    if phase.is_falling() || phase == Phase::Failed {
        owner.probes.remove(id);
    }
    if let Some(wish) = owner.world.wishes.get_mut(&name).filter(|_| ready_at_last) {
        owner.counters.loads += 1;
        wish.failure = None;
        wish.retry_at = None;
        wish.load_ms = load_ms;
    }
    let event = Event::now(EventKind::InstancePhase, format!("{name}: {from} -> {phase}")).of(&name);
    owner.story.tell(Event { instance: Some(id.clone()), phase: Some((from, phase)), reason, ..event });
}

fn fail(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    let now = owner.world.now;
    let Some(item) = owner.world.items.get(id) else { return };
    let served = item.phase == Phase::Ready || item.load_ms.is_some();
    let steady = served && now.since(item.since) >= STEADY;
    let name = item.deployment.clone();
    let never_started = item.start == Start::Pending;
    go(owner, id, Phase::Failed, Some(reason.clone()));
    owner.counters.failures += 1;
    if let Some(item) = owner.world.items.get_mut(id) {
        item.stop_asked = never_started; // nothing was started, so nothing is to be stopped
    }
    if let Some(wish) = owner.world.wishes.get_mut(&name) {
        wish.failures = if steady { 1 } else { wish.failures + 1 };
        // What served and died is started again at once the first time: its callers wait.
        let wait = if served && wish.failures == 1 { Duration::ZERO } else { after(&reason, wish.failures) };
        wish.failure = Some(reason);
        wish.retry_at = Some(now.plus(wait));
        wish.hand = Hand::Off;
    }
}

/// What cannot change by itself is not tried again soon.
fn after(reason: &Reason, failures: u32) -> Duration {
    match reason.code {
        ReasonCode::DoesNotFit | ReasonCode::EngineMissing => Duration::from_secs(30),
        _ => AFTER_FAILURE.ceiling(failures),
    }
}

fn stop(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.get_mut(id) else { return };
    item.stop_asked = true;
    let kind = item.runtime;
    let Some(runtime) = owner.runtime(kind) else { return };
    ask_to_stop(owner, id.clone(), runtime);
}

pub(crate) fn ask_to_stop(owner: &Owner, id: InstanceId, runtime: Arc<dyn runtime::Runtime>) {
    const GRACE: Duration = Duration::from_secs(5);
    let messages = owner.messages.clone();
    tasks::spawn("stop", async move {
        if let Err(error) = runtime.stop(&id, GRACE).await {
            tracing::warn!(instance = %id, error = base::chain(&error), "the instance could not be told to stop");
        }
        let _ = messages.send(Message::StopAsked(id)).await; // the owner may have ended
    })
    .detach();
}

async fn forget(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.remove(id) else { return };
    owner.probes.remove(id);
    if let Err(error) = owner.store.remove_instance(id).await {
        tracing::warn!(instance = %id, error = base::chain(&error), "the intent could not be removed; the next start does it");
    }
    if matches!(item.sight, Sight::Exited(_))
        && let Some(runtime) = owner.runtime(item.runtime)
    {
        ask_to_stop(owner, id.clone(), runtime); // so that its keeper goes too
    }
}

async fn remove(owner: &mut Owner, name: &Name) {
    match owner.store.remove_deployment(name).await {
        Ok(_) => {
            owner.world.wishes.remove(name);
            owner.story.tell(Event::now(EventKind::DeploymentDeleted, format!("{name}: deleted")).of(name));
        }
        Err(error) => {
            tracing::warn!(deployment = %name, error = base::chain(&error), "the deployment could not be removed; the next turn tries again");
        }
    }
}
