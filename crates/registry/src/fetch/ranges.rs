//! When do several connections pay, and how do their bytes come into one order?
//!
//! In: a file whose length is known. Out: its bytes, appended in order. Fails: when one range fails; what came before it stays. Holds:
//! a task for each range that is under way, and of all of them together at most [`WINDOW`] bytes that have come and are not yet appended:
//! the next range is asked for when the first of them is.

use std::collections::VecDeque;

use base::tasks::{self, Task};
use blobs::Part;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::file::{Origin, Visit, continues, is_other_state, refused};
use super::plan::Wanted;
use crate::error::Error;
use crate::registry::Registry;

/// What comes again at most after a kill, where several connections bring a file: what they have under way, and what is appended and not
/// yet noted.
#[cfg(test)]
pub(super) const CHUNK: u64 = WINDOW + blobs::CHUNK;
/// Under way at one time.
const WINDOW: u64 = 24 << 20;
/// Of a shorter rest one connection brings as much.
const PAYS_FROM: u64 = 2 * WINDOW;
/// Pieces of one range that wait to be appended; then its connection waits too.
const MOST_PIECES: usize = 256;

/// Whether several connections bring more than one.
pub(super) fn pay(visit: &Visit<'_>, part: &Part) -> bool {
    let left = visit.origin.wanted.size.unwrap_or(0).saturating_sub(part.offset());
    let is_known = visit.origin.wanted.digest.is_some() || !visit.origin.wanted.version.is_empty();
    visit.origin.connections() > 1 && left >= PAYS_FROM && is_known
}

/// Asks for the rest in ranges, side by side, and appends them in their order.
pub(super) async fn bring(visit: &mut Visit<'_>, part: &mut Part) -> Result<(), Error> {
    let (connections, total) = (visit.origin.connections(), visit.origin.wanted.size.unwrap_or(0));
    let (origin, step) = (visit.origin, (WINDOW / connections as u64).max(1));
    let first = part.offset();
    let mut ranges = (0..).map(|n| first + n * step).take_while(|at| *at < total).map(|at| origin.begin(at, total.min(at + step)));
    let mut under_way: VecDeque<Range> = ranges.by_ref().take(connections).collect();
    while let Some(mut range) = under_way.pop_front() {
        while let Some(piece) = range.pieces.recv().await {
            visit.take(part, piece?).await?;
        }
        if part.offset() != range.end {
            return Err(Error::Stopped); // its task was lost, and said so in the log
        }
        under_way.extend(ranges.next());
    }
    Ok(())
}

/// A part of the file on its way, in a task of its own, so that bytes come while others are hashed.
struct Range {
    end: u64,
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    _task: Task,
}

impl Origin<'_> {
    fn connections(self) -> usize {
        self.registry.inner.config.fetching.connections.max(1)
    }

    fn begin(self, from: u64, end: u64) -> Range {
        let (registry, wanted) = (self.registry.clone(), self.wanted.clone());
        let (tell, pieces) = mpsc::channel(MOST_PIECES);
        let task = tasks::spawn("range", async move {
            if let Err(error) = range(&registry, &wanted, (from, end), &tell).await {
                drop(tell.send(Err(error)).await); // who gave up wants no reasons
            }
        });
        Range { end, pieces, _task: task }
    }
}

async fn range(
    registry: &Registry,
    wanted: &Wanted,
    (from, end): (u64, u64),
    tell: &mpsc::Sender<Result<Bytes, Error>>,
) -> Result<(), Error> {
    let mut reply = Origin { registry, wanted }.ask(Some(format!("bytes={from}-{}", end - 1))).await?;
    if !reply.status.is_success() {
        return Err(refused(&reply, &wanted.shown(), wanted.token.as_ref()));
    }
    if wanted.state().is_some_and(|state| is_other_state(&reply, state)) || !continues(&reply, from, &wanted.shown())? {
        return Err(Error::Moved { url: wanted.shown() });
    }
    let mut at = from;
    while let Some(piece) = reply.chunk().await? {
        at += piece.len() as u64;
        if at > end {
            break;
        }
        if tell.send(Ok(piece)).await.is_err() {
            return Ok(()); // nobody wants it any more
        }
    }
    if at == end { Ok(()) } else { Err(Error::Moved { url: wanted.shown() }) }
}
