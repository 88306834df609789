//! Reads a file forward, and never believes a length: each is held against what is left.
//!
//! In: bytes and how many there are in all. Out: numbers and texts. Fails: with the place, as soon
//! as the file cannot hold what it promises. Holds: memory grows only with bytes that were really
//! read, also when the promised total is a lie.

use std::io::{ErrorKind, Read};

use crate::error::{Error, Limit, Part, Place};
use crate::limits;

/// Bytes that are read at once when they are thrown away.
const SCRATCH: usize = 16 << 10;

/// The reading end of a file.
pub(crate) struct Source<R> {
    reader: R,
    offset: u64,
    file_len: u64,
    part: Part,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R, file_len: u64) -> Self {
        Self { reader, offset: 0, file_len, part: Part::Header }
    }

    /// Names what is read from here on.
    pub(crate) fn enter(&mut self, part: Part) {
        self.part = part;
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    pub(crate) fn place(&self) -> Place {
        Place { offset: self.offset, part: self.part.clone() }
    }

    pub(crate) fn absurd(&self, what: Limit, found: u64, most: u64) -> Error {
        Error::Absurd { place: self.place(), what, found, most }
    }

    /// Refuses unless `bytes` more can be there.
    pub(crate) fn need(&self, bytes: u64) -> Result<(), Error> {
        let end = self.offset.saturating_add(bytes);
        if end > self.file_len {
            return Err(Error::Truncated { place: self.place(), expected: end, has: self.file_len });
        }
        if end > limits::HEADER_BYTES {
            return Err(self.absurd(Limit::Header, end, limits::HEADER_BYTES));
        }
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.need(N as u64)?;
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length and so many bytes of UTF-8, at most `most`.
    pub(crate) fn text(&mut self, what: Limit, most: u64) -> Result<String, Error> {
        let place = self.place();
        let length = self.length(what, most)?;
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes).map_err(|error| Error::Utf8 { place, source: error.utf8_error() })
    }

    /// The length of a text that follows: checked, but the text not yet read.
    pub(crate) fn length(&mut self, what: Limit, most: u64) -> Result<u64, Error> {
        let length = self.u64()?;
        if length > most {
            return Err(self.absurd(what, length, most));
        }
        self.need(length)?;
        Ok(length)
    }

    /// So many bytes; the memory for them grows as they come.
    pub(crate) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Error> {
        self.need(count)?;
        let mut bytes = Vec::new();
        let got = (&mut self.reader).take(count).read_to_end(&mut bytes);
        let got = got.map_err(|source| Error::Read { place: self.place(), source })? as u64;
        if got < count {
            return Err(self.short(got, count));
        }
        self.offset += count;
        Ok(bytes)
    }

    /// Reads over so many bytes.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(), Error> {
        self.need(count)?;
        let mut scratch = [0; SCRATCH];
        let mut left = count;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(SCRATCH).min(SCRATCH);
            self.fill(&mut scratch[..now])?;
            left -= now as u64;
        }
        Ok(())
    }

    /// As many of the next bytes as there are, up to the whole of `into`.
    pub(crate) fn peek_start(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let mut got = 0;
        while got < into.len() {
            match self.reader.read(&mut into[got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Read { place: self.place(), source }),
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), Error> {
        let before = self.offset;
        let got = self.peek_start(into)?;
        if got < into.len() {
            self.offset = before;
            return Err(self.short(got as u64, into.len() as u64));
        }
        Ok(())
    }

    /// The reader ended before the promised length: what it gave is the true length.
    pub(crate) fn short(&self, got: u64, wanted: u64) -> Error {
        let has = self.offset.saturating_add(got);
        Error::Truncated { place: self.place(), expected: self.offset.saturating_add(wanted), has }
    }
}
