//! Which answers can a client go on with, fetch or cancel?
//!
//! In: responses as they begin and end. Out: the same, to those who made them; others learn nothing. Fails: when there
//! is none of this id, or when the store cannot say. Holds: the latest in memory, up to a bound of bytes; all are
//! written to the store behind the caller's back, so that they survive a restart, and none leaves memory before. Nobody waits for the
//! store but who asks for an id that memory does not have, who deletes, and who comes when more waits to be written than may: for a few
//! seconds, then what he makes is kept in memory only. A store that stands still stops no call.

mod memory;
mod remember;
mod shelf;
mod story;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::Caller;
use base::Timestamp;
use base::tasks::{self, Task};
use serde_json::Value;
use serde_json::value::RawValue;
use store::{KeptResponse, Store};
use tokio_util::sync::CancellationToken;

pub(crate) use remember::Remember;
use shelf::Shelf;
use story::Telling;
pub(crate) use story::{Story, conversation_bytes};

use crate::error::Error;

/// Answers that may be in the making without anybody listening.
const MOST_RUNNING: usize = 256;
/// Those of one owner: nobody takes the places of all.
const MOST_OF_ONE: usize = MOST_RUNNING / 4;
/// A store that does not answer must not hold a caller for ever.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Bytes of answers in memory.
    pub memory_bytes: usize,
    /// Answers in the store.
    pub most: u64,
    /// Older ones are forgotten.
    pub age: Duration,
}

impl Default for Keeping {
    /// 64 MiB, and as long as OpenAI keeps them: 30 days; of a busy server the last 100,000.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, most: 100_000, age: Duration::from_hours(30 * 24) }
    }
}

/// The answers that are kept; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shelf: Arc<Shelf>,
    /// By id.
    running: Mutex<HashMap<String, Making>>,
    store: Store,
    _writer: Task,
}

/// A response that is made without a listener.
#[derive(Debug)]
struct Making {
    owner: Arc<str>,
    /// Somebody wants it to end.
    cancelled: CancellationToken,
    /// It has.
    over: CancellationToken,
}

/// Who may see what this caller made: its project, else its token alone, else its user.
pub(crate) fn owner(caller: &Caller) -> String {
    match (caller.project(), caller.token(), caller.user()) {
        (Some(project), ..) => format!("project:{project}"),
        (None, Some(token), _) => format!("token:{token}"),
        (None, None, Some(user)) => format!("user:{}", user.id()),
        (None, None, None) => String::new(),
    }
}

/// The same in words.
fn whose(owner: &str) -> &'static str {
    match owner.split_once(':') {
        Some(("project", _)) => "this project",
        Some(("token", _)) => "this token",
        Some(_) => "this user",
        None => "callers without a token",
    }
}

fn unknown(id: &str) -> Error {
    const SHOWN: usize = 100; // characters: an id may be any text
    Error::UnknownResponse { id: id.chars().take(SHOWN).collect() }
}

/// The right to go on without a listener; gives itself back when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    kept: Kept,
    id: String,
    /// Somebody wants it to end.
    pub(crate) cancelled: CancellationToken,
    over: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kept.running().remove(&self.id);
        self.over.cancel();
    }
}

impl Kept {
    /// Starts the writer behind it; must be called within a tokio runtime.
    pub(crate) fn start(store: Store, keeping: Keeping) -> Self {
        let shelf = Arc::new(Shelf::new(keeping.memory_bytes));
        let writer = tasks::spawn("keep-responses", writer::write(Arc::clone(&shelf), store.clone(), keeping));
        Self(Arc::new(Inner { shelf, running: Mutex::default(), store, _writer: writer }))
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Making>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept under this id for this owner, as it was written.
    pub(crate) async fn find(&self, id: &str, owner: &str) -> Result<Arc<KeptResponse>, Error> {
        let told = self.0.shelf.memory().get(id);
        let told = match told {
            Some(told) => told,
            None => self.fetch(id).await?,
        };
        told.filter(|told| told.owner == owner).ok_or_else(|| unknown(id))
    }

    async fn fetch(&self, id: &str) -> Result<Option<Arc<KeptResponse>>, Error> {
        let found = tokio::time::timeout(STORE_PATIENCE, self.0.store.get_response(id)).await.map_err(|_elapsed| Error::StoreSlow)??;
        let found = found.map(Arc::new);
        if found.is_some() {
            self.0.shelf.memory().put_if_absent(id, found.clone());
        }
        Ok(found)
    }

    /// What is kept under this id for this owner, made into something.
    pub(crate) async fn get<T: Send + 'static>(
        &self,
        id: &str,
        owner: &str,
        make: impl FnOnce(Story) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let runs = self.running().contains_key(id); // before it is looked at: it is kept as it ended, then it no longer runs
        let told = self.find(id, owner).await?;
        let bytes = told.body.len();
        let work = move || {
            let mut story = Story::read(&told)?;
            if !runs {
                story.settle();
            }
            Ok(make(story))
        };
        aside(bytes, work).await
    }

    /// Waits until there is room for what is to be written; `false` where there is none for long.
    pub(crate) async fn room(&self) -> bool {
        self.0.shelf.room().await
    }

    /// Forgets it.
    pub(crate) async fn delete(&self, id: &str, owner: &str) -> Result<(), Error> {
        self.find(id, owner).await?;
        if !self.room().await {
            return Err(Error::StoreSlow);
        }
        self.end(id).await; // so that nothing of it is kept after this, though memory may forget that it is gone
        self.0.shelf.delete(id);
        Ok(())
    }

    /// Lets a response be made without a listener.
    pub(crate) fn run(&self, id: &str, owner: &Arc<str>) -> Result<Running, Error> {
        let mut running = self.running();
        if running.values().filter(|making| making.owner == *owner).count() >= MOST_OF_ONE {
            return Err(Error::Background { most: MOST_OF_ONE, whose: whose(owner) });
        }
        if running.len() >= MOST_RUNNING {
            return Err(Error::BackgroundFull { most: MOST_RUNNING });
        }
        let (cancelled, over) = (CancellationToken::new(), CancellationToken::new());
        running.insert(id.to_owned(), Making { owner: Arc::clone(owner), cancelled: cancelled.clone(), over: over.clone() });
        Ok(Running { kept: self.clone(), id: id.to_owned(), cancelled, over })
    }

    /// Ends it, if it is in the making.
    fn cancel(&self, id: &str) -> Option<CancellationToken> {
        let running = self.running();
        let making = running.get(id)?;
        making.cancelled.cancel();
        Some(making.over.clone())
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(&self, id: &str) {
        let over = self.cancel(id);
        if let Some(over) = over {
            over.cancelled().await;
        }
    }

    /// Waits until all that was kept so far is in the store.
    pub(crate) async fn flush(&self) {
        self.0.shelf.flush().await;
    }
}

/// What is known of a response while it is made.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) kept: Kept,
    pub(crate) id: String,
    pub(crate) owner: Arc<str>,
    pub(crate) created: Timestamp,
    /// Whose echo the response is, and how it stands.
    pub(crate) object: wire::responses::Object,
    /// The conversation before its output, where the client wants it kept.
    pub(crate) items: Option<Arc<RawValue>>,
    pub(crate) own: usize,
    /// There was room for it when it began: it is written, whatever has come since.
    pub(crate) surely: bool,
    /// The client fetches it later.
    pub(crate) background: bool,
}

impl Ticket {
    /// Keeps the response as it stands, if it is to be kept and has not been deleted.
    pub(crate) fn keep(&self, response: &Value) {
        let Some(items) = &self.items else { return };
        let Ok(body) = serde_json::to_string(&Telling { response, items, own: self.own }) else { return };
        let (id, owner) = (self.id.clone(), self.owner.to_string());
        let told = KeptResponse { id, owner, created_at: self.created, body };
        self.kept.0.shelf.put(told, self.surely);
    }
}

/// Works on so many bytes of JSON: off the async threads where they are many.
pub(crate) async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    const LARGE: usize = 64 << 10; // takes about half a millisecond
    if bytes > LARGE { tasks::blocking("read-response", work).await.unwrap_or(Err(Error::Lost)) } else { work() }
}
