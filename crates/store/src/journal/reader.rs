//! Reads a batch of rows back from a segment.
//!
//! In: a file, where to begin, how far it is whole. Out: rows, and where to go on. Fails: as the file system
//! does. Blocks on the disk: it is called off the async threads.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use super::record::Records;
use super::segment::HEAD;
use crate::usage::{Batch, Growing};

/// How much is read at once and goes into one transaction; a record is far shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bite {
    bytes: u64,
    rows: u64,
}

impl Bite {
    /// Less than half a millisecond of a processor: calls under way on the same one do not feel it.
    pub(super) const SMALL: Self = Self { bytes: 128 << 10, rows: 256 };
    /// A few milliseconds, at half the cost of a row.
    pub(super) const LARGE: Self = Self { bytes: 1 << 20, rows: 4_096 };
}

/// Where the next row is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) path: PathBuf,
    /// The place of the segment's first record.
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// The place of the record at this offset.
    pub(super) place: u64,
}

impl Cursor {
    /// At the beginning of a segment.
    pub(super) fn at_start(path: PathBuf, first: u64) -> Self {
        Self { path, segment: first, offset: HEAD as u64, place: first }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    /// The rows, if there are any.
    pub(super) batch: Option<Batch>,
    /// Where to go on.
    pub(super) cursor: Cursor,
    /// Rows whose text cannot be understood, behind the others.
    pub(super) senseless: u64,
    /// Bytes up to the end that hold no whole record.
    pub(super) broken: u64,
}

/// Reads rows from the place `want` on, as far as `end`, or the end of the file when there is none.
pub(super) fn read(cursor: Cursor, want: u64, end: Option<u64>, bite: Bite) -> io::Result<Read> {
    let mut file = File::open(&cursor.path)?;
    let end = match end {
        Some(end) => end,
        None => file.metadata()?.len(),
    };
    let mut read = Read { batch: None, senseless: 0, broken: 0, cursor };
    let mut bytes = Vec::new();
    while read.cursor.offset < end && read.batch.is_none() && read.senseless == 0 {
        file.seek(SeekFrom::Start(read.cursor.offset))?;
        bytes.clear();
        file.by_ref().take(bite.bytes.min(end - read.cursor.offset)).read_to_end(&mut bytes)?;
        let whole = take(&bytes, (want, bite.rows), &mut read)?;
        if whole == 0 {
            read.broken = end - read.cursor.offset;
            break;
        }
        read.cursor.offset += whole;
    }
    Ok(read)
}

/// Takes the rows of whole records, as many as one batch may have; gives the bytes of those that are done.
fn take(bytes: &[u8], (want, most): (u64, u64), read: &mut Read) -> io::Result<u64> {
    let mut records = Records::new(bytes);
    let cursor = &mut read.cursor;
    let mut batch = Growing::at(cursor.place.max(want));
    while batch.len() < most {
        let Some(text) = records.next() else { break };
        cursor.place += 1;
        if cursor.place <= want {
            continue;
        }
        if let Err(error) = batch.add(text) {
            tracing::error!(file = %cursor.path.display(), %error, "a row of the usage journal cannot be understood and is left out");
            read.senseless += 1;
            break;
        }
    }
    if batch.len() > 0 {
        read.batch = Some(batch.end()?);
    }
    Ok(records.read() as u64)
}
