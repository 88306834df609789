//! Usage rows on their way to the store: a bounded line to one writer.
//!
//! In: rows, from the drop of a call. Out: batches, appended by one task. Fails: a full line drops
//! the row, a store that goes on failing drops the batch; both are counted and said. Nobody waits
//! but the one who stops the house and wants all that is in line to be written.

use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, tasks};
use spec::Usage;
use store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;

/// Rows in line: some seconds of the busiest gateway.
const MOST_ROWS: usize = 16_384;
/// Rows in one transaction.
const BATCH: usize = 256;
/// Tries for one batch.
const TRIES: u32 = 5;
const WAITS: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(1) };

enum Post {
    Row(Box<Usage>),
    Flush(oneshot::Sender<()>),
}

/// Where rows are posted.
#[derive(Debug)]
pub(crate) struct Journal {
    posts: mpsc::Sender<Post>,
    metrics: Arc<Metrics>,
    _writer: tasks::Task,
}

impl Journal {
    /// Starts the writer; must be called within a tokio runtime.
    pub(crate) fn start(store: Store, metrics: Arc<Metrics>) -> Self {
        let (posts, line) = mpsc::channel(MOST_ROWS);
        let writer = Writer { store, metrics: Arc::clone(&metrics), line };
        Self { posts, metrics, _writer: tasks::spawn("usage-journal", writer.run()) }
    }

    /// Posts a row; never waits.
    pub(crate) fn post(&self, row: Usage) {
        if self.posts.try_send(Post::Row(Box::new(row))).is_err() {
            self.metrics.usage_dropped(1);
            tracing::error!("a usage row was lost: the journal is full; see whether the database can keep up");
        }
    }

    /// Waits until all rows posted so far are written, or given up.
    pub(crate) async fn flush(&self) {
        let (written, done) = oneshot::channel();
        if self.posts.send(Post::Flush(written)).await.is_ok() {
            let _ = done.await; // an error means that the writer has ended, so there is nothing to wait for
        }
    }
}

struct Writer {
    store: Store,
    metrics: Arc<Metrics>,
    line: mpsc::Receiver<Post>,
}

impl Writer {
    async fn run(mut self) {
        let mut posts = Vec::with_capacity(BATCH);
        while self.line.recv_many(&mut posts, BATCH).await > 0 {
            let mut rows = Vec::with_capacity(posts.len());
            let mut waiting = Vec::new();
            for post in posts.drain(..) {
                match post {
                    Post::Row(row) => rows.push(*row),
                    Post::Flush(written) => waiting.push(written),
                }
            }
            self.append(&rows).await;
            for written in waiting {
                let _ = written.send(()); // who asked may have stopped waiting
            }
        }
    }

    /// A batch may be sent again: the store keeps a row once for each request id.
    async fn append(&self, rows: &[Usage]) {
        if rows.is_empty() {
            return;
        }
        for failures in 1..=TRIES {
            let Err(error) = self.store.append_usage(rows).await else { return };
            if failures == TRIES {
                self.metrics.usage_dropped(rows.len() as u64);
                tracing::error!(rows = rows.len(), error = base::chain(&error), "usage rows were lost: the store refused them");
                return;
            }
            tracing::warn!(rows = rows.len(), error = base::chain(&error), "usage rows not written; trying again");
            tokio::time::sleep(WAITS.wait(failures)).await;
        }
    }
}
