//! Where does the body of a reply end, and what of it is content?
//!
//! In: bytes, cut anywhere. Out: the content among them. Fails: on chunks that are none. Holds: a few numbers. From: RFC 9112,
//! sections 6 and 7.

use bytes::BytesMut;

use super::Fault;

/// Digits of a chunk's size: more than the largest number has are an attack or a defect.
const MOST_DIGITS: u8 = 16;
/// Bytes after a chunk's size, or of trailers, which nobody reads.
const MOST_ASIDE: u32 = 16 << 10;

/// What is left of a body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunks(Chunk),
    /// All that comes until the other side hangs up.
    UntilClosed,
    /// Nothing.
    Done,
}

/// Where in a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chunk {
    /// In its size, of which so many digits have come.
    Size(u64, u8),
    /// After its size, before the end of the line.
    Aside(u64, u32),
    /// Before its content.
    SizeEnd(u64),
    /// In its content, of which so much is left.
    Content(u64),
    /// After its content.
    End,
    /// At that, with the CR.
    EndLf,
    /// At the start of a line after the last chunk.
    Trailer(u32),
    /// Inside of it.
    InTrailer(u32),
    /// Before the last byte.
    LastLf,
}

impl Framing {
    /// A body of this length.
    pub(super) fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    /// A body in chunks.
    pub(super) fn chunks() -> Self {
        Self::Chunks(Chunk::Size(0, 0))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// The other side has hung up.
    pub(super) fn hung_up(&mut self) -> Result<(), Fault> {
        if let Self::UntilClosed = self {
            *self = Self::Done;
            return Ok(());
        }
        Err(Fault::HungUp)
    }

    /// Puts the content into `out`; how many of the bytes belong to the body.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<usize, Fault> {
        match self {
            Self::Done => Ok(0),
            Self::UntilClosed => {
                out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Self::Length(left) => {
                let here = take(bytes, left, out);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(here)
            }
            Self::Chunks(chunk) => {
                let mut rest = bytes;
                let mut place = Some(*chunk);
                while let (Some(now), false) = (place, rest.is_empty()) {
                    place = now.step(&mut rest, out)?;
                }
                *self = place.map_or(Self::Done, Self::Chunks);
                Ok(bytes.len() - rest.len())
            }
        }
    }
}

impl Chunk {
    /// One byte, or all of the content that is here; nothing after the last byte of the body.
    fn step(self, rest: &mut &[u8], out: &mut BytesMut) -> Result<Option<Self>, Fault> {
        if let Self::Content(mut left) = self {
            let here = take(rest, &mut left, out);
            *rest = rest.get(here..).unwrap_or_default();
            return Ok(Some(if left == 0 { Self::End } else { Self::Content(left) }));
        }
        let Some((byte, after)) = rest.split_first() else { return Ok(Some(self)) };
        *rest = after;
        Ok(Some(match (self, *byte) {
            (Self::Size(_, 0), b'\r' | b';' | b' ' | b'\t') => return Err(Fault::Chunk),
            (Self::Size(size, _) | Self::Aside(size, _), b'\r') => Self::SizeEnd(size),
            (Self::Size(size, _), b';' | b' ' | b'\t') => Self::Aside(size, 0),
            (Self::Size(size, digits), byte) if digits < MOST_DIGITS => Self::Size(size << 4 | digit(byte)?, digits + 1),
            (Self::Aside(size, length), byte) if byte != b'\n' && length < MOST_ASIDE => Self::Aside(size, length + 1),
            (Self::SizeEnd(0), b'\n') => Self::Trailer(0),
            (Self::SizeEnd(size), b'\n') => Self::Content(size),
            (Self::End, b'\r') => Self::EndLf,
            (Self::EndLf, b'\n') => Self::Size(0, 0),
            (Self::Trailer(_), b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return Ok(None),
            (Self::InTrailer(length), b'\n') => Self::Trailer(length + 1),
            (Self::Trailer(length) | Self::InTrailer(length), _) if length < MOST_ASIDE => Self::InTrailer(length + 1),
            _ => return Err(Fault::Chunk),
        }))
    }
}

/// As much of the bytes as is left to come.
fn take(bytes: &[u8], left: &mut u64, out: &mut BytesMut) -> usize {
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    out.extend_from_slice(bytes.get(..here).unwrap_or_default());
    *left -= here as u64;
    here
}

fn digit(byte: u8) -> Result<u64, Fault> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(Fault::Chunk)
}
