//! Writes behind: changes go to the store in their order, in batches, without anybody waiting.
//!
//! Holds: changes that are not written yet, up to a bound; when the store is away for so long that there are more, the
//! newest are not written, which is said in the log. What is in memory can be gone on with all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Backoff, Timestamp};
use store::{KeptResponse, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Keeping;

/// Changes that wait.
const WAITING: usize = 1024;
/// Changes in one transaction.
const BATCH: usize = 64;
/// Between two looks for what is too old or too many.
const TRIM: Duration = Duration::from_mins(10);

/// A store that is away is asked again, less and less often.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) };

/// A change of what is kept.
#[derive(Debug)]
pub(super) enum Change {
    Put(KeptResponse),
    Delete(String),
    /// Says when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// The way to the store.
#[derive(Debug)]
pub(super) struct Writer {
    changes: mpsc::Sender<Change>,
    lost: AtomicU64,
    _task: Task,
}

impl Writer {
    pub(super) fn start(store: Store, keeping: Keeping) -> Self {
        let (changes, inbox) = mpsc::channel(WAITING);
        let task = tasks::spawn("keep-responses", write(store, keeping, inbox));
        Self { changes, lost: AtomicU64::new(0), _task: task }
    }

    /// Never waits.
    pub(super) fn post(&self, change: Change) {
        if self.changes.try_send(change).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, "responses are not written: the store does not keep up");
            }
        }
    }

    /// Waits for room.
    pub(super) async fn post_surely(&self, change: Change) {
        if self.changes.send(change).await.is_err() {
            tracing::warn!("a change of the kept responses was not written: the server stops");
        }
    }

    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.post_surely(Change::Flush(done)).await;
        // The other end is gone only when the writer is.
        let _ = written.await;
    }
}

async fn write(store: Store, keeping: Keeping, mut inbox: mpsc::Receiver<Change>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut trimmed: Option<Instant> = None;
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        if trimmed.is_none_or(|at| at.elapsed() > TRIM) {
            trimmed = Some(Instant::now());
            let age = i64::try_from(keeping.age.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(age));
            insist(|| store.trim_responses(before, keeping.most)).await;
        }
        let mut puts = Vec::new();
        for change in batch.drain(..) {
            match change {
                Change::Put(response) => puts.push(response),
                Change::Delete(id) => {
                    put(&store, &mut puts).await;
                    insist(|| store.delete_response(&id)).await;
                }
                Change::Flush(done) => {
                    put(&store, &mut puts).await;
                    // Whoever asked may have left.
                    let _ = done.send(());
                }
            }
        }
        put(&store, &mut puts).await;
    }
}

async fn put(store: &Store, puts: &mut Vec<KeptResponse>) {
    if !puts.is_empty() {
        insist(|| store.put_responses(puts)).await;
        puts.clear();
    }
}

/// Tries until it is done; a store that is closed, or refuses for good, is left alone.
async fn insist<T, F: Future<Output = Result<T, store::Error>>>(work: impl Fn() -> F) {
    use base::{Fault as _, Kind};
    let mut failures = 0;
    while let Err(error) = work().await {
        let gone = matches!(error, store::Error::Closed) || error.kind() != Kind::Unavailable;
        tracing::warn!(error = base::chain(&error), gone, "kept responses are not written");
        if gone {
            return;
        }
        failures += 1;
        tokio::time::sleep(BACKOFF.wait(failures)).await;
    }
}
