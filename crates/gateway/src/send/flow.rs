//! The body of a reply together with the connection that it comes over.
//!
//! In: a reply as it begins. Out: its bytes, when they are asked for. Fails: as the connection does. Holds: the connection, or
//! a place on one: dropping the flow before its end closes the one and resets the stream on the other, there and then,
//! which is how an engine learns that its caller has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use super::connect::Cause;
use super::link::Link;
use super::pool::Place;
use super::target::Target;

/// A reply's bytes.
#[derive(Debug)]
pub(crate) struct Flow(Over);

/// What it comes over.
#[derive(Debug)]
enum Over {
    /// A link of its own, and where that goes once the reply has been read.
    Link(Link, Home),
    /// A place among others, held for as long as the reply runs.
    Line(Incoming, #[expect(dead_code, reason = "it is held, and given back by its drop")] Place),
}

/// Where a link goes once its reply has been read.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) target: Arc<Target>,
    pub(super) most: usize,
}

impl Flow {
    /// Over a link.
    pub(super) fn by_link(link: Link, home: Home) -> Self {
        Self(Over::Link(link, home))
    }

    /// On a line.
    pub(super) fn by_line(body: Incoming, place: Place) -> Self {
        Self(Over::Line(body, place))
    }

    /// The next bytes; `None` at the end of the reply.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cause>>> {
        match &mut self.0 {
            Over::Link(link, _) => link.poll_data(cx).map(|data| data.map(|data| data.map_err(Cause::from))),
            Over::Line(body, _) => poll_frames(body, cx),
        }
    }

    /// The next bytes, to be awaited.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Cause>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All that matters has been read: the connection is kept for the next call. The few bytes that
    /// end the reply may still be on their way; whoever takes the connection looks for them.
    pub(crate) fn keep(self) {
        if let Over::Link(link, home) = self.0
            && link.may_last()
        {
            home.target.pool.put(link, home.most);
        }
    }
}

fn poll_frames(body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cause>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) if bytes.is_empty() => {}
            Some(Ok(Ok(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        }
    }
}
