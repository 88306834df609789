//! The answer as a stream: pulled by the client's connection, one poll at a time.
//!
//! In: the engine's byte flow. Out: the body that hyper polls. Fails: inside the stream, with one
//! error event and no `[DONE]`. Holds: the flow, the lease and the account, and gives them back in
//! that order when the stream is over or dropped: the engine hears of it first, then the next in
//! line gets the slot, then the books are closed. No task, no channel.

use std::convert::Infallible;
use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use board::Lease;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wire::openai::Shape;
use wire::stream::Outcome;

use super::shaper::Shaper;
use super::whole::{next, put_right};
use super::{Held, Unsaid, said_in_stream};
use crate::Gateway;
use crate::account::Account;
use crate::call::Call;
use crate::clock::Clock;
use crate::error::Error;
use crate::send::{self, Flow};

/// A client's stream.
pub(super) struct Stream {
    flow: Option<Flow>,
    lease: Option<Lease>,
    shaper: Shaper,
    /// Nothing until the first event is there: a stream that does not come gives it back.
    account: Option<Box<Account>>,
    clock: Clock,
    out: Vec<Bytes>,
    timer: Pin<Box<Sleep>>,
    last_in: Instant,
    last_out: Instant,
    ping: Duration,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("shaper", &self.shaper).field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Stream {
    /// Reads up to the first event, so that a stream that fails before it gets a real status.
    pub(super) async fn begin(gateway: &Gateway, call: &Call, flow: Flow, held: Held) -> Result<Self, Unsaid> {
        let Held { lease, mut account, clock, .. } = held;
        let waited = lease.waited;
        let now = Instant::now();
        let mut stream = Self {
            flow: Some(flow),
            lease: Some(lease),
            shaper: Shaper::new(call, &account, waited),
            account: None,
            out: Vec::new(),
            timer: Box::pin(sleep_until(clock.first_by)),
            last_in: now,
            last_out: now,
            ping: gateway.config().keep_alive_comment,
            stop: Box::pin(gateway.stopping().ended()),
            clock,
        };
        match gateway.stopping().unless_ended(stream.first(call.ask.shape, &mut account)).await {
            Ok(()) => {
                account.first_byte_at(stream.last_in);
                stream.account = Some(account);
                if let Some(lease) = &stream.lease {
                    lease.began();
                }
                stream.last_out = stream.last_in;
                let due = stream.due();
                stream.timer.as_mut().reset(due);
                Ok(stream)
            }
            Err(error) => {
                stream.report(&error);
                account.note(stream.shaper.summary());
                Err(Unsaid { error, account })
            }
        }
    }

    async fn first(&mut self, shape: Shape, account: &mut Account) -> Result<(), Error> {
        let mut begun = false;
        while self.out.is_empty() && self.shaper.ended().is_none() {
            let Some(flow) = &mut self.flow else { return Err(wire::Error::Cut.into()) };
            match next(&self.clock, flow, true).await? {
                Some(bytes) if begun => self.take(&bytes, account)?,
                Some(bytes) => {
                    begun = true;
                    let bytes = put_right(flow, &self.clock, shape, bytes).await?;
                    self.take(&bytes, account)?;
                }
                None => self.end(account),
            }
        }
        match (self.shaper.ended(), self.out.first()) {
            (Some(Outcome::Failed), Some(event)) if self.out.len() == 1 => Err(said_in_stream(event)),
            (Some(Outcome::Cut), None) => Err(wire::Error::Cut.into()),
            _ => Ok(()),
        }
    }

    /// Bytes from the engine.
    fn take(&mut self, bytes: &Bytes, account: &mut Account) -> Result<(), Error> {
        let now = Instant::now();
        self.last_in = now;
        let Self { shaper, out, .. } = self;
        account.working_since(now, || shaper.push(bytes, out))?;
        if self.shaper.ended().is_some() {
            self.close(account);
        }
        Ok(())
    }

    /// The engine has closed its stream.
    fn end(&mut self, account: &mut Account) {
        self.shaper.finish(&mut self.out);
        self.close(account);
    }

    /// Nothing more will be asked of the engine; what has been said stands in the account.
    fn close(&mut self, account: &mut Account) {
        account.note(self.shaper.summary());
        match self.shaper.ended() {
            Some(Outcome::Done) => account.completed(),
            Some(Outcome::Failed) => account.failed_upstream(),
            Some(Outcome::Cut) if !self.out.is_empty() || account.has_begun() => self.fail(&wire::Error::Cut.into(), account),
            Some(Outcome::Cut) | None => {}
        }
    }

    /// The last words of a stream that broke.
    fn fail(&mut self, error: &Error, account: &mut Account) {
        self.flow = None;
        account.note(self.shaper.summary());
        account.failed(error);
        self.report(error);
        self.out.push(self.shaper.error_event(error));
        self.shaper.broken();
    }

    fn report(&self, error: &Error) {
        if let Some(lease) = &self.lease {
            send::report(lease, error);
        }
    }

    /// What lies ready for the client, in one piece.
    fn ready(&mut self) -> Option<Bytes> {
        let bytes = match self.out.as_mut_slice() {
            [] => return None,
            [one] => std::mem::take(one),
            many => {
                let mut joined = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                for bytes in many {
                    joined.extend_from_slice(bytes);
                }
                joined.freeze()
            }
        };
        self.out.clear();
        self.last_out = self.last_in.max(self.last_out);
        Some(bytes)
    }

    /// What comes next for the client.
    fn poll(&mut self, cx: &mut Context<'_>, account: &mut Account) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready() {
                return Poll::Ready(Some(bytes));
            }
            if !ready!(self.step(cx, account)) {
                self.let_go();
                return Poll::Ready(None);
            }
        }
    }

    /// Takes one step; `false` when there is nothing more to wait for.
    fn step(&mut self, cx: &mut Context<'_>, account: &mut Account) -> Poll<bool> {
        if self.shaper.ended().is_some() {
            return Poll::Ready(false);
        }
        let Some(flow) = &mut self.flow else { return Poll::Ready(false) };
        match flow.poll_next(cx) {
            Poll::Ready(Some(Ok(bytes))) if self.last_in < self.clock.total_by => {
                if let Err(error) = self.take(&bytes, account) {
                    self.fail(&error, account);
                }
            }
            Poll::Ready(Some(Ok(_))) => self.fail(&Error::TotalTimeout, account),
            // All has been said: how the connection ends does not matter any more.
            Poll::Ready(Some(Err(_))) if self.shaper.summary().is_finished() => self.end(account),
            Poll::Ready(Some(Err(source))) => self.fail(&Error::Broken { source }, account),
            Poll::Ready(None) => self.end(account),
            Poll::Pending if self.stop.as_mut().poll(cx).is_ready() => self.fail(&Error::Stopping, account),
            Poll::Pending => ready!(self.tick(cx, account)),
        }
        Poll::Ready(true)
    }

    /// The timer is not set anew for each token: when it rings, it is seen whether anything is due.
    fn tick(&mut self, cx: &mut Context<'_>, account: &mut Account) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= self.clock.total_by || now >= self.last_in + self.clock.idle {
                let error = self.clock.late(false);
                self.fail(&error, account);
                return Poll::Ready(());
            }
            if now >= self.last_out + self.ping {
                self.last_out = now;
                self.out.extend(self.shaper.comment());
            }
            let due = self.due();
            self.timer.as_mut().reset(due);
            if !self.out.is_empty() {
                return Poll::Ready(());
            }
        }
    }

    fn due(&self) -> Instant {
        (self.last_in + self.clock.idle).min(self.clock.total_by).min(self.last_out + self.ping)
    }

    /// Gives back what the call held; the engine hears of it first.
    fn let_go(&mut self) {
        if let Some(flow) = self.flow.take()
            && self.shaper.ended() == Some(Outcome::Done)
        {
            flow.keep();
        }
        self.lease = None;
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut account) = self.account.take() else { return Poll::Ready(None) };
        let polled = self.poll(cx, &mut account);
        self.account = Some(account);
        polled.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.let_go();
        if let Some(account) = &mut self.account {
            account.note(self.shaper.summary());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_stream_itself_holds_is_little_beside_its_two_connections() {
        const MOST: usize = 2 << 10;
        let size = size_of::<super::Stream>();
        assert!(size <= MOST, "{size} bytes");
    }
}
