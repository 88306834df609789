//! Which answers can a client go on with, fetch or cancel?
//!
//! In: responses as they begin and end. Out: the same, to those who made them; others learn nothing. Fails: when there
//! is none of this id, or when the store cannot say. Holds: the latest in memory, up to a bound of bytes; all are
//! written to the store behind the caller's back, so that they survive a restart. Nobody waits for the store but who asks
//! for an id that memory does not have, and who deletes.

mod memory;
mod remember;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::Caller;
use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{KeptResponse, Store};
use tokio_util::sync::CancellationToken;

use memory::{Memory, Slot};
pub(crate) use remember::Remember;
use writer::{Change, Writer};

use crate::error::Error;

/// Answers that may be in the making without anybody listening.
const MOST_RUNNING: usize = 256;
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

/// What is kept of one response.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Story {
    /// The response object.
    pub(crate) response: Value,
    /// The items of the conversation before its output.
    pub(crate) items: Vec<Value>,
    /// The first of them that came with the response itself.
    pub(crate) own: usize,
}

/// The same, to be written.
#[derive(Serialize)]
struct Telling<'a> {
    response: &'a Value,
    items: &'a [Value],
    own: usize,
}

impl Story {
    /// The conversation that another response goes on with.
    pub(crate) fn conversation(self) -> Vec<Value> {
        let mut items = self.items;
        if let Value::Object(mut response) = self.response
            && let Some(Value::Array(output)) = response.remove("output")
        {
            items.extend(output);
        }
        items
    }
}

/// The answers that are kept; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Kept(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: Mutex<Memory>,
    /// By id: the wish that it ends, and that it has.
    running: Mutex<HashMap<String, (CancellationToken, CancellationToken)>>,
    store: Store,
    writer: Writer,
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
        let writer = Writer::start(store.clone(), keeping);
        let memory = Mutex::new(Memory::new(keeping.memory_bytes));
        Self(Arc::new(Inner { memory, running: Mutex::default(), store, writer }))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, (CancellationToken, CancellationToken)>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a response as it stands now, unless it has been deleted.
    fn put(&self, ticket: &Ticket, response: &Value) {
        let story = Telling { response, items: &ticket.items, own: ticket.own };
        let Ok(body) = serde_json::to_string(&story) else { return };
        let (id, owner) = (ticket.id.clone(), ticket.owner.to_string());
        let change = Change::Put(KeptResponse { id, owner, created_at: ticket.created, body: body.clone() });
        let mut memory = self.memory();
        if memory.is_gone(&ticket.id) {
            return;
        }
        memory.put(&ticket.id, Slot::here(Arc::clone(&ticket.owner), body.into()));
        self.0.writer.post(change); // within the lock: whoever deletes it next says so to the store after this
    }

    /// What is kept under this id for this owner.
    pub(crate) async fn get(&self, id: &str, owner: &str) -> Result<Story, Error> {
        let unknown = || Error::UnknownResponse { id: id.chars().take(100).collect() };
        let slot = self.memory().get(id);
        let slot = match slot {
            Some(slot) => slot,
            None => self.fetch(id).await?.ok_or_else(unknown)?,
        };
        let body = slot.body.filter(|_| *slot.owner == *owner).ok_or_else(unknown)?;
        let mut story: Story = serde_json::from_str(&body).map_err(|_unreadable| unknown())?;
        let unfinished = ["queued", "in_progress"].iter().any(|status| story.response["status"] == *status);
        if unfinished && !self.running().contains_key(id) {
            story.response["status"] = "failed".into();
            story.response["error"] =
                serde_json::json!({ "code": "server_error", "message": "the server was restarted in the meantime; ask again" });
        }
        Ok(story)
    }

    async fn fetch(&self, id: &str) -> Result<Option<Slot>, Error> {
        let found = tokio::time::timeout(STORE_PATIENCE, self.0.store.get_response(id)).await.map_err(|_elapsed| Error::StoreSlow)??;
        Ok(found.map(|found| {
            let slot = Slot::here(found.owner.into(), found.body.into());
            self.memory().put_if_absent(id, slot.clone());
            slot
        }))
    }

    /// Forgets it.
    pub(crate) async fn delete(&self, id: &str, owner: &str) -> Result<(), Error> {
        self.get(id, owner).await?;
        self.end(id).await; // so that nothing of it is kept after this, though memory may forget that it is gone
        self.memory().put(id, Slot::gone(owner.into()));
        self.0.writer.post_surely(Change::Delete(id.to_owned())).await;
        Ok(())
    }

    /// Lets a response be made without a listener.
    pub(crate) fn run(&self, id: &str) -> Result<Running, Error> {
        let mut running = self.running();
        if running.len() >= MOST_RUNNING {
            return Err(Error::Background { most: MOST_RUNNING });
        }
        let (cancelled, over) = (CancellationToken::new(), CancellationToken::new());
        running.insert(id.to_owned(), (cancelled.clone(), over.clone()));
        Ok(Running { kept: self.clone(), id: id.to_owned(), cancelled, over })
    }

    /// Ends it, if it is in the making.
    fn cancel(&self, id: &str) -> Option<CancellationToken> {
        let running = self.running();
        let (cancelled, over) = running.get(id)?;
        cancelled.cancel();
        Some(over.clone())
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
        self.0.writer.flush().await;
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
    pub(crate) items: Arc<[Value]>,
    pub(crate) own: usize,
    /// The client wants it kept.
    pub(crate) stored: bool,
    /// The client fetches it later.
    pub(crate) background: bool,
}

impl Ticket {
    /// Keeps the response as it stands, if it is to be kept and has not been deleted.
    pub(crate) fn keep(&self, response: &Value) {
        if self.stored {
            self.kept.put(self, response);
        }
    }
}
