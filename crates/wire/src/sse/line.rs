//! Which lines does a stream hold, and what does each say?
//!
//! In: bytes cut anywhere. Out: lines without their ends (LF, CR or CRLF), then their field. Fails: on a line over
//! the limit. Holds: the part of a line that has come so far.

use bytes::{Buf, Bytes, BytesMut};

use crate::Error;

const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Cuts bytes into lines.
#[derive(Debug)]
pub(super) struct Lines {
    held: BytesMut,
    limit: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    started: bool,
}

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: BytesMut::new(), limit, after_cr: false, started: false }
    }

    /// True at the start of a line of which nothing has come.
    pub(super) fn is_between(&self) -> bool {
        self.held.is_empty() && !self.after_cr
    }

    /// The next line; `None` when the rest is used up, its last part kept.
    pub(super) fn next(&mut self, rest: &mut Bytes) -> Result<Option<Bytes>, Error> {
        if rest.is_empty() {
            return Ok(None);
        }
        if std::mem::take(&mut self.after_cr) && rest.first() == Some(&b'\n') {
            rest.advance(1);
        }
        let found = memchr::memchr2(b'\n', b'\r', rest);
        let part = rest.split_to(found.unwrap_or(rest.len()));
        if self.held.len() + part.len() > self.limit {
            return Err(Error::FrameTooLarge { limit: self.limit });
        }
        if found.is_none() {
            self.held.extend_from_slice(&part);
            return Ok(None);
        }
        self.after_cr = rest.first() == Some(&b'\r');
        rest.advance(1);
        Ok(Some(self.join(part)))
    }

    /// The last line, if it had no end.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.join(Bytes::new()))
    }

    fn join(&mut self, part: Bytes) -> Bytes {
        let mut line = if self.held.is_empty() {
            part
        } else {
            self.held.extend_from_slice(&part);
            self.held.split().freeze()
        };
        if !std::mem::replace(&mut self.started, true) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        line
    }
}

/// What a line says.
pub(super) enum Field {
    /// The end of an event.
    Blank,
    /// Its name.
    Event(Bytes),
    /// A line of its data.
    Data(Bytes),
    /// Data of an error, as older llama.cpp servers send it.
    Error(Bytes),
    /// A comment, or a field that we do not need.
    Other,
}

impl Field {
    pub(super) fn of(line: &Bytes) -> Self {
        if line.is_empty() {
            return Self::Blank;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = || {
            let mut value = line.slice((colon + 1).min(line.len())..);
            if value.first() == Some(&b' ') {
                value.advance(1);
            }
            value
        };
        match line.get(..colon) {
            Some(b"data") => Self::Data(value()),
            Some(b"event") => Self::Event(value()),
            Some(b"error") => Self::Error(value()),
            _ => Self::Other,
        }
    }
}
