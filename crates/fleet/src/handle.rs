//! All that others may ask of the engine room.
//!
//! In: wishes of operators. Out: snapshots, events, logs. Fails: when a name is not known, or the
//! owner has ended. Nobody sees the owner's channel; a caller never reads a state and then acts on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{ByteSize, Secret, Timestamp};
use board::Board;
use registry::Registry;
use runtime::programs::Programs;
use runtime::{LogStream, LogsFrom, Runtime};
use spec::{
    Allocation, AllocationId, Cause, Event, InstanceId, KeyFrom, Name, Operation, OperationId, OperationState, Revision, RolloutStatus,
};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use crate::Error;
use crate::explain::{self, Explained, Trial};
use crate::reserve::Wanted;
use crate::seam::Store;
use crate::snapshot::Snapshot;
use crate::steps::Verb;
use crate::turn::{self, Event as Message, Owner};
use crate::world::{Hand, Packing, World};

/// How the engine room works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where instances have their folders: `data_dir/instances`.
    pub data_dir: PathBuf,
    /// How long an engine lives with nobody claiming it.
    pub orphan_ttl: Duration,
    /// The longest time between two looks at the world.
    pub tick: Duration,
    /// All instances together may take so much; all of the memory when not set.
    pub budget: Option<ByteSize>,
    /// Always left free, of each device.
    pub margin: ByteSize,
    /// How long callers of a model wait at most until another, that works, makes room for it.
    pub patience: Duration,
    /// Which of several places that fit is taken.
    pub packing: Packing,
    /// CPU threads for each instance that does not say.
    pub threads: u32,
    /// Whom remote engines' URLs may lead to.
    pub outbound: net::Guard,
}

/// Below the half minute that callers usually wait, with time for a swap; well above what most loads take.
pub const PATIENCE: Duration = Duration::from_secs(20);

impl Config {
    /// Defaults for this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let cores = runtime::host::cores();
        Self {
            data_dir: data_dir.into(),
            orphan_ttl: Duration::from_mins(1),
            tick: Duration::from_secs(1),
            budget: None,
            margin: ByteSize(0),
            patience: PATIENCE,
            packing: Packing::Pack,
            // Engines spin at barriers: one core is left for everything else.
            threads: cores.saturating_sub(1).max(1),
            outbound: net::Guard::default(),
        }
    }
}

/// Finds the key of a remote engine.
pub type Secrets = Arc<dyn Fn(KeyFrom<'_>) -> Option<Secret> + Send + Sync>;

/// What the engine room is built from.
pub struct Parts {
    /// What we remember.
    pub store: Store,
    /// What can be served.
    pub registry: Registry,
    /// Who is ready.
    pub board: Arc<Board>,
    /// Where things run.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// The engines' programs.
    pub programs: Arc<Programs>,
    /// Looks a secret up by the name of its environment variable.
    pub secrets: Secrets,
    /// How it works.
    pub config: Config,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How the engine room is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopHow {
    /// Engines run on, to be found again by the next start.
    pub adopt: bool,
    /// How long all of it may take, calls that still run and the end of their engines.
    pub grace: Duration,
}

/// Starts the engine room.
#[derive(Debug)]
pub struct Fleet;

/// The way to ask; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    store: Store,
    runtimes: Arc<[Arc<dyn Runtime>]>,
    poke: Arc<Notify>,
    messages: mpsc::Sender<Message>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    listeners: broadcast::Sender<Event>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Messages that may wait for the owner.
const MESSAGES: usize = 1024;

impl Fleet {
    /// Finds what ran before, takes a first turn, and goes on by itself.
    pub async fn start(parts: Parts) -> Result<(Handle, Task), Error> {
        let (messages, inbox) = mpsc::channel(MESSAGES);
        let (snapshot, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let poke = Arc::new(Notify::new());
        let store = parts.store.clone();
        let runtimes: Arc<[Arc<dyn Runtime>]> = parts.runtimes.clone().into();
        let mut owner = Owner::new(parts, messages.clone(), snapshot);
        let listeners = owner.listeners();
        owner.recover().await?;
        let task = tasks::spawn("fleet", turn::run(owner, inbox, Arc::clone(&poke)));
        Ok((Handle { store, runtimes, poke, messages, snapshots, listeners }, task))
    }
}

impl Handle {
    /// Something was stored: look.
    pub fn poke(&self) {
        self.poke.notify_one();
    }
    /// The engine room as it was after its last turn.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }
    /// Renewed by every turn.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }
    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }
    /// Says that something happened that another room has put into the story already.
    pub fn ring(&self, event: Event) {
        let _ = self.listeners.send(event); // nobody listens: fine
    }
    /// Adds an event of another room to the story.
    pub async fn tell(&self, event: Event) {
        let _ = self.messages.send(Message::Tell(event)).await; // a stopping fleet keeps no story
    }
    /// Keys of remote engines may say something else now.
    pub async fn keys_changed(&self) {
        let _ = self.messages.send(Message::KeysChanged).await; // a stopping fleet shows none to anybody
    }
    /// Pauses a rollout, lets it go on, or ends its canary; answered when that is stored.
    pub async fn rollout(&self, name: &Name, verb: Verb, by: Cause) -> Result<RolloutStatus, Error> {
        let (reply, done) = oneshot::channel();
        self.messages.send(Message::Roll(name.clone(), verb, by, reply)).await.ok().ok_or(Error::Stopping)?;
        done.await.ok().ok_or(Error::Stopping)?
    }
    /// Why a deployment is as it is, as the engine room decides about it.
    pub async fn explain(&self, name: &Name) -> Result<Explained, Error> {
        explain::explain(&*self.look().await?, name).ok_or_else(|| Error::NoDeployment(name.clone()))
    }
    /// What would happen if an instance of this revision were wanted now.
    pub async fn fit(&self, revision: &Arc<Revision>) -> Result<Trial, Error> {
        Ok(explain::trial(&*self.look().await?, revision))
    }
    /// The world as it is; others must not see it, since it holds keys.
    async fn look(&self) -> Result<Box<World>, Error> {
        let (reply, copy) = oneshot::channel();
        self.messages.send(Message::Look(reply)).await.ok().ok_or(Error::Stopping)?;
        copy.await.ok().ok_or(Error::Stopping)
    }
    /// Sets memory aside for work that is not ours.
    pub async fn allocate(&self, wanted: Wanted) -> Result<Allocation, Error> {
        let (reply, done) = oneshot::channel();
        self.messages.send(Message::Allocate(wanted, reply)).await.ok().ok_or(Error::Stopping)?;
        done.await.ok().ok_or(Error::Stopping)?
    }
    /// Gives it back.
    pub async fn release(&self, node: &str, id: &AllocationId, cause: Cause) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.messages.send(Message::Release(node.to_owned(), id.clone(), cause, reply)).await.ok().ok_or(Error::Stopping)?;
        done.await.ok().ok_or(Error::Stopping)?
    }
    /// Loads it now, whether or not somebody asks; the operation ends when it is ready.
    pub async fn load(&self, name: &Name) -> Result<OperationId, Error> {
        self.by_hand(name, Hand::Load, "load").await
    }
    /// Unloads it; the next call loads it again.
    pub async fn unload(&self, name: &Name) -> Result<OperationId, Error> {
        self.by_hand(name, Hand::Unload, "unload").await
    }
    async fn by_hand(&self, name: &Name, hand: Hand, kind: &str) -> Result<OperationId, Error> {
        let record = self.store.get_deployment(name).await?.filter(|record| !record.deleting);
        let record = record.ok_or_else(|| Error::NoDeployment(name.clone()))?;
        let now = Timestamp::now();
        let operation = Operation {
            id: OperationId::random(),
            kind: kind.to_owned(),
            target: name.clone(),
            project: record.spec.project,
            state: OperationState::Running,
            progress: None,
            transfer: None,
            reason: None,
            message: format!("{kind} of `{name}` asked for"),
            created_at: now,
            updated_at: now,
        };
        self.store.put_operation(&operation).await?;
        let message = Message::Hand(name.clone(), hand, operation.clone());
        self.messages.send(message).await.ok().ok_or(Error::Stopping)?;
        Ok(operation.id)
    }
    /// The log of an instance.
    pub async fn logs(&self, id: &InstanceId, from: LogsFrom) -> Result<LogStream, Error> {
        let snapshot = self.snapshot();
        let instance = snapshot.instances.iter().find(|instance| instance.id == *id);
        let kind = instance.ok_or_else(|| Error::NoInstance(id.clone()))?.runtime;
        let runtime = self.runtimes.iter().find(|runtime| runtime.kind() == kind);
        Ok(runtime.ok_or_else(|| Error::NoInstance(id.clone()))?.logs(id, from).await?)
    }
    /// Ends the engine room: engines stop, or stay to be adopted.
    pub async fn stop(&self, how: StopHow) {
        let (reply, done) = oneshot::channel();
        if self.messages.send(Message::Stop(how, reply)).await.is_ok() {
            let _ = done.await; // an owner that is gone has stopped
        }
    }
}
