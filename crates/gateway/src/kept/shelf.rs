//! Memory, between those who call and the one who writes.
//!
//! In: answers and deletions. Out: what is to be written; when it is. Holds: a lock for as long as it takes to put one in its place. Waits:
//! for room, a few seconds at most, and not at all once the store stands still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::KeptResponse;
use tokio::sync::{Notify, watch};

use super::STORE_PATIENCE;
use super::memory::{Batch, Memory};

/// What all parts share.
#[derive(Debug)]
pub(super) struct Shelf {
    memory: Mutex<Memory>,
    come: Notify,
    wrote: watch::Sender<()>,
    lost: AtomicU64,
}

impl Shelf {
    pub(super) fn new(most: usize) -> Self {
        Self { memory: Mutex::new(Memory::new(most)), come: Notify::new(), wrote: watch::Sender::new(()), lost: AtomicU64::new(0) }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an answer as it stands now, unless it has been deleted; what came where there was room is `surely` written.
    pub(super) fn put(&self, told: KeptResponse, surely: bool) {
        let told = Arc::new(told);
        let mut memory = self.memory();
        if memory.is_gone(&told.id) {
            return;
        }
        let waits = memory.put(&told.id, Some(Arc::clone(&told)), surely);
        drop(memory);
        if waits { self.come.notify_one() } else { self.lose() }
    }

    /// From now on it is not there.
    pub(super) fn delete(&self, id: &str) {
        self.memory().put(id, None, true);
        self.come.notify_one();
    }

    fn lose(&self) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if lost.is_power_of_two() {
            tracing::warn!(lost, "responses are not written: the store does not keep up");
        }
    }

    /// Waits until there is room for what is to be written; `false` where there is none for long.
    pub(super) async fn room(&self) -> bool {
        let (full, writing) = {
            let memory = self.memory();
            (memory.is_full(), memory.writing())
        };
        if !full {
            return true;
        }
        if writing.is_some_and(|since| since.elapsed() >= STORE_PATIENCE) {
            return false;
        }
        tokio::time::timeout(STORE_PATIENCE, self.when(|memory| !memory.is_full())).await.is_ok()
    }

    /// Waits until all that came so far is written, or never will be.
    pub(super) async fn flush(&self) {
        let turn = self.memory().turn();
        self.when(|memory| memory.is_written(turn)).await;
    }

    /// Looks again whenever something was written.
    async fn when(&self, so: impl Fn(&Memory) -> bool) {
        let mut wrote = self.wrote.subscribe();
        while !so(&self.memory()) {
            if wrote.changed().await.is_err() {
                return; // never: the sender is ours
            }
        }
    }

    /// Waits for something to write.
    pub(super) async fn take(&self) -> Batch {
        loop {
            let batch = self.memory().take();
            if !batch.is_empty() {
                return batch;
            }
            self.come.notified().await;
        }
    }

    /// The store has these, or never will.
    pub(super) fn wrote(&self, batch: Batch) {
        self.memory().wrote(batch);
        self.wrote.send_replace(());
    }
}
