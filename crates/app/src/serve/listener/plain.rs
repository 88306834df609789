//! The plain road: calls that ask for nothing unusual are read and answered without a framework.
//!
//! In: a connection, who answers. Out: the answers to `POST`s of the paths by which models are called, with a head that says nothing
//! special and a small body that comes with it. All else goes to hyper, with every byte that has come, and stays there: this road refuses
//! nothing, so that there is one place that knows how to. Fails: the connection, when its client hangs up or takes nothing. Holds:
//! the bytes of one request; between requests, and while a stream waits, next to nothing. Why: the buffers of a server for everything
//! are most of what a waiting stream holds (25 KB beside 10). It saves hardly any CPU.

mod head;
mod out;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::Full;
use hyper::Request;
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::Answers;
use super::taken::{Requests, Running};
use head::Head;
use out::Out;

/// What is read at once.
const READ: usize = 64 << 10;
/// What of the next requests is read while one is answered.
const AHEAD: usize = 16 << 10;
/// A body that is not there with its head, or just after it, is one to be read as it comes.
const PATIENCE: Duration = Duration::from_millis(100);

thread_local! {
    /// Where all connections of a thread read to.
    static PLACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// What becomes of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is over.
    Over,
    /// Something else has come: these bytes.
    Other(Bytes),
}

/// What the road goes by.
#[derive(Debug)]
pub(super) struct By<'a, S> {
    /// Who answers.
    pub(super) service: &'a S,
    pub(super) requests: &'a Arc<Requests>,
    pub(super) close: &'a CancellationToken,
    /// Lines of the head that every answer has.
    pub(super) lines: &'static [u8],
}

/// Serves the connection as long as its requests are plain.
pub(super) async fn serve<IO: AsyncRead + AsyncWrite + Unpin, S: Answers>(io: &mut IO, by: By<'_, S>) -> Then {
    let mut road = Road { io, buffer: BytesMut::new() };
    let mut closed = pin!(by.close.cancelled());
    loop {
        match road.next(by.service, closed.as_mut()).await {
            Err(Next::Over) => return Then::Over,
            Err(Next::Other) => return Then::Other(road.buffer.freeze()),
            Ok(request) => {
                let _running = Running::begin(by.requests);
                match road.answer(&by, request).await {
                    Ok(true) => {}
                    Ok(false) => return Then::Over,
                    Err(error) => {
                        tracing::debug!(%error, "a connection ended early");
                        return Then::Over;
                    }
                }
            }
        }
    }
}

/// Why there is no next request.
enum Next {
    Over,
    /// It is not plain; what has come of it stays in the buffer.
    Other,
}

/// A connection and what has come of its next request.
struct Road<'a, IO> {
    io: &'a mut IO,
    buffer: BytesMut,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Road<'_, IO> {
    /// The next request, or what becomes of the connection.
    async fn next<S: Answers>(
        &mut self,
        service: &S,
        mut closed: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Result<Request<Full<Bytes>>, Next> {
        while self.buffer.is_empty() {
            let more = std::future::poll_fn(|cx| match closed.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(0)),
                Poll::Pending => self.poll_more(cx),
            });
            if !more.await.is_ok_and(|bytes| bytes > 0) {
                return Err(Next::Over);
            }
            self.skip_line_ends();
        }
        match Head::read(&mut self.buffer, |path| service.is_plain(path)) {
            Some(head) => self.body(head).await,
            None => Err(Next::Other),
        }
    }

    async fn body(&mut self, head: Head) -> Result<Request<Full<Bytes>>, Next> {
        while self.buffer.len() < head.length {
            let more = timeout(PATIENCE, std::future::poll_fn(|cx| self.poll_more(cx))).await;
            if !more.is_ok_and(|more| more.is_ok_and(|bytes| bytes > 0)) {
                self.buffer = head.before(&self.buffer);
                return Err(Next::Other);
            }
        }
        let body = self.buffer.split_to(head.length).freeze();
        self.skip_line_ends();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new(); // the body keeps the memory, not the connection
        }
        Ok(head.request(Full::new(body)))
    }

    /// Reads once; how much.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        PLACE.with_borrow_mut(|place| {
            let mut into = ReadBuf::new(place);
            ready!(Pin::new(&mut *self.io).poll_read(cx, &mut into))?;
            self.buffer.extend_from_slice(into.filled());
            Poll::Ready(Ok(into.filled().len()))
        })
    }

    /// Line ends before a request say nothing (RFC 9112, section 2.2); some clients send one behind a body.
    fn skip_line_ends(&mut self) {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
    }

    /// The client has gone: it says no more. One that has asked for more already may have said all, and gets its answers, unless
    /// its connection broke. What it says meanwhile is kept for the next request, up to a bound, so that its end is seen behind it.
    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        while self.buffer.len() < AHEAD {
            match self.poll_more(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0)) => return memchr::memmem::find(&self.buffer, head::END).is_none(),
                Poll::Ready(Ok(_)) => self.skip_line_ends(),
                Poll::Ready(Err(_)) => return true,
            }
        }
        false
    }

    /// Has the request answered; whether another may follow. A client that leaves drops what is done for it.
    async fn answer<S: Answers>(&mut self, by: &By<'_, S>, request: Request<Full<Bytes>>) -> io::Result<bool> {
        let response = {
            let mut answer = pin!(Service::<Request<Full<Bytes>>>::call(by.service, request));
            std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
                Poll::Pending if self.has_left(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        let Some(response) = response else { return Ok(false) };
        let last = by.close.is_cancelled();
        let mut out = Out::new(response, by.lines, last);
        std::future::poll_fn(|cx| self.poll_out(&mut out, cx)).await?;
        Ok(!last)
    }

    /// Writes what there is of the answer, and asks for more of it, until all of it is out.
    fn poll_out(&mut self, out: &mut Out, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waits = false; // it has been asked, and nothing has changed since
        loop {
            if !waits {
                match out.fill(cx) {
                    Poll::Ready(filled) => filled?,
                    Poll::Pending => waits = true,
                }
            }
            if let Some(bytes) = out.next() {
                let written = ready!(Pin::new(&mut *self.io).poll_write(cx, bytes))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                out.wrote(written);
            } else if !waits {
                return Pin::new(&mut *self.io).poll_flush(cx);
            } else if matches!(Pin::new(&mut *self.io).poll_flush(cx), Poll::Ready(Err(_))) || self.has_left(cx) {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            } else {
                out.rest();
                return Poll::Pending;
            }
        }
    }
}
