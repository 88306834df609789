//! Pulls that somebody asked for, as operations: they go on when the asker goes, and anybody can see how far they are.
//!
//! In: a source and a name. Out: an operation; in the end a version of the model. Fails: when too many run already; what goes wrong later
//! stands in the operation, with what to do about it. What has come stays, and the next pull goes on behind it. Holds: a task for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use base::{ByteSize, Fault as _, Kind, Timestamp};
use spec::{Model, Name, Operation, OperationId, OperationState, Reason, ReasonCode, Source, Transfer};

use crate::arrive::Bringing;
use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

/// Pulls at one time.
const MOST: usize = 16;
/// How far it is gets written down so often.
const TOLD: Duration = Duration::from_millis(500);
/// The kind of such operations.
const PULL: &str = "pull";

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
}

/// Hears of the end: the operation, and the model if it came.
pub type Told = Box<dyn FnOnce(Operation, Option<Model>) + Send>;

/// Those that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulls(Arc<Mutex<HashMap<OperationId, Running>>>);

#[derive(Debug)]
struct Running {
    name: Name,
    source: Source,
    project: Option<Name>,
    /// Dropping it ends the pull.
    _task: Task,
}

impl Pulls {
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn same(&self, pull: &Pull) -> Option<OperationId> {
        let is_same = |one: &Running| (&one.name, &one.source, &one.project) == (&pull.name, &pull.source, &pull.project);
        self.lock().iter().find(|(_, running)| is_same(running)).map(|(id, _)| id.clone())
    }
}

impl Registry {
    /// Begins a pull. Who asks for one that runs already is given that one.
    pub async fn begin_pull(&self, pull: Pull, told: Told) -> Result<Operation, Error> {
        pull.bringing.check()?;
        if let Some(id) = self.inner.pulls.same(&pull)
            && let Some(operation) = self.inner.store.get_operation(&id).await?
        {
            return Ok(operation);
        }
        if self.inner.pulls.lock().len() >= MOST {
            return Err(Error::TooManyPulls(MOST));
        }
        let now = Timestamp::now();
        let operation = Operation {
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
        };
        self.inner.store.put_operation(&operation).await?;
        let (this, id) = (self.clone(), operation.id.clone());
        let (name, source, project) = (pull.name.clone(), pull.source.clone(), pull.project.clone());
        let mut pulls = self.inner.pulls.lock();
        let task = tasks::spawn("pull", this.follow(operation.clone(), pull, told));
        pulls.insert(id, Running { name, source, project, _task: task });
        drop(pulls);
        Ok(operation)
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
        operation.reason = Some(Reason::new(ReasonCode::Superseded, message, "pull it again to go on"));
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
        let pulled = self.pull(&pull.source, progress).await?;
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

fn end(operation: &mut Operation, progress: &Progress, done: &Result<Model, Error>) {
    operation.transfer = Some(Transfer { rate: None, eta_ms: None, ..transfer(progress) });
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
