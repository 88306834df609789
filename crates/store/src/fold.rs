//! When is the log folded into the file?
//!
//! In: that something is changed. Out: now and then a checkpoint, by a connection of its own that opens with the first one, so that no
//! change waits until the disk has it. Fails: never; what could not be folded is folded the next time, and a log that grows all the same
//! is folded by the change that finds it so long ([`MOST_LOGGED`]). Holds: a count. From: SQLite's write-ahead log, "Avoiding Excessively
//! Large WAL Files"; a change that folds waits for two syncs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::tasks::{self, Task};
use sqlx::SqlitePool;
use tokio::sync::Notify;

/// After so many changes.
const EVERY: u32 = 64;
/// Pages (16 MiB) after which a change folds the log itself: changes come faster than the log is folded, or somebody reads for long.
pub(crate) const MOST_LOGGED: &str = "4096";

/// Counts changes.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    changes: AtomicU32,
    due: Notify,
}

impl Fold {
    /// Something is about to be changed.
    pub(crate) fn note_change(&self) {
        if self.changes.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1 {
            self.due.notify_one();
        }
    }
}

/// Folds whenever it is due, until the connections are closed.
pub(crate) fn follow(fold: Arc<Fold>, connection: SqlitePool) -> Task {
    tasks::spawn("fold-log", async move {
        while !connection.is_closed() {
            fold.due.notified().await;
            if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&connection).await {
                tracing::debug!(error = base::chain(&error), "the database's log could not be folded now");
            }
        }
    })
}
