//! One HTTP/1.1 connection to an engine, driven by whoever uses it.
//!
//! In: a byte pipe. Out: replies and their bytes. Fails: as hyper does. Holds: the connection and
//! no task: hyper's connection is a future, and it is polled from inside the reply that it carries.
//! So a relay costs no task and no channel of ours, and dropping the reply closes the pipe there
//! and then, which is how an engine learns that its caller has gone.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::rt::{Read, Write};
use hyper::{Request, Response};

use super::pieces::Pieces;

/// Bytes both ways.
pub(super) trait Pipe: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Pipe for T {}

pub(super) type Driver = Connection<Box<dyn Pipe>, Pieces>;

/// A connection that carries one call at a time.
pub(super) struct Link {
    sender: SendRequest<Pieces>,
    pub(super) driver: Option<Pin<Box<Driver>>>,
    /// The end of the last reply, where nobody waited for it.
    pub(super) tail: Option<Incoming>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// A call that got no reply.
#[derive(Debug)]
pub(super) struct Unsent {
    /// Why.
    pub(super) error: hyper::Error,
    /// True when not one byte of the call had been written.
    pub(super) untouched: bool,
}

impl Link {
    /// Speaks HTTP over the pipe.
    pub(super) async fn open(pipe: Box<dyn Pipe>) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::handshake(pipe).await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), tail: None })
    }

    /// Sends a call and waits for the head of its reply.
    pub(super) async fn exchange(&mut self, request: Request<Pieces>) -> Result<Response<Incoming>, Unsent> {
        let Self { sender, driver, .. } = self;
        let mut reply = pin!(sender.try_send_request(request));
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = reply.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            drive(driver, cx);
            reply.as_mut().poll(cx)
        });
        outcome.await.map_err(|mut failed| Unsent { untouched: failed.take_message().is_some(), error: failed.into_error() })
    }

    /// True when the other side has not hung up and the last reply has come to its end.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(tail) = &mut self.tail {
            if !matches!(poll_data(tail, &mut self.driver, &mut cx), Poll::Ready(None)) {
                return false;
            }
            self.tail = None;
        }
        drive(&mut self.driver, &mut cx);
        self.driver.is_some() && self.sender.is_ready() && !self.sender.is_closed()
    }
}

/// Lets the connection read and write; forgets it when it has ended.
fn drive(driver: &mut Option<Pin<Box<Driver>>>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && connection.as_mut().poll(cx).is_ready()
    {
        // The failure itself reaches the caller through the reply; here only the end matters.
        *driver = None;
    }
}

/// The next bytes of a reply; drives the connection when none lie ready.
pub(super) fn poll_data(
    body: &mut Incoming,
    driver: &mut Option<Pin<Box<Driver>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => {
                drive(driver, cx);
                ready!(Pin::new(&mut *body).poll_frame(cx))
            }
            Poll::Ready(frame) => frame,
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) if bytes.is_empty() => {}
            Some(Ok(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
}
