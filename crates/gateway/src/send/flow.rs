//! The body of a reply together with the connection that it comes over.
//!
//! In: a reply as it begins. Out: its bytes, when they are asked for. Fails: as the connection does. Holds: the connection, or
//! a place on one: dropping the flow before its end closes the one and resets the stream on the other, there and then,
//! which is how an engine learns that its caller has gone.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Incoming;

use super::link::{Link, poll_data};
use super::pool::Place;
use super::target::Target;

/// A reply's bytes.
#[derive(Debug)]
pub(crate) struct Flow {
    body: Incoming,
    over: Over,
}

/// What it comes over.
#[derive(Debug)]
enum Over {
    /// A link of its own, and where that goes once the reply has been read.
    Link(Link, Home),
    /// A place among others.
    Line(#[expect(dead_code, reason = "held for as long as the reply runs")] Place),
}

/// Where a link goes once its reply has been read.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) target: Arc<Target>,
    pub(super) most: usize,
}

impl Flow {
    /// Over a link.
    pub(super) fn by_link(body: Incoming, link: Link, home: Home) -> Self {
        Self { body, over: Over::Link(link, home) }
    }

    /// On a line.
    pub(super) fn by_line(body: Incoming, place: Place) -> Self {
        Self { body, over: Over::Line(place) }
    }

    /// The next bytes; `None` at the end of the reply.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        let driver = match &mut self.over {
            Over::Link(link, _) => &mut link.driver,
            Over::Line(_) => &mut None,
        };
        poll_data(&mut self.body, driver, cx)
    }

    /// The next bytes, to be awaited.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All that matters has been read: the connection is kept for the next call. The few bytes that
    /// end the reply may still be on their way; whoever takes the connection looks for them.
    pub(crate) fn keep(self) {
        if let Over::Link(mut link, home) = self.over {
            link.tail = Some(self.body);
            home.target.pool.put(link, home.most);
        }
    }
}
