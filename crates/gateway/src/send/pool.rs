//! Connections to one instance that are open: idle ones that carry one call at a time, and ones that carry many.
//!
//! In: links whose reply was read to its end; lines (HTTP/2) as they are opened. Out: the link used last, if it still lives;
//! a place on a line. Holds: no more links than the instance has slots, none for longer than [`IDLE`]; lines as long as
//! they are used, and for [`REST`] after that; short locks.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http2::SendRequest;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::link::Link;
use super::pieces::Pieces;

/// An idle connection holds a thread of llama-server, which hangs up after 5 s: we let go before that.
const IDLE: Duration = Duration::from_secs(4);
/// A line that nobody has used for so long is closed.
const REST: Duration = Duration::from_mins(1);
/// Calls on one line, whatever the server allows: a lost packet holds them all up.
const MOST_ON_A_LINE: usize = 100;

/// The idle links of an instance.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    /// A connection that was alive a moment ago, and that moment.
    pub(super) fn take(&self) -> Option<(Link, Instant)> {
        loop {
            let idle = self.lock().pop()?;
            let (mut link, now) = (idle.link, Instant::now());
            if now.saturating_duration_since(idle.since) < IDLE && link.is_idle() {
                return Some((link, now));
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(&self, link: Link, most: usize) {
        let since = Instant::now();
        let mut idle = self.lock();
        if idle.len() < most {
            idle.push(Idle { link, since });
        }
    }

    /// Lets go of all that nobody took for too long.
    pub(super) fn let_go(&self) {
        let now = Instant::now();
        let mut idle = self.lock();
        let old = idle.iter().take_while(|idle| now.duration_since(idle.since) >= IDLE).count(); // the oldest come first
        let gone: Vec<Idle> = idle.drain(..old).collect();
        drop(idle);
        drop(gone); // closing is a call of the system's, and no work for under a lock
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that carries many calls.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sender: SendRequest<Pieces>,
    /// Calls that the server takes at once on it; the connection's task keeps it true.
    pub(super) room: AtomicUsize,
    calls: AtomicUsize,
    last: Mutex<Instant>,
}

impl Line {
    /// Nobody uses it yet.
    pub(super) fn new(sender: SendRequest<Pieces>, room: usize) -> Self {
        Self { sender, room: AtomicUsize::new(room), calls: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a line; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place(Arc<Line>);

impl Place {
    /// For this place's call.
    pub(super) fn sender(&self) -> SendRequest<Pieces> {
        self.0.sender.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Relaxed);
        *self.0.last() = Instant::now();
    }
}

/// The lines to an instance.
#[derive(Debug)]
pub(super) struct Lines {
    open: Mutex<Vec<Arc<Line>>>,
    /// One is opened at a time: a thousand callers do not open a thousand.
    opening: Semaphore,
}

impl Default for Lines {
    fn default() -> Self {
        Self { open: Mutex::default(), opening: Semaphore::new(1) }
    }
}

impl Lines {
    /// A place on the first line that has room.
    pub(super) fn take(&self) -> Option<Place> {
        let mut open = self.lock();
        open.retain(|line| !line.sender.is_closed());
        // Under the lock, so that nobody takes what is counted here.
        let free = |line: &&Arc<Line>| line.calls.load(Relaxed) < line.room.load(Relaxed).min(MOST_ON_A_LINE);
        let line = Arc::clone(open.iter().find(free)?);
        line.calls.fetch_add(1, Relaxed);
        Some(Place(line))
    }

    /// The right to open one.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.opening.acquire().await.ok() // it is never closed
    }

    /// One more line, and the first place on it.
    pub(super) fn put(&self, line: Arc<Line>) -> Place {
        line.calls.fetch_add(1, Relaxed);
        self.lock().push(Arc::clone(&line));
        Place(line)
    }

    /// Closes those that nobody has used for long.
    pub(super) fn let_go(&self) {
        let now = Instant::now();
        self.lock().retain(|line| line.calls.load(Relaxed) > 0 || now.duration_since(*line.last()) < REST);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
