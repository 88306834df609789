//! The access log: a line of JSON for each request, written behind its back.
//!
//! In: lines, from the threads that serve. Out: those lines in a file or a stream, some hundred at a
//! time. Fails: at the start, when the file cannot be opened; later a line that finds the buffer full or
//! cannot be written is dropped and counted, and the call knows nothing of it. Holds: a buffer of at
//! most [`MOST_BYTES`] behind a short lock, one task that empties it; the writing itself is done where
//! it may block. A file is opened anew on [`AccessLog::reopen`], so that it can be moved away.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use gateway::{Record, Wish};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::line;
use crate::config::AccessLog as Setting;
use crate::error::Error;

/// Lines that wait to be written: seconds of the busiest gateway.
const MOST_BYTES: usize = 8 << 20;
/// Lines gather for so long, or up to so many bytes, before they are written.
const GATHER: Duration = Duration::from_millis(100);
const ENOUGH: usize = 64 << 10;
/// At the end, a reader that takes nothing is not waited for any longer.
const LAST: Duration = Duration::from_secs(2);
/// What went wrong is told no more often.
const QUIET: Duration = Duration::from_mins(1);

/// Where the lines go.
#[derive(Debug)]
pub(in crate::serve) struct AccessLog {
    line: Arc<Buffer>,
    over: CancellationToken,
    task: Task,
}

/// What the threads that serve and the writer share.
#[derive(Debug, Default)]
pub(in crate::serve) struct Buffer {
    waiting: Mutex<Waiting>,
    begun: Notify,
    full: Notify,
    reopen: AtomicBool,
    dropped: AtomicU64,
    lines: AtomicU64,
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
}

impl AccessLog {
    /// Opens it; `None` when none is wanted.
    pub(in crate::serve) fn open(setting: &Setting) -> Result<Option<Self>, Error> {
        let target = match setting {
            Setting::Off => return Ok(None),
            Setting::Stdout => Target::Stdout,
            Setting::Stderr => Target::Stderr,
            Setting::File(path) => {
                let file = append(path).map_err(|source| Error::Write { path: path.clone(), source })?;
                Target::File(path.clone(), file)
            }
        };
        let (line, over) = (Arc::new(Buffer::default()), CancellationToken::new());
        let writer = Writer { line: Arc::clone(&line), target: Some(target), told: None };
        let task = tasks::spawn("access-log", writer.run(over.clone()));
        Ok(Some(Self { line, over, task }))
    }

    /// Where lines are put.
    pub(in crate::serve) fn buffer(&self) -> Arc<Buffer> {
        Arc::clone(&self.line)
    }

    /// The file may have been moved: the next lines go to a new one.
    pub(in crate::serve) fn reopen(&self) {
        self.line.reopen.store(true, Relaxed);
        self.line.begun.notify_one();
    }

    /// What has been said is still written, if that can be done soon.
    pub(in crate::serve) async fn end(self) {
        self.over.cancel();
        if tokio::time::timeout(LAST, self.task.join()).await.is_err() {
            tracing::warn!("the last lines of the access log were not taken");
        }
    }
}

/// Whether this request gets a line: what its caller wants comes before what is usual.
fn is_wanted(record: &Record<'_>) -> bool {
    const FAILED: u16 = 400;
    match record.wish {
        Wish::Off => false,
        Wish::Error => record.status >= FAILED || record.call.as_ref().is_some_and(|call| call.error.is_some()),
        Wish::Usual | Wish::Info | Wish::Debug => true,
    }
}

/// Writes the line of a request that asked for one where there is no access log: into the log of the process.
pub(in crate::serve) fn say(record: &Record<'_>) {
    if record.wish >= Wish::Info && tracing::enabled!(tracing::Level::INFO) {
        let mut bytes = Vec::new();
        line::write(&mut bytes, record);
        tracing::info!(line = %String::from_utf8_lossy(bytes.trim_ascii_end()), "request");
    }
}

impl Buffer {
    /// Takes the line of a request; never waits.
    pub(in crate::serve) fn note(&self, record: &Record<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        if !is_wanted(record) {
            return;
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            line::write(line, record);
            self.put(line);
        });
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.bytes.len();
        if before + line.len() > MOST_BYTES {
            drop(waiting);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if before == 0 {
            self.begun.notify_one();
        } else if before < ENOUGH && before + line.len() >= ENOUGH {
            self.full.notify_one();
        }
    }

    /// Lines that were written and lines that were lost.
    pub(in crate::serve) fn counts(&self) -> (u64, u64) {
        (self.lines.load(Relaxed), self.dropped.load(Relaxed))
    }
}

/// The other end of the buffer.
struct Writer {
    line: Arc<Buffer>,
    /// Away while it is being written to.
    target: Option<Target>,
    told: Option<std::time::Instant>,
}

enum Target {
    Stdout,
    Stderr,
    File(PathBuf, File),
}

impl Writer {
    async fn run(mut self, over: CancellationToken) {
        let mut spare = Waiting::default();
        loop {
            let last = tokio::select! {
                () = self.line.begun.notified() => false,
                () = over.cancelled() => true,
            };
            if !last {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = self.line.full.notified() => {}
                    () = over.cancelled() => {}
                }
            }
            spare = self.empty(spare).await;
            if last {
                return;
            }
        }
    }

    /// Writes what lies in the buffer and leaves `spare` in its place.
    async fn empty(&mut self, spare: Waiting) -> Waiting {
        let mut taken = std::mem::replace(&mut *self.line.waiting.lock().unwrap_or_else(PoisonError::into_inner), spare);
        let anew = self.line.reopen.swap(false, Relaxed);
        let Some(mut target) = self.target.take() else { return taken };
        let work = move || {
            let reopened = if anew { target.reopen() } else { Ok(()) };
            let written = target.write(&taken.bytes);
            taken.bytes.clear();
            taken.bytes.shrink_to(ENOUGH * 2);
            (target, taken, reopened.and(written))
        };
        let Some((target, mut taken, outcome)) = tasks::blocking("access-log", work).await else { return Waiting::default() };
        self.target = Some(target);
        let lines = std::mem::take(&mut taken.lines);
        match outcome {
            Ok(()) => self.line.lines.fetch_add(lines, Relaxed),
            Err(error) => {
                self.tell(&error);
                self.line.dropped.fetch_add(lines, Relaxed)
            }
        };
        taken
    }

    fn tell(&mut self, error: &io::Error) {
        if self.told.is_none_or(|at| at.elapsed() > QUIET) {
            self.told = Some(std::time::Instant::now());
            tracing::error!(%error, "the access log cannot be written; lines are lost");
        }
    }
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File(_, file) => file.write_all(bytes),
        }
    }
    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File(path, file) = self {
            *file = append(path)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    const MODE: u32 = 0o640; // addresses of clients stand in it
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests;
