//! What has been written is on the disk a second later.
//!
//! In: files that have grown. Out: the same, synced. It is a thread of its own: while a slow disk takes its
//! time, the writer goes on, and a process that is killed then has lost nothing that was written. Fails:
//! what cannot be synced is said once and tried again with the next rows.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::tasks;

/// Between two syncs.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Wanted {
    files: Vec<Arc<File>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Desk {
    wanted: Mutex<Wanted>,
    come: Condvar,
}

/// The thread; dropping this syncs what is left and ends it.
#[derive(Debug)]
pub(super) struct Syncer {
    desk: Arc<Desk>,
    thread: Option<tasks::Thread>,
}

impl Syncer {
    pub(super) fn start() -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let mine = Arc::clone(&desk);
        let thread = tasks::thread("usage-sync", move || {
            crate::threads::make_way();
            mine.run();
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// The file has grown.
    pub(super) fn want(&self, file: &Arc<File>) {
        let mut wanted = self.desk.lock();
        if !wanted.files.iter().any(|other| Arc::ptr_eq(other, file)) {
            wanted.files.push(Arc::clone(file));
            self.desk.come.notify_one();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let (mut last, mut failing) = (None::<Instant>, false);
        loop {
            let idle = |wanted: &mut Wanted| wanted.files.is_empty() && !wanted.closed;
            let wanted = self.come.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let rest = last.map_or(Duration::ZERO, |last| EVERY.saturating_sub(last.elapsed()));
            let waited = self.come.wait_timeout_while(wanted, rest, |wanted| !wanted.closed);
            let (mut wanted, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let (files, closed) = (std::mem::take(&mut wanted.files), wanted.closed);
            drop(wanted);
            let outcome: io::Result<()> = files.iter().try_for_each(|file| file.sync_data());
            match &outcome {
                Err(error) if !failing => tracing::error!(%error, "the usage journal is not synced: a loss of power would cost its rows"),
                Ok(()) if failing => tracing::info!("the usage journal is synced again"),
                _ => {}
            }
            failing = outcome.is_err();
            last = Some(Instant::now());
            if closed {
                return;
            }
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.come.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}
