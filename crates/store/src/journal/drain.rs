//! The task that brings rows from the files into the database.
//!
//! In: how far the writing is. Out: booked calls, removed files. Fails: never for good: a database that
//! stalls or refuses is asked again, ever more slowly up to a second apart; that is said once, and so is
//! its end. A segment goes only when the database has its rows on the disk, not merely in its log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, tasks};
use spec::{Cause, Event, EventKind};
use tokio::sync::watch;

use super::buffer::{Buffer, Written};
use super::reader::{Bite, Cursor, Read, read};
use super::segment::{self, Head, Segment};
use super::stand::JournalStand;
use crate::error::Error;
use crate::open::Store;
use crate::usage::Booked;

/// Between two batches, while rows come in slowly.
const GATHER: Duration = Duration::from_millis(200);
/// Between two small bites, so that those who serve on the same processor get their turn.
const BREATH: Duration = Duration::from_millis(5);
/// With so many rows behind, bites are large and follow at once.
const FAR_BEHIND: u64 = 32_768;
const WAITS: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(1) };

/// The task's own.
#[derive(Debug)]
pub(super) struct Drain {
    store: Store,
    dir: PathBuf,
    buffer: Arc<Buffer>,
    writing: watch::Receiver<Written>,
    journal: i64,
    /// The database has all before this place of the journal.
    place: u64,
    cursor: Option<Cursor>,
    drained: Vec<Segment>,
    told: JournalStand,
}

/// Whether there is more to do at once.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Breathe,
    Wait,
}

impl Drain {
    pub(super) fn new(store: Store, dir: PathBuf, buffer: Arc<Buffer>, journal: i64, place: u64) -> Self {
        let writing = buffer.writing();
        buffer.drained(place);
        Self { store, dir, buffer, writing, journal, place, cursor: None, drained: Vec::new(), told: JournalStand::default() }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.step().await {
                Ok(then) => {
                    if failures > 0 {
                        tracing::info!(failures, "the database takes usage rows again");
                    }
                    failures = 0;
                    match then {
                        Then::GoOn => {}
                        Then::Breathe => self.breathe(BREATH).await,
                        Then::Wait if self.writing.changed().await.is_err() => return,
                        Then::Wait => self.breathe(GATHER).await,
                    }
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(error = base::chain(&error), "usage rows stay in the journal: the database takes none");
                    }
                    tokio::time::sleep(WAITS.wait(failures)).await;
                }
            }
        }
    }

    /// Lets rows gather, unless somebody waits for them.
    async fn breathe(&self, pause: Duration) {
        tokio::select! {
            () = self.buffer.hurried() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Brings one batch in.
    async fn step(&mut self) -> Result<Then, Error> {
        let written = *self.writing.borrow_and_update();
        let cursor = match self.cursor.clone() {
            Some(cursor) => cursor,
            None => match self.enter().await? {
                Some(cursor) => cursor,
                None => return Ok(Then::Wait),
            },
        };
        let last = cursor.segment == written.segment;
        let (want, end) = (self.place, last.then_some(written.len));
        let (bite, then) = match written.next.saturating_sub(want) {
            FAR_BEHIND.. => (Bite::LARGE, Then::GoOn),
            _ => (Bite::SMALL, Then::Breathe),
        };
        let mut read = match self.blocking(move || read(cursor, want, end, bite)).await {
            Err(Error::NotWritable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // Somebody has taken the file away: what stood in it is missed when the next one is entered.
                self.cursor = None;
                return Ok(if last { Then::Wait } else { Then::GoOn });
            }
            read => read?,
        };
        let done = read.batch.is_none() && read.senseless == 0;
        if !self.book(&mut read).await? {
            return Ok(Then::GoOn);
        }
        if done && !last {
            self.leave(&read)?;
        } else {
            self.cursor = Some(read.cursor);
        }
        self.remove().await?;
        self.tell().await;
        Ok(if done && last { Then::Wait } else { then })
    }

    /// Whether the rows came in. The database may have some of them: when the end of an earlier change was not heard of.
    async fn book(&mut self, read: &mut Read) -> Result<bool, Error> {
        if let Some(batch) = read.batch.take()
            && let Booked::Known(place) = self.store.book(self.journal, batch).await?
        {
            self.place = place;
            self.buffer.drained(place);
            return Ok(false);
        }
        self.buffer.lose(read.senseless);
        self.place = self.place.max(read.cursor.place);
        self.buffer.drained(self.place);
        Ok(true)
    }

    /// Finds the segment that holds the next place; those before it are drained.
    async fn enter(&mut self) -> Result<Option<Cursor>, Error> {
        let (dir, behind) = (self.dir.clone(), self.drained.last().map(|last| last.first));
        let mut segments = self.blocking(move || segment::list(&dir)).await?;
        segments.retain(|segment| behind.is_none_or(|behind| segment.first > behind));
        let at = segments.partition_point(|segment| segment.first <= self.place).saturating_sub(1);
        let mut segments = segments.into_iter();
        self.drained.extend(segments.by_ref().take(at));
        for segment in segments {
            if self.is_ours(&segment).await? {
                self.miss(&segment);
                return Ok(Some(Cursor::at_start(segment.path, segment.first)));
            }
        }
        Ok(None)
    }

    /// Whether the segment's head says so; else it is put aside.
    async fn is_ours(&self, segment: &Segment) -> Result<bool, Error> {
        let path = segment.path.clone();
        let head = self.blocking(move || std::fs::File::open(path).and_then(|mut file| Head::of(&mut file))).await?;
        let ours = head == Some(Head { journal: self.journal, first: segment.first });
        if !ours {
            tracing::error!(file = %segment.path.display(), "a file does not belong to this usage journal and was put aside");
            segment::put_aside(&segment.path).map_err(|source| self.failed(source))?;
            self.buffer.shrank(segment.len);
        }
        Ok(ours)
    }

    /// Counts what should stand before the segment and does not. A database that is new knows of nothing.
    fn miss(&mut self, segment: &Segment) {
        let rows = segment.first.saturating_sub(self.place);
        if rows > 0 && self.place > 0 {
            tracing::error!(rows, before = %segment.path.display(), "rows of the usage journal are missing");
            self.buffer.lose(rows);
        }
        self.place = self.place.max(segment.first);
    }

    /// The end of a segment that is not written to any more.
    fn leave(&mut self, read: &Read) -> Result<(), Error> {
        let Cursor { path, segment, .. } = read.cursor.clone();
        if read.broken > 0 {
            tracing::error!(file = %path.display(), bytes = read.broken, "the rest of a file of the usage journal is damaged and left out");
        }
        let len = match std::fs::metadata(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.failed(source)),
            metadata => metadata.map_or(0, |metadata| metadata.len()),
        };
        self.drained.push(Segment { first: segment, path, len });
        self.cursor = None;
        Ok(())
    }

    /// Removes drained segments once the database has their rows for good.
    async fn remove(&mut self) -> Result<(), Error> {
        if self.drained.is_empty() || !self.store.make_durable().await? {
            return Ok(());
        }
        while let Some(segment) = self.drained.first() {
            match std::fs::remove_file(&segment.path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.failed(source)),
                _ => self.buffer.shrank(segment.len),
            }
            self.drained.remove(0);
        }
        Ok(())
    }

    /// Tells the story of alarms and losses, once each.
    async fn tell(&mut self) {
        let stand = self.buffer.stand();
        let lost = stand.lost - self.told.lost;
        let words = match stand.alarm {
            Some(alarm) if self.told.alarm != stand.alarm => alarm.words().to_owned(),
            None if lost > 0 => format!("the usage journal takes rows; {lost} rows were lost"),
            None if self.told.alarm.is_some() => "the usage journal takes rows; no row was lost".to_owned(),
            _ => return,
        };
        if self.store.append_events(&[Event::now(EventKind::UsageJournal, Cause::Penstock, words)]).await.is_ok() {
            // What is lost while an alarm lasts is told with its end.
            let lost = if stand.alarm.is_some() { self.told.lost } else { stand.lost };
            self.told = JournalStand { lost, ..stand };
        }
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
        let done = tasks::blocking("usage-drain-read", work).await;
        done.unwrap_or_else(|| Err(io::ErrorKind::Other.into())).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::NotWritable { path: self.dir.clone(), source }
    }
}
