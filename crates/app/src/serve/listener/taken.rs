//! Clients have to take what is sent to them.
//!
//! In: a connection; the streams of an HTTP/2 connection. Out: the same, ended when a client has taken nothing for a while:
//! whatever its call held, a slot above all, comes back. And a connection on which no request begins or runs is
//! closed. Fails: the connection, with "timed out". Holds: a timer that rings twice a minute, whatever the number of
//! requests, and another one while a client is not taking anything.
//!
//! A connection that is full is seen where it is written to. A stream of HTTP/2 may stand still on a connection that moves, and
//! nothing asks its body anything then; so its body notes when it has handed something out and not been asked again.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base::tasks;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::lost::{Lost, Why};

/// The requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// One that runs.
#[derive(Debug)]
pub(super) struct Running(Arc<Requests>);

impl Running {
    /// It begins.
    pub(super) fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Relaxed);
        requests.running.fetch_add(1, Relaxed);
        Self(Arc::clone(requests))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// How long a client may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// It takes nothing of what it is sent.
    pub(super) write: Duration,
    /// The head of a request must be here after one to two of these, and a connection is not kept for longer without one.
    pub(super) head: Duration,
}

/// A connection whose client must ask and take something from time to time.
#[derive(Debug)]
pub(super) struct Taken {
    stream: TcpStream,
    patience: Patience,
    late: Option<Pin<Box<Sleep>>>,
    requests: Arc<Requests>,
    lost: Arc<Lost>,
    /// Those that had begun when the timer last rang.
    seen: usize,
    idle: Option<Pin<Box<Sleep>>>,
    /// It has been counted as lost.
    is_lost: bool,
}

impl Taken {
    /// A client that does nothing for so long is let go.
    pub(super) fn new(stream: TcpStream, patience: Patience, (requests, lost): (Arc<Requests>, Arc<Lost>)) -> Self {
        Self { stream, patience, late: None, requests, lost, seen: 0, idle: None, is_lost: false }
    }

    /// Whether nothing has been asked for too long.
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        let head = self.patience.head;
        let timer = self.idle.get_or_insert_with(|| Box::pin(sleep(head)));
        while timer.as_mut().poll(cx).is_ready() {
            let begun = self.requests.begun.load(Relaxed);
            if self.requests.running.load(Relaxed) == 0 && begun == std::mem::replace(&mut self.seen, begun) {
                // One that has asked before is only not needed any more.
                if begun == 0 {
                    self.give_up(Why::SlowHead);
                }
                return true;
            }
            timer.as_mut().reset(Instant::now() + head);
        }
        false
    }

    /// Once, however often it is asked for afterwards.
    fn give_up(&mut self, why: Why) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.lost.count(why);
        }
    }

    fn written(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = outcome {
            self.late = None;
            // The system has the same limit for a client whose machine has vanished, and may be faster.
            if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                self.give_up(Why::SlowReader);
            }
            return Poll::Ready(done);
        }
        let limit = self.patience.write;
        ready!(self.late.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        self.give_up(Why::SlowReader);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Taken {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if polled.is_pending() && self.is_idle(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Taken {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, outcome)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(cx, outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

tokio::task_local! {
    /// Since when the client of this stream has not asked for more.
    static FULL: Arc<Full>;
}

#[derive(Debug, Default)]
struct Full(Mutex<Option<Instant>>);

impl Full {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that notes whether it is asked, and that its request runs.
#[derive(Debug)]
pub(super) struct Asked<B> {
    body: B,
    _running: Running,
}

impl<B> Asked<B> {
    /// The body of this request's answer.
    pub(super) fn new(body: B, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl<B: Body + Unpin> Body for Asked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Outside of HTTP/2 nobody looks.
        let _ = FULL.try_with(|full| *full.since() = polled.is_ready().then(Instant::now));
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the streams of HTTP/2 connections, each until its client takes nothing any more.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) limit: Duration,
    pub(super) lost: Arc<Lost>,
}

impl<F: Future + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (limit, lost) = (self.limit, Arc::clone(&self.lost));
        let run = async move {
            if !while_taken(stream, limit).await {
                lost.count(Why::SlowReader);
            }
        };
        tasks::spawn("stream", run).detach();
    }
}

/// False when its client took nothing any more.
async fn while_taken<F: Future>(stream: F, limit: Duration) -> bool {
    let full = Arc::new(Full::default());
    let mut stream = pin!(FULL.scope(Arc::clone(&full), stream));
    let mut late: Option<(Instant, Pin<Box<Sleep>>)> = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let Some(since) = *full.since() else {
            late = None;
            return Poll::Pending;
        };
        if late.as_ref().is_none_or(|(then, _)| *then != since) {
            late = Some((since, Box::pin(sleep_until(since + limit))));
        }
        match &mut late {
            Some((_, timer)) => timer.as_mut().poll(cx).map(|()| false),
            None => Poll::Pending,
        }
    })
    .await
}
