//! Life of a usage row between the call that made it and the database:
//!
//! it is put into a buffer that nobody holds for long ([`buffer`]), as one checked record ([`record`]); a thread writes what has gathered, every 50 ms, to the end of a file ([`writer`],
//! [`segment`]) and another has it on the disk within a second ([`sync`]); a task brings it from there
//! into the database, a batch at a time, each row once ([`drain`], [`reader`]), and removes what is
//! drained. After a crash the file is cut behind its last whole record ([`recover`]) and all goes on.
//!
//! Who appends never waits and never fails: a database that stalls makes the files grow, up to a quota;
//! beyond it rows are counted as lost, and that is said ([`stand`]). From: write-ahead logs; Kafka's
//! segments.

mod buffer;
mod drain;
mod reader;
mod record;
mod recover;
mod segment;
mod stand;
mod sync;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{ByteSize, tasks};
use spec::Usage;

use crate::error::Error;
use crate::open::Store;
use buffer::Buffer;
use drain::Drain;
use writer::Writer;

pub use stand::{Alarm, JournalStand};

/// Where a journal is and how large it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// Its folder; made when it is not there.
    pub dir: PathBuf,
    /// What its files may take together; behind it rows wait in memory, and then are lost.
    pub quota: ByteSize,
}

impl JournalConfig {
    /// A gibibyte: five million calls.
    pub const QUOTA: ByteSize = ByteSize::mib(1024);
    /// Less does not hold the files that a journal needs.
    pub const LEAST_QUOTA: ByteSize = ByteSize(64 << 10);

    /// In this folder, with the usual quota.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), quota: Self::QUOTA }
    }
}

/// A usage journal; cheap to clone. It ends when the last handle is dropped: what has been appended is
/// still written, what has not come into the database waits for the next start.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    buffer: Arc<Buffer>,
    writer: Mutex<Option<tasks::Thread>>,
    drain: Mutex<Option<tasks::Task>>,
}

impl Journal {
    /// Opens the journal, which belongs to this store alone, and goes on where it was left. Must be called
    /// within a tokio runtime.
    pub async fn open(store: Store, config: JournalConfig) -> Result<Self, Error> {
        let failed = |source| Error::NotWritable { path: config.dir.clone(), source };
        let quota = config.quota.max(JournalConfig::LEAST_QUOTA).0;
        let found = recover::find(&config.dir).map_err(failed)?;
        let place = store.journal_place(found.journal).await?;
        let open = recover::open(&config.dir, found, place, segment::size(quota)).map_err(failed)?;
        let buffer = Arc::new(Buffer::new(quota, &open));
        let drain = Drain::new(store, config.dir.clone(), Arc::clone(&buffer), open.journal, place);
        let writer = Writer::new(Arc::clone(&buffer), config.dir.clone(), quota, open);
        let writer = writer.start().map_err(failed)?;
        let drain = tasks::spawn("usage-drain", drain.run());
        Ok(Self(Arc::new(Inner { buffer, writer: Mutex::new(Some(writer)), drain: Mutex::new(Some(drain)) })))
    }

    /// Puts a row in; never waits, never fails. A row that does not fit any more is counted as lost.
    pub fn append<S: AsRef<str>>(&self, row: &Usage<S>) {
        self.0.buffer.append(row);
    }

    /// How it stands.
    pub fn stand(&self) -> JournalStand {
        self.0.buffer.stand()
    }

    /// Waits until all that has been appended is in the database; `false` when it was not in time. It is
    /// in the journal then, and comes in later, or after the next start.
    pub async fn flush(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.0.buffer.all_drained()).await.is_ok()
    }

    /// Ends it: what has been appended is on the disk when this returns; nothing more is taken.
    pub async fn close(&self) {
        drop(take(&self.0.drain));
        self.0.buffer.close();
        if let Some(writer) = take(&self.0.writer) {
            tasks::blocking("usage-journal-close", || writer.join()).await;
        }
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.buffer.close();
    }
}

#[cfg(test)]
mod tests;
