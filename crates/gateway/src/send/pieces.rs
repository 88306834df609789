//! A body for an engine: the client's own bytes and what was put between them, in order.
//!
//! In: the client's body, and the members that are ours to change. Out: the body that a connection sends. A small one is joined, which is
//! cheaper than to write it in parts; of a large one nothing is copied. Cheap to clone: a call may be sent again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wire::scan::Scan;
use wire::splice::{self, Edit};

/// Up to here a copy is cheaper than one more part to write.
const SMALL: usize = 32 << 10;

/// The bytes of a call.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    parts: Parts,
    left: u64,
}

#[derive(Debug, Clone)]
enum Parts {
    One(Bytes),
    Many(Arc<[Bytes]>, usize),
}

impl Pieces {
    /// A body with these members changed.
    pub(super) fn of(body: &Bytes, scan: &Scan<'_>, edits: &[Edit<'_>]) -> Self {
        if body.len() <= SMALL || edits.is_empty() {
            let one = splice::apply_to_bytes(body, scan, edits);
            let left = one.len() as u64;
            return Self { parts: Parts::One(one), left };
        }
        let parts = splice::apply(body, scan, edits);
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts: Parts::Many(parts.into(), 0), left }
    }

    /// How many bytes.
    pub(super) fn len(&self) -> u64 {
        self.left
    }

    /// The bytes, if they lie in one place and are few.
    pub(super) fn small(&self) -> Option<&Bytes> {
        match &self.parts {
            Parts::One(bytes) if bytes.len() <= SMALL => Some(bytes),
            _ => None,
        }
    }

    /// All parts.
    pub(super) fn parts(&self) -> &[Bytes] {
        match &self.parts {
            Parts::One(bytes) => std::slice::from_ref(bytes),
            Parts::Many(parts, _) => parts,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        match &mut self.parts {
            Parts::One(bytes) => Some(std::mem::take(bytes)),
            Parts::Many(parts, at) => {
                *at += 1;
                parts.get(*at - 1).cloned()
            }
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = self.next();
        self.left -= next.as_ref().map_or(self.left, |bytes| bytes.len() as u64);
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
