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

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::Request;
use hyper::service::Service;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::Answers;
use super::taken::{Requests, Running, Taken};
use head::Head;
use out::Out;

/// What is read at once.
const READ: usize = 64 << 10;
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
    /// Something else has come, and can be read again.
    Other,
}

/// Serves the connection as long as its requests are plain.
pub(super) async fn serve<S: Answers>(io: &mut Taken, service: &S, requests: &Arc<Requests>, close: &CancellationToken) -> Then {
    let mut road = Road { io, buffer: BytesMut::new() };
    let mut closed = pin!(close.cancelled());
    loop {
        match road.next(service, closed.as_mut()).await {
            Err(Then::Over) => return Then::Over,
            Err(Then::Other) => {
                road.io.put_back(road.buffer.freeze());
                return Then::Other;
            }
            Ok(request) => {
                let _running = Running::begin(requests);
                match road.answer(service, request, close).await {
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

/// A connection and what has come of its next request.
struct Road<'a> {
    io: &'a mut Taken,
    buffer: BytesMut,
}

impl Road<'_> {
    /// The next request, or what becomes of the connection.
    async fn next<S: Answers>(
        &mut self,
        service: &S,
        mut closed: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Result<Request<Full<Bytes>>, Then> {
        if self.buffer.is_empty() {
            let more = std::future::poll_fn(|cx| match closed.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(0)),
                Poll::Pending => self.poll_more(cx),
            });
            if !more.await.is_ok_and(|bytes| bytes > 0) {
                return Err(Then::Over);
            }
        }
        match Head::read(&mut self.buffer, |path| service.is_plain(path)) {
            Some(head) => self.body(head).await,
            None => Err(Then::Other),
        }
    }

    async fn body(&mut self, head: Head) -> Result<Request<Full<Bytes>>, Then> {
        while self.buffer.len() < head.length {
            let more = timeout(PATIENCE, std::future::poll_fn(|cx| self.poll_more(cx))).await;
            if !more.is_ok_and(|more| more.is_ok_and(|bytes| bytes > 0)) {
                self.buffer = head.before(&self.buffer);
                return Err(Then::Other);
            }
        }
        let body = self.buffer.split_to(head.length).freeze();
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

    /// The client has gone: it says no more. One that has asked for more already may have said all, and gets its answers.
    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        self.buffer.is_empty() && matches!(self.poll_more(cx), Poll::Ready(Ok(0) | Err(_)))
    }

    /// Has the request answered; whether another may follow. A client that leaves drops what is done for it.
    async fn answer<S: Answers>(&mut self, service: &S, request: Request<Full<Bytes>>, close: &CancellationToken) -> io::Result<bool> {
        let response = {
            let mut answer = pin!(Service::<Request<Full<Bytes>>>::call(service, request));
            std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
                Poll::Pending if self.has_left(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        let Some(response) = response else { return Ok(false) };
        let last = close.is_cancelled();
        let mut out = Out::new(response, last);
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
                return Poll::Ready(Ok(()));
            } else if self.has_left(cx) {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            } else {
                out.rest();
                return Poll::Pending;
            }
        }
    }
}
