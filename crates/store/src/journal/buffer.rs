//! Between those who append, the thread that writes and the task that drains.
//!
//! In: rows. Out: records that have gathered; how far everything is. Holds: a lock for as long as it takes
//! to write one row's text into memory (about a microsecond) or to swap two buffers. Bounded in bytes:
//! what does not fit is counted as lost. Nobody who appends ever waits for anything else.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spec::Usage;
use tokio::sync::{Notify, watch};

use super::record;
use super::recover::Open;
use super::stand::{Alarm, JournalStand};
use crate::usage::text;

/// Rows gather for so long before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// So many bytes are written at once without waiting for more.
const PLENTY: usize = 1 << 20;
/// What may wait in memory: some seconds of the busiest gateway.
const MOST: u64 = 16 << 20;
const PARTS_OF_QUOTA: u64 = 4;

/// How far the thread that writes has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// The place of the first record of the file that is being written.
    pub(super) segment: u64,
    /// Whole records end here in that file.
    pub(super) len: u64,
    /// The place of the next record.
    pub(super) next: u64,
    /// Rows that have been written since the start.
    rows: u64,
}

/// Bytes and rows that go to the disk together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// Rows that were taken in since the start.
    taken: u64,
    hurry: bool,
    closed: bool,
}

/// What all parts of a journal share.
#[derive(Debug)]
pub(super) struct Buffer {
    most: usize,
    plenty: usize,
    waiting: Mutex<Waiting>,
    come: Condvar,
    written: watch::Sender<Written>,
    drained: watch::Sender<u64>,
    hurry_drain: Notify,
    on_disk: AtomicU64,
    lost: AtomicU64,
    alarm: AtomicU8,
}

impl Buffer {
    pub(super) fn new(quota: u64, open: &Open) -> Self {
        let written = Written { segment: open.first, len: open.len, next: open.next, rows: 0 };
        let most = usize::try_from((quota / PARTS_OF_QUOTA).min(MOST)).unwrap_or(usize::MAX);
        Self {
            most,
            plenty: PLENTY.min(most / 2),
            waiting: Mutex::default(),
            come: Condvar::new(),
            written: watch::Sender::new(written),
            drained: watch::Sender::new(0),
            hurry_drain: Notify::new(),
            on_disk: AtomicU64::new(open.on_disk),
            lost: AtomicU64::new(0),
            alarm: AtomicU8::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row in.
    pub(super) fn append<S: AsRef<str>>(&self, row: &Usage<S>) {
        let mut waiting = self.lock();
        let before = waiting.batch.bytes.len();
        let fits = before < self.most && !waiting.closed;
        if !fits || !record::append(&mut waiting.batch.bytes, |out| text::encode(row, out)) {
            drop(waiting);
            self.lose(1);
            return;
        }
        waiting.batch.rows += 1;
        waiting.taken += 1;
        let tell = before == 0 || (before < self.plenty && waiting.batch.bytes.len() >= self.plenty);
        drop(waiting);
        if tell {
            self.come.notify_one();
        }
    }

    /// Gives what has gathered, and takes an empty batch for it; `false` when there will be no more. Blocks.
    pub(super) fn gathered(&self, batch: &mut Batch) -> bool {
        let empty = |waiting: &mut Waiting| waiting.batch.rows == 0 && !waiting.closed;
        let gathering = |waiting: &mut Waiting| !waiting.closed && !waiting.hurry && waiting.batch.bytes.len() < self.plenty;
        let waiting = self.come.wait_while(self.lock(), empty).unwrap_or_else(PoisonError::into_inner);
        let waited = self.come.wait_timeout_while(waiting, GATHER, gathering);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.hurry = false;
        std::mem::swap(&mut waiting.batch, batch);
        batch.rows > 0 || !waiting.closed
    }

    /// Waits a moment before something is tried again; `false` when there is no time for that. Blocks.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let waited = self.come.wait_timeout_while(self.lock(), pause, |waiting| !waiting.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Nothing more is taken in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.come.notify_all();
    }

    /// So many rows now stand in this file up to here.
    pub(super) fn wrote(&self, segment: u64, len: u64, next: u64, rows: u64) {
        self.written.send_modify(|written| *written = Written { segment, len, next, rows: written.rows + rows });
    }

    /// Reads how far the writing is, and waits for more.
    pub(super) fn writing(&self) -> watch::Receiver<Written> {
        self.written.subscribe()
    }

    /// The database has all before this place.
    pub(super) fn drained(&self, place: u64) {
        self.drained.send_replace(place);
    }

    /// Somebody waits for the database to have everything.
    pub(super) async fn hurried(&self) {
        self.hurry_drain.notified().await;
    }

    /// Resolves when the database has all that was taken in until now.
    pub(super) async fn all_drained(&self) {
        let taken = {
            let mut waiting = self.lock();
            waiting.hurry = true;
            waiting.taken
        };
        self.come.notify_all();
        let mut writing = self.written.subscribe();
        // Both ends live as long as the buffer, so neither wait fails.
        let Ok(next) = writing.wait_for(|written| written.rows >= taken).await.map(|written| written.next) else { return };
        self.hurry_drain.notify_one();
        let _ = self.drained.subscribe().wait_for(|place| *place >= next).await;
    }

    /// Rows are lost.
    pub(super) fn lose(&self, rows: u64) {
        self.lost.fetch_add(rows, Ordering::Relaxed);
    }

    /// Rows that were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The files grew.
    pub(super) fn grew(&self, bytes: u64) {
        self.on_disk.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file is gone.
    pub(super) fn shrank(&self, bytes: u64) {
        let less = |on_disk: u64| Some(on_disk.saturating_sub(bytes)); // what could not be taken back was never counted
        let _ = self.on_disk.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes of all files.
    pub(super) fn on_disk(&self) -> u64 {
        self.on_disk.load(Ordering::Relaxed)
    }

    /// Raises an alarm, or ends it.
    pub(super) fn raise(&self, alarm: Option<Alarm>) {
        let code = match alarm {
            None => 0,
            Some(Alarm::Full) => 1,
            Some(Alarm::Unwritable) => 2,
        };
        self.alarm.store(code, Ordering::Relaxed);
        self.written.send_modify(|_| ()); // whoever drains tells of it
    }

    /// How all of it stands.
    pub(super) fn stand(&self) -> JournalStand {
        let in_memory = self.lock().batch.rows;
        let alarm = match self.alarm.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Alarm::Full),
            _ => Some(Alarm::Unwritable),
        };
        JournalStand {
            bytes: self.on_disk(),
            behind: self.written.borrow().next.saturating_sub(*self.drained.borrow()) + in_memory,
            lost: self.lost(),
            alarm,
        }
    }
}
