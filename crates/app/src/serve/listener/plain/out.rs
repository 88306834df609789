//! An answer on its way out.
//!
//! In: a response. Out: its bytes as HTTP/1.1 has them: with a length where that is known, else in chunks. Fails: as its body does, and then
//! the connection has to end, so that nobody takes the part for the whole. Holds: what has not been written; large pieces as they
//! are, small ones together, so that what is there at once goes out at once.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::response::Response;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use hyper::body::Body as _;

/// Room for a head.
const HEAD: usize = 512;
/// So much gathers before it is written; what is larger by itself is not copied.
const FULL: usize = 16 << 10;

/// What is left of an answer.
pub(super) struct Out {
    body: Body,
    /// Bytes to come, where that is known; else it goes in chunks.
    left: Option<u64>,
    ended: bool,
    small: BytesMut,
    /// Goes out after the small ones.
    large: Bytes,
}

impl Out {
    /// Of this response, with these lines in its head; the last one says so.
    pub(super) fn new(response: Response, lines: &'static [u8], last: bool) -> Self {
        let (head, body) = response.into_parts();
        let length = body.size_hint().exact();
        let room = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= FULL).unwrap_or(0);
        let mut small = BytesMut::with_capacity(HEAD + room);
        put_head(&mut small, &head, (length, last));
        small.put_slice(lines);
        small.put_slice(b"\r\n");
        Self { body, left: length, ended: false, small, large: Bytes::new() }
    }

    /// Takes what the body has now, up to what is written at once; waits when there is no more than that yet.
    pub(super) fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.small.len() < FULL && self.large.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.put(data)?,
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => {
                    self.ended = true;
                    match self.left {
                        None => self.small.put_slice(b"0\r\n\r\n"),
                        Some(0) => {}
                        Some(_) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fails when the body says more than it had promised: the next answer would be taken for its end.
    fn put(&mut self, data: Bytes) -> io::Result<()> {
        match &mut self.left {
            Some(left) => *left = left.checked_sub(data.len() as u64).ok_or(io::ErrorKind::InvalidData)?,
            None if data.is_empty() => return Ok(()), // an empty chunk would be the last one
            None => {
                let _ = write!(self.small, "{:x}\r\n", data.len()); // memory that grows does not fail
            }
        }
        if data.len() > FULL {
            self.large = data;
            return Ok(());
        }
        self.small.put_slice(&data);
        self.end_chunk();
        Ok(())
    }

    fn end_chunk(&mut self) {
        if self.left.is_none() {
            self.small.put_slice(b"\r\n");
        }
    }

    /// What is to be written next.
    pub(super) fn next(&self) -> Option<&[u8]> {
        [&*self.small, &*self.large].into_iter().find(|bytes| !bytes.is_empty())
    }

    /// So much of that was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        if self.small.is_empty() {
            self.large.advance(bytes);
            if self.large.is_empty() {
                self.large = Bytes::new();
                self.end_chunk();
            }
        } else {
            self.small.advance(bytes);
        }
    }

    /// All that came has been written: a stream that waits for more keeps no memory.
    pub(super) fn rest(&mut self) {
        self.small = BytesMut::new();
    }
}

/// All of it but for its last line.
fn put_head(to: &mut BytesMut, head: &Parts, (length, last): (Option<u64>, bool)) {
    to.put_slice(b"HTTP/1.1 ");
    to.put_slice(head.status.as_str().as_bytes());
    to.put_u8(b' ');
    to.put_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    to.put_slice(b"\r\n");
    let ours = [CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING];
    for (name, value) in head.headers.iter().filter(|(name, _)| !ours.contains(name)) {
        put_header(to, name.as_str(), value.as_bytes());
    }
    match length {
        Some(length) => put_header(to, "content-length", itoa::Buffer::new().format(length).as_bytes()),
        None => put_header(to, "transfer-encoding", b"chunked"),
    }
    if last {
        put_header(to, "connection", b"close");
    }
    with_date(|date| put_header(to, "date", date.as_bytes()));
}

fn put_header(to: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        to.put_slice(part);
    }
}

/// The time as HTTP writes it; made once a second.
fn with_date(put: impl FnOnce(&str)) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(of, date)| {
        if *of != second || date.is_empty() {
            (*of, *date) = (second, httpdate::fmt_http_date(now));
        }
        put(date);
    });
}
