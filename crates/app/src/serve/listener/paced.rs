//! Clients have to send what they have announced.
//!
//! In: the body of a request. Out: the same, ended with [`TooSlow`] when nothing of it comes for a while, or too little of it for a longer one: what
//! its call holds comes back. Only the time that somebody waited for it counts, not the time that it waited to be read. Holds: a timer
//! while nothing comes.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway::TooSlow;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::lost::{Lost, Why};

/// How a body has to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Nothing may come for so long; and so much waiting is free before the rate counts.
    pub(super) silence: Duration,
    /// Bytes a second, over all of the time that was waited for them.
    pub(super) rate: u64,
}

/// A body that has to come at some pace.
#[derive(Debug)]
pub(crate) struct Paced {
    body: Incoming,
    pace: Pace,
    received: u64,
    waited: Duration,
    since: Option<Instant>,
    late: Option<Pin<Box<Sleep>>>,
    lost: Arc<Lost>,
}

impl Paced {
    pub(super) fn new(body: Incoming, pace: Pace, lost: &Arc<Lost>) -> Self {
        Self { body, pace, received: 0, waited: Duration::ZERO, since: None, late: None, lost: Arc::clone(lost) }
    }

    /// Whether it is to be waited for any longer.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let (first, until) = (self.since.is_none(), *self.since.get_or_insert(now) + self.pace.silence);
        let timer = self.late.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if first {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    fn too_slow(&self) -> Box<dyn Error + Send + Sync> {
        self.lost.count(Why::SlowBody);
        TooSlow { waited: self.waited.max(self.pace.silence) }.into()
    }

    fn is_slow(&self) -> bool {
        let Some(counted) = self.waited.checked_sub(self.pace.silence) else { return false };
        u128::from(self.received) * 1000 < u128::from(self.pace.rate) * counted.as_millis()
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return if self.is_late(cx) { Poll::Ready(Some(Err(self.too_slow()))) } else { Poll::Pending };
        };
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(Some(if self.is_slow() { Err(self.too_slow()) } else { Ok(frame) }))
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
