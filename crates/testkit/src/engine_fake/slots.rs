//! Slots, and the line before them.
//!
//! In: a call. Out: a [`Slot`] when one is free, first come first served; the rest is deferred. Fails:
//! never. Holds: what is held comes back when it is dropped, also by a caller who leaves the line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All slots of an engine.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    all: u32,
    deferred: Arc<AtomicU32>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Slot(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

struct InLine(Arc<AtomicU32>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Slots {
    pub(super) fn new(all: u32) -> Self {
        let all = all.max(1);
        Self { free: Arc::new(Semaphore::new(all as usize)), all, deferred: Arc::default() }
    }
    /// Waits for one; none when the engine ends.
    pub(super) async fn take(&self) -> Option<Slot> {
        if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(Slot(slot));
        }
        self.deferred.fetch_add(1, Relaxed);
        let _in_line = InLine(Arc::clone(&self.deferred));
        Arc::clone(&self.free).acquire_owned().await.ok().map(Slot)
    }
    /// Calls that are worked on.
    pub(super) fn busy(&self) -> u32 {
        self.all.saturating_sub(u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX))
    }
    /// Calls that wait.
    pub(super) fn deferred(&self) -> u32 {
        self.deferred.load(Relaxed)
    }
    /// How many there are.
    pub(super) fn all(&self) -> u32 {
        self.all
    }
}
