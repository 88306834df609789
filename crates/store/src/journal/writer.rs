//! The thread that writes what has gathered to the end of a file.
//!
//! In: batches of records. Out: segments; a full one is followed by the next. Fails: a batch that cannot be
//! written, since the disk is full or the quota is reached, is held and tried again; meanwhile rows
//! gather in memory, up to a bound. Both are said once, and so is their end. Blocks on the disk, which is
//! why it is a thread.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::tasks;

use super::buffer::{Batch, Buffer};
use super::record::Records;
use super::recover::Open;
use super::segment::{self, HEAD, Head};
use super::stand::Alarm;
use super::sync::Syncer;

/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// What a buffer keeps of its memory after a burst.
const KEPT: usize = 256 << 10;

/// The writer's own.
#[derive(Debug)]
pub(super) struct Writer {
    buffer: Arc<Buffer>,
    dir: PathBuf,
    quota: u64,
    journal: i64,
    file: Arc<File>,
    first: u64,
    len: u64,
    /// Behind that length stands what could not be taken back.
    torn: bool,
    next: u64,
    alarm: Option<Alarm>,
    lost_before: u64,
}

impl Writer {
    pub(super) fn new(buffer: Arc<Buffer>, dir: PathBuf, quota: u64, open: Open) -> Self {
        let Open { journal, file, len, first, next, .. } = open;
        Self { buffer, dir, quota, journal, file: Arc::new(file), first, len, torn: false, next, alarm: None, lost_before: 0 }
    }

    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<tasks::Thread> {
        let syncer = Syncer::start()?;
        tasks::thread("usage-journal", move || {
            crate::threads::make_way();
            self.run(&syncer);
        })
    }

    fn run(mut self, syncer: &Syncer) {
        let mut batch = Batch::default();
        while self.buffer.gathered(&mut batch) {
            self.put(&batch, syncer);
            batch.bytes.clear();
            batch.bytes.shrink_to(KEPT);
            batch.rows = 0;
        }
    }

    /// Writes all of a batch, however often it takes; gives up only when the house closes.
    fn put(&mut self, batch: &Batch, syncer: &Syncer) {
        let (mut rest, mut rows) = (batch.bytes.as_slice(), batch.rows);
        while rows > 0 {
            let trouble = match self.write(rest, syncer) {
                Ok((0, _)) => Alarm::Full,
                Ok((done, bytes)) => {
                    (rows, rest) = (rows.saturating_sub(done), rest.get(bytes..).unwrap_or_default());
                    continue;
                }
                Err(error) => {
                    if self.alarm.is_none() {
                        tracing::error!(%error, dir = %self.dir.display(), "the usage journal cannot be written");
                    }
                    Alarm::Unwritable
                }
            };
            self.alarmed(trouble);
            if !self.buffer.pause(PAUSE) {
                self.buffer.lose(rows);
                tracing::error!(rows, "usage rows were lost: the journal could not take them before the end");
                return;
            }
        }
        self.relieved();
    }

    /// Writes as many records as there is room for; gives their number and their bytes.
    fn write(&mut self, bytes: &[u8], syncer: &Syncer) -> io::Result<(u64, usize)> {
        let mut room = self.quota.saturating_sub(self.buffer.on_disk());
        if self.torn || self.len >= segment::size(self.quota) {
            let Some(behind_head) = room.checked_sub(HEAD as u64) else { return Ok((0, 0)) };
            self.turn(syncer)?;
            room = behind_head;
        }
        let room = usize::try_from(room.min(segment::size(self.quota))).unwrap_or(usize::MAX);
        let mut records = Records::new(bytes);
        let mut rows = 0;
        while records.next_len().is_some_and(|len| records.read() + len <= room) && records.next().is_some() {
            rows += 1;
        }
        let part = bytes.get(..records.read()).unwrap_or_default();
        if let Err(error) = (&*self.file).write_all(part) {
            // What half of it came there must not stand before the next.
            self.torn = self.file.set_len(self.len).is_err();
            return Err(error);
        }
        self.len += part.len() as u64;
        self.next += rows;
        if rows > 0 {
            self.buffer.grew(part.len() as u64);
            self.buffer.wrote(self.first, self.len, self.next, rows);
            syncer.want(&self.file);
        }
        Ok((rows, part.len()))
    }

    /// Begins the next segment.
    fn turn(&mut self, syncer: &Syncer) -> io::Result<()> {
        syncer.want(&self.file);
        let file = segment::create(&self.dir, Head { journal: self.journal, first: self.next })?;
        (self.file, self.first, self.len, self.torn) = (Arc::new(file), self.next, HEAD as u64, false);
        self.buffer.grew(self.len);
        self.buffer.wrote(self.first, self.len, self.next, 0);
        Ok(())
    }

    fn alarmed(&mut self, alarm: Alarm) {
        if self.alarm == Some(alarm) {
            return;
        }
        if alarm == Alarm::Full {
            tracing::error!(quota = self.quota, "{}; calls go on, but rows will be lost", alarm.words());
        }
        self.alarm = Some(alarm);
        self.buffer.raise(self.alarm);
    }

    fn relieved(&mut self) {
        let all = self.buffer.lost();
        let lost = all - self.lost_before;
        if self.alarm.take().is_some() {
            tracing::warn!(lost, "the usage journal takes rows again");
            self.buffer.raise(None);
        } else if lost > 0 {
            tracing::error!(lost, "usage rows were lost: the disk of the usage journal was slower than they came");
        }
        self.lost_before = all;
    }
}
