//! When do several connections pay, and how do their bytes come into one order?
//!
//! In: a file whose length is known. Out: its bytes, appended in order. Fails: when one range fails; what came before it stays. Holds:
//! a window of at most [`WINDOW`] bytes that have come and not yet been written: what a sudden end can cost.

use std::pin::pin;

use blobs::Part;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};

use super::file::{Origin, Visit, continues, is_other_state, refused};
use crate::error::Error;

/// One chunk: what is under way at one time, and what comes again at most after a kill.
const WINDOW: u64 = 32 << 20;
/// Of a shorter rest one connection brings as much.
const PAYS_FROM: u64 = 64 << 20;

/// Whether several connections bring more than one.
pub(super) fn pay(visit: &Visit<'_>, part: &Part) -> bool {
    let left = visit.origin.wanted.size.unwrap_or(0).saturating_sub(part.offset());
    let is_known = visit.origin.wanted.digest.is_some() || !visit.origin.wanted.version.is_empty();
    visit.origin.connections() > 1 && left >= PAYS_FROM && is_known
}

/// Asks for the rest in ranges, side by side, and appends them in their order.
pub(super) async fn bring(visit: &mut Visit<'_>, part: &mut Part) -> Result<(), Error> {
    let (connections, total) = (visit.origin.connections(), visit.origin.wanted.size.unwrap_or(0));
    let step = WINDOW / connections as u64;
    let first = part.offset();
    let starts = (0..).map(|n| first + n * step).take_while(|at| *at < total);
    let origin = visit.origin;
    let came = stream::iter(starts).map(|at| origin.range(at, total.min(at + step))).buffered(connections);
    let mut came = pin!(came);
    while let Some(bytes) = came.next().await {
        visit.take(part, bytes?).await?;
    }
    Ok(())
}

impl Origin<'_> {
    fn connections(self) -> usize {
        self.registry.inner.config.fetching.connections.max(1)
    }

    async fn range(self, from: u64, to: u64) -> Result<Bytes, Error> {
        let wanted = self.wanted;
        let mut reply = self.ask(Some(format!("bytes={from}-{}", to - 1))).await?;
        if !reply.status.is_success() {
            return Err(refused(&reply, &wanted.shown(), wanted.token.as_ref()));
        }
        if !continues(&reply, from) || wanted.state().is_some_and(|state| is_other_state(&reply, state)) {
            return Err(Error::Moved { url: wanted.shown() });
        }
        let len = usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut all = BytesMut::with_capacity(len);
        while let Some(bytes) = reply.chunk().await? {
            all.extend_from_slice(&bytes);
            if all.len() > len {
                return Err(Error::Moved { url: wanted.shown() });
            }
        }
        if all.len() < len { Err(Error::Moved { url: wanted.shown() }) } else { Ok(all.freeze()) }
    }
}
