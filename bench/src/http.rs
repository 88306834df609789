//! Just enough of HTTP/1.1 for both ends: heads, and bodies by length or in chunks.
//!
//! In: bytes as they came. Out: what they say, without a copy. Fails: on what is not HTTP. Holds:
//! nothing of the bytes; what is not whole yet is asked for again with more after it. From: RFC 9112.

use anyhow::{Context as _, Result, bail};

/// Header lines of one head.
const MOST_HEADERS: usize = 64;
/// Longer heads and chunk lines are refused.
const MOST_HEAD_BYTES: usize = 64 << 10;

/// A head and how its body ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Bytes of it.
    pub(crate) length: usize,
    pub(crate) body: Body,
    /// Of a reply; 0 for a request.
    pub(crate) status: u16,
    /// Whether the sender closes after it.
    pub(crate) close: bool,
}

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(usize),
    ChunkLine,
    Chunk(usize),
    ChunkEnd,
    Trailers,
}

/// One look at a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Data(&'a [u8]),
    /// Ask again with more bytes.
    Need,
    End,
}

/// Reads the head of a request; none if it is not whole. `path` gets its path.
pub(crate) fn request<'a>(bytes: &'a [u8], path: &mut &'a str) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(bytes).context("not an HTTP request")? else {
        return unfinished(bytes);
    };
    *path = request.path.unwrap_or_default();
    head(length, 0, request.headers).map(Some)
}

/// Reads the head of a reply; none if it is not whole.
pub(crate) fn reply(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut reply = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = reply.parse(bytes).context("not an HTTP reply")? else {
        return unfinished(bytes);
    };
    head(length, reply.code.unwrap_or_default(), reply.headers).map(Some)
}

fn unfinished(bytes: &[u8]) -> Result<Option<Head>> {
    if bytes.len() > MOST_HEAD_BYTES {
        bail!("a head of more than {MOST_HEAD_BYTES} bytes");
    }
    Ok(None)
}

fn head(length: usize, status: u16, headers: &[httparse::Header<'_>]) -> Result<Head> {
    let mut head = Head { length, body: Body::Length(0), status, close: false };
    for header in headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = std::str::from_utf8(value).unwrap_or_default();
            head.body = Body::Length(digits.parse().context("content-length is no number")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if value.eq_ignore_ascii_case(b"chunked") {
                head.body = Body::ChunkLine;
            }
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(head)
}

impl Body {
    /// Takes what it can from the front of `input`.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>> {
        loop {
            match self {
                Self::Length(0) => return Ok(Step::End),
                Self::Length(left) | Self::Chunk(left) => {
                    if input.is_empty() {
                        return Ok(Step::Need);
                    }
                    let (data, rest) = input.split_at((*left).min(input.len()));
                    *input = rest;
                    *left -= data.len();
                    if *self == Self::Chunk(0) {
                        *self = Self::ChunkEnd;
                    }
                    return Ok(Step::Data(data));
                }
                Self::ChunkEnd => {
                    let Some(rest) = input.get(2..) else { return Ok(Step::Need) };
                    *input = rest;
                    *self = Self::ChunkLine;
                }
                Self::ChunkLine => {
                    let Some(line) = take_line(input)? else { return Ok(Step::Need) };
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                    let digits = std::str::from_utf8(digits).unwrap_or_default();
                    let size = usize::from_str_radix(digits, 16).context("a chunk's length is no number")?;
                    *self = if size == 0 { Self::Trailers } else { Self::Chunk(size) };
                }
                Self::Trailers => {
                    let Some(line) = take_line(input)? else { return Ok(Step::Need) };
                    if line.is_empty() {
                        *self = Self::Length(0);
                    }
                }
            }
        }
    }
}

/// A line without its end; none if it is not whole.
fn take_line<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        if input.len() > MOST_HEAD_BYTES {
            bail!("a chunk's line has no end");
        }
        return Ok(None);
    };
    let line = &input[..end];
    *input = &input[end + 1..];
    Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests;
