//! How far is a file that grows, on disk?
//!
//! In: its state and its hash, now and then. Out: the last of them beside the file. Fails: when it is saved at once; what is asked for and cannot be
//! written is asked for again with the next bytes. Holds: at most one state that waits for a thread. A later state is never replaced by an
//! earlier one, and after [`Notes::end`] nothing is written any more.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::Sha256;
use tokio::runtime::Handle;

use crate::error::Error;
use crate::state::PartState;

/// What is written down, and what is about to be.
#[derive(Debug, Clone)]
pub(crate) struct Notes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    saved: AtomicU64,
    asked: AtomicU64,
    next: Mutex<Option<(PartState, Sha256)>>,
    /// Whoever writes has it; `true` once there is nothing to write any more.
    over: Mutex<bool>,
}

impl Notes {
    /// Of the part here, of which this much is written down.
    pub(crate) fn new(path: PathBuf, saved: u64) -> Self {
        Self(Arc::new(Inner { path, saved: saved.into(), asked: saved.into(), next: Mutex::default(), over: Mutex::default() }))
    }

    /// So many bytes are written down.
    pub(crate) fn saved(&self) -> u64 {
        self.0.saved.load(Ordering::Acquire)
    }

    /// So many will be soon.
    pub(crate) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// By another thread, when it comes to it; blocks nobody.
    pub(crate) fn ask(&self, state: &PartState, hash: &Sha256) {
        let Ok(runtime) = Handle::try_current() else { return };
        self.0.asked.store(state.offset, Ordering::Relaxed);
        // Who waits for a thread finds the later state when it has one.
        if lock(&self.0.next).replace((state.clone(), hash.clone())).is_none() {
            let inner = Arc::clone(&self.0);
            runtime.spawn_blocking(move || inner.write());
        }
    }

    /// At once, by whoever asks.
    pub(crate) fn save(&self, state: &PartState, hash: &Sha256) -> Result<(), Error> {
        let over = lock(&self.0.over);
        *lock(&self.0.next) = None;
        self.0.save(*over, state, hash)
    }

    /// Nothing is written from now on.
    pub(crate) fn end(&self) {
        *lock(&self.0.over) = true;
    }
}

impl Inner {
    fn write(&self) {
        let over = lock(&self.over);
        let Some((state, hash)) = lock(&self.next).take() else { return };
        if let Err(error) = self.save(*over, &state, &hash) {
            // Whoever writes too much without a note saves it for itself, and is told.
            tracing::debug!(part = %state.id, error = base::chain(&error), "how far a file is could not be written down yet");
            self.asked.store(self.saved.load(Ordering::Acquire), Ordering::Relaxed);
        }
    }

    fn save(&self, over: bool, state: &PartState, hash: &Sha256) -> Result<(), Error> {
        if !over {
            state.save(&self.path, hash)?;
            self.saved.store(state.offset, Ordering::Release);
            self.asked.store(state.offset, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
