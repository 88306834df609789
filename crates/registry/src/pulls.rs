//! Pulls that somebody asked for, as operations: they go on when the asker goes, and anybody can see how far they are.
//!
//! In: a source and a name. Out: an operation; in the end a version of the model. Fails: when too many run already, of one who asks or of all; when the
//! same is being pulled and something else is said of it; what goes wrong later stands in the operation, with what to do about it. What has come stays, and
//! the next pull goes on behind it. Holds: a task for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use base::{ByteSize, Fault as _, Kind, Timestamp};
use spec::{Model, Name, Operation, OperationId, OperationState, Reason, ReasonCode, Source, Transfer};
use tokio::sync::oneshot;

use crate::arrive::Bringing;
use crate::asker::Asker;
use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

/// Pulls at one time.
const MOST: usize = 32;
/// Of these, so many for one who asks: the others have room as well.
const MOST_OF_ONE: usize = 8;
/// How far it is gets written down so often.
const TOLD: Duration = Duration::from_millis(500);
/// The kind of such operations.
const PULL: &str = "pull";

/// What to do about one that was cut off.
pub const PULL_AGAIN: &str = "pull it again to go on";

/// What is to be pulled.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The name that it gets.
    pub name: Name,
    /// From where.
    pub source: Source,
    /// The project that it will belong to.
    pub project: Option<Name>,
    /// What is said of it.
    pub bringing: Bringing,
    /// For whom.
    pub by: Asker,
}

/// Hears of the end: the operation, and the model if it came.
pub type Told = Box<dyn FnOnce(Operation, Option<Model>) + Send>;

/// Those that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulls(Arc<Mutex<HashMap<OperationId, Running>>>);

#[derive(Debug)]
struct Running {
    pull: Pull,
    /// As it began.
    operation: Operation,
    /// Dropping it ends the pull.
    _task: Task,
}

/// Where one who asks for a pull finds it.
enum Found {
    Begun(Operation, oneshot::Receiver<Result<(), store::Error>>),
    Running(Operation),
}

impl Pulls {
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Begins a pull. Who asks for one that runs already is given that one, if the same is said of it.
    pub async fn begin_pull(&self, pull: Pull, told: Told) -> Result<Operation, Error> {
        pull.bringing.check()?;
        match self.enter(pull, told)? {
            Found::Running(begun) => Ok(self.inner.store.get_operation(&begun.id).await?.unwrap_or(begun)),
            Found::Begun(begun, stored) => match stored.await {
                Ok(stored) => Ok(stored.map(|()| begun)?),
                Err(_its_task_is_gone) => Err(Error::Stopped),
            },
        }
    }

    /// Looks and begins in one step, so that two who ask at once are given one pull.
    fn enter(&self, pull: Pull, told: Told) -> Result<Found, Error> {
        let mut pulls = self.inner.pulls.lock();
        if let Some(operation) = same(&pulls, &pull)? {
            return Ok(Found::Running(operation));
        }
        if pulls.len() >= MOST {
            return Err(Error::TooManyPulls(MOST));
        }
        if pulls.values().filter(|running| running.pull.by.who == pull.by.who).count() >= MOST_OF_ONE {
            return Err(Error::TooManyOfYours(MOST_OF_ONE));
        }
        let operation = begun(&pull);
        let (tell, stored) = oneshot::channel();
        let task = tasks::spawn("pull", self.clone().begin(operation.clone(), pull.clone(), (tell, told)));
        pulls.insert(operation.id.clone(), Running { pull, operation: operation.clone(), _task: task });
        Ok(Found::Begun(operation, stored))
    }

    /// From the first word of it in the store to its end.
    async fn begin(self, operation: Operation, pull: Pull, (tell, told): (oneshot::Sender<Result<(), store::Error>>, Told)) {
        let stored = self.inner.store.put_operation(&operation).await;
        let is_stored = stored.is_ok();
        drop(tell.send(stored)); // who asked may have gone
        if is_stored {
            self.follow(operation, pull, told).await;
        } else {
            drop(self.inner.pulls.lock().remove(&operation.id)); // the last thing, for it ends this task
        }
    }

    /// Ends a pull; what has come stays.
    pub async fn stop_pull(&self, id: &OperationId) -> Result<Operation, Error> {
        let running = self.inner.pulls.lock().remove(id);
        let mut operation = self.inner.store.get_operation(id).await?.ok_or_else(|| Error::NoPull(id.clone()))?;
        if running.is_none() {
            return Err(Error::NoPull(id.clone()));
        }
        drop(running);
        let message = "it was stopped by hand; what has come is kept";
        operation.state = OperationState::Failed;
        operation.reason = Some(Reason::new(ReasonCode::Superseded, message, PULL_AGAIN));
        operation.transfer = operation.transfer.map(Transfer::ended);
        (operation.message, operation.updated_at) = (message.to_owned(), Timestamp::now());
        self.inner.store.put_operation(&operation).await?;
        Ok(operation)
    }

    /// To its end, telling how far it is.
    async fn follow(self, mut operation: Operation, pull: Pull, told: Told) {
        let progress = Progress::new();
        let mut bring = std::pin::pin!(self.bring(&pull, &progress));
        let done = loop {
            match tokio::time::timeout(TOLD, &mut bring).await {
                Ok(done) => break done,
                Err(_not_yet) => self.tell(&mut operation, &progress).await,
            }
        };
        end(&mut operation, &progress, &done);
        self.write_down(&operation).await;
        // Stopped by hand at this very moment: then that is what stands in the operation.
        let mine = self.inner.pulls.lock().remove(&operation.id);
        told(operation, done.ok());
        drop(mine); // the last thing, for it ends this task
    }

    async fn bring(&self, pull: &Pull, progress: &Progress) -> Result<Model, Error> {
        let pulled = self.pull(&pull.source, pull.bringing.format, &pull.by, progress).await?;
        let card = pull.bringing.card.clone().or(pulled.card);
        self.note(&pull.name, &pull.source, pulled.version, &Bringing { card, ..pull.bringing.clone() }).await
    }

    async fn tell(&self, operation: &mut Operation, progress: &Progress) {
        let transfer = transfer(progress);
        if operation.transfer != Some(transfer) && transfer.total > 0 {
            operation.message = words(&operation.target, &transfer);
            (operation.transfer, operation.progress) = (Some(transfer), progress.share());
            operation.updated_at = Timestamp::now();
            self.write_down(operation).await;
        }
    }

    async fn write_down(&self, operation: &Operation) {
        if let Err(error) = self.inner.store.put_operation(operation).await {
            tracing::warn!(operation = %operation.id, error = base::chain(&error), "how far a pull is could not be stored");
        }
    }
}

/// The one that runs already, if it is asked for with the same words.
fn same(pulls: &HashMap<OperationId, Running>, pull: &Pull) -> Result<Option<Operation>, Error> {
    let is_same = |one: &Pull| (&one.name, &one.source, &one.project) == (&pull.name, &pull.source, &pull.project);
    let Some(running) = pulls.values().find(|running| is_same(&running.pull)) else { return Ok(None) };
    if running.pull.bringing.says_as(&pull.bringing) {
        return Ok(Some(running.operation.clone()));
    }
    Err(Error::OtherPull { name: pull.name.clone(), operation: running.operation.id.clone() })
}

fn begun(pull: &Pull) -> Operation {
    let now = Timestamp::now();
    Operation {
        id: OperationId::random(),
        kind: PULL.to_owned(),
        target: pull.name.clone(),
        project: pull.project.clone(),
        state: OperationState::Running,
        progress: None,
        transfer: Some(Transfer::default()),
        reason: None,
        message: format!("`{}` is looked for at {}", pull.name, pull.source.told()),
        created_at: now,
        updated_at: now,
    }
}

fn end(operation: &mut Operation, progress: &Progress, done: &Result<Model, Error>) {
    operation.transfer = Some(transfer(progress).ended());
    operation.updated_at = Timestamp::now();
    match done {
        Ok(model) => {
            (operation.state, operation.progress) = (OperationState::Succeeded, Some(1.0));
            let digest = model.versions.first().map(|listed| listed.version.digest.as_str()).unwrap_or_default();
            operation.message = format!("`{}` is here: {digest}", model.name);
        }
        Err(error) => {
            operation.state = OperationState::Failed;
            operation.reason = Some(Reason::new(code(error), base::chain(error), error.hint().unwrap_or_default()));
            operation.message = format!("`{}` could not be pulled", operation.target);
            tracing::warn!(model = %operation.target, error = base::chain(error), "a pull failed");
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes for each second, shown to people")]
fn transfer(progress: &Progress) -> Transfer {
    let eta_ms = progress.eta().map(|eta| u64::try_from(eta.as_millis()).unwrap_or(u64::MAX));
    Transfer { done: progress.done(), total: progress.total(), rate: progress.rate().map(|rate| rate as u64), eta_ms }
}

fn words(name: &Name, transfer: &Transfer) -> String {
    let rate = transfer.rate.map(|rate| format!(", {} each second", ByteSize(rate))).unwrap_or_default();
    format!("`{name}`: {} of {}{rate}", ByteSize(transfer.done), ByteSize(transfer.total))
}

/// The reason's code for what went wrong.
fn code(error: &Error) -> ReasonCode {
    match error {
        Error::Blobs(blobs::Error::DiskFull { .. } | blobs::Error::CacheFull { .. }) => ReasonCode::DiskFull,
        Error::UnknownArchitecture { .. } | Error::UnknownFormat { .. } => ReasonCode::ModelUnknown,
        Error::Taken(_) => ReasonCode::Superseded,
        _ => match error.kind() {
            Kind::NotFound => ReasonCode::ModelMissing,
            Kind::Invalid => ReasonCode::ModelCorrupt,
            _ => ReasonCode::SourceUnreachable,
        },
    }
}
