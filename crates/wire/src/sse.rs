//! Which events does an engine's stream hold, and how is an event written?
//!
//! In: bytes as they come from the network, cut anywhere, even inside a UTF-8 sequence or between CR and LF. Out:
//! [`Frame`]s; the same ones however the bytes were cut. Fails: on a frame of more than the limit. Holds: the bytes of
//! the line that is not complete yet, no more than the limit. From: WHATWG HTML, section 9.2, "Server-sent events".
//!
//! Accepted beyond the standard, because engines send it: a first `data:` line that holds a complete JSON object or
//! `[DONE]` is a frame at the end of that line, so events parted by a single newline come apart and none is held
//! back until the next; `error: {..}` is read as an event named `error`; a last event whose blank line never came
//! still counts when its data is complete. Comments, `id` and `retry` are passed over.

mod line;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Error;
use crate::scan;
use line::{Field, Lines};

/// The end of a stream, ready to send.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
/// The largest frame that a scanner holds unless told otherwise, in bytes.
pub const FRAME_LIMIT: usize = 16 << 20;

const DONE_DATA: &[u8] = b"[DONE]";
const PREFIX: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// One event.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The name from an `event:` line, if there was one.
    pub event: Option<Bytes>,
    /// The data lines, joined by newlines.
    pub data: Bytes,
    /// The event as it came, if it came as `data: ..` and a blank line.
    raw: Option<Bytes>,
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event && self.data == other.data
    }
}

impl Frame {
    /// True for the end of an OpenAI stream.
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == DONE_DATA
    }
    /// True when it says nothing; llama-server writes `null` where it has nothing to say to one of several prompts.
    pub fn is_blank(&self) -> bool {
        matches!(self.data.trim_ascii(), b"" | b"null")
    }
    /// The event as it is sent on; without a copy if it came in this form.
    pub fn to_wire(&self) -> Bytes {
        match &self.raw {
            Some(raw) => raw.clone(),
            None => self.to_wire_with(&self.data),
        }
    }
    /// The event with other data.
    pub fn to_wire_with(&self, data: impl AsRef<[u8]>) -> Bytes {
        named(self.event.as_deref().unwrap_or_default(), data)
    }
}

/// An event of this data; each line of it becomes a `data:` line.
pub fn event(data: impl AsRef<[u8]>) -> Bytes {
    named(b"", data)
}

/// An event with a name and this data.
pub fn named(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Bytes {
    let (name, data) = (name.as_ref(), data.as_ref());
    let mut out = BytesMut::with_capacity(data.len() + name.len() + 24);
    if !name.is_empty() {
        out.put_slice(b"event: ");
        out.put_slice(name);
        out.put_u8(b'\n');
    }
    for part in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.put_slice(PREFIX);
        out.put_slice(part);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
    out.freeze()
}

/// A comment, which keeps a silent stream alive; newlines in the text become spaces.
pub fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {}\n\n", text.replace(['\r', '\n'], " ")))
}

/// Takes a stream apart.
#[derive(Debug)]
pub struct Scanner {
    lines: Lines,
    limit: usize,
    event: Option<Bytes>,
    data: Data,
}

/// The data lines of the frame in progress.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn add(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + line.len() + 1);
                joined.put(first);
                Self::Many(joined).and(&line)
            }
            many @ Self::Many(_) => many.and(&line),
        };
    }
    fn and(self, line: &Bytes) -> Self {
        match self {
            Self::Many(mut joined) => {
                joined.put_u8(b'\n');
                joined.put_slice(line);
                Self::Many(joined)
            }
            other => other,
        }
    }
    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(joined) => Some(joined.freeze()),
        }
    }
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(joined) => joined.len(),
        }
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(FRAME_LIMIT)
    }
}

impl Scanner {
    /// A scanner that refuses frames of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { lines: Lines::new(limit), limit, event: None, data: Data::None }
    }

    /// Takes the next bytes; puts the frames that are complete into `out`.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Frame>) -> Result<(), Error> {
        let mut rest = chunk.clone();
        loop {
            if let Some(frame) = self.whole(&mut rest) {
                out.push(frame);
                continue;
            }
            match self.lines.next(&mut rest)? {
                Some(line) => self.line(&line, out)?,
                None => return Ok(()),
            }
        }
    }

    /// The stream has ended: the last frame, if its data is complete though its blank line is missing.
    pub fn finish(&mut self) -> Result<Option<Frame>, Error> {
        let mut out = Vec::new();
        if let Some(line) = self.lines.finish() {
            self.line(&line, &mut out)?;
        }
        let event = self.event.take();
        if let Some(data) = self.data.take().filter(|data| complete(data)) {
            out.push(Frame { event, data, raw: None });
        }
        Ok(out.pop())
    }

    /// A frame that came as one `data: ` line and a blank line, both with LF, in one chunk: nothing is copied.
    fn whole(&self, rest: &mut Bytes) -> Option<Frame> {
        if !self.lines.is_between() || self.event.is_some() || !matches!(self.data, Data::None) || !rest.starts_with(PREFIX) {
            return None;
        }
        let end = memchr::memchr2(b'\n', b'\r', rest)?;
        if end > self.limit || !rest.get(end..)?.starts_with(END) {
            return None;
        }
        let raw = rest.split_to(end + END.len());
        Some(Frame { event: None, data: raw.slice(PREFIX.len()..end), raw: Some(raw) })
    }

    fn line(&mut self, line: &Bytes, out: &mut Vec<Frame>) -> Result<(), Error> {
        match Field::of(line) {
            Field::Blank => {
                let event = self.event.take();
                if let Some(data) = self.data.take() {
                    out.push(Frame { event, data, raw: None });
                }
            }
            Field::Event(name) => self.event = Some(name),
            Field::Error(data) => {
                self.event = Some(Bytes::from_static(b"error"));
                self.data(data, out)?;
            }
            Field::Data(data) => self.data(data, out)?,
            Field::Other => {}
        }
        Ok(())
    }

    fn data(&mut self, line: Bytes, out: &mut Vec<Frame>) -> Result<(), Error> {
        if self.data.len() + line.len() > self.limit {
            return Err(Error::FrameTooLarge { limit: self.limit });
        }
        if matches!(self.data, Data::None) && complete(&line) {
            out.push(Frame { event: self.event.take(), data: line, raw: None });
        } else {
            self.data.add(line);
        }
        Ok(())
    }
}

/// True for a JSON object and for `[DONE]`.
fn complete(data: &[u8]) -> bool {
    let trimmed = data.trim_ascii();
    trimmed == DONE_DATA || (trimmed.first() == Some(&b'{') && trimmed.last() == Some(&b'}') && scan::object(trimmed).is_ok())
}
