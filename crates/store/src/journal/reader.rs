//! Reads a batch of rows back from a segment.
//!
//! In: a file, where to begin, how far it is whole. Out: rows, and where to go on. Fails: as the file system
//! does. Blocks on the disk: it is called off the async threads.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use spec::Usage;

use super::record::Records;
use super::row;
use super::segment::HEAD;

/// Bytes that are read at once; a record is far shorter.
const PIECE: u64 = 256 << 10;
/// Rows of one transaction: a few milliseconds of the database.
const ROWS: usize = 1_024;

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
    /// The place of the first row.
    pub(super) first: u64,
    pub(super) rows: Vec<Usage>,
    /// Where to go on.
    pub(super) cursor: Cursor,
    /// Rows whose text cannot be understood, at the end of the others.
    pub(super) senseless: u64,
    /// Bytes up to the end that hold no whole record.
    pub(super) broken: u64,
}

/// Reads rows from the place `want` on, as far as `end`, or the end of the file when there is none.
pub(super) fn read(mut cursor: Cursor, want: u64, end: Option<u64>) -> io::Result<Read> {
    let mut file = File::open(&cursor.path)?;
    let end = match end {
        Some(end) => end,
        None => file.metadata()?.len(),
    };
    let mut read = Read { first: cursor.place.max(want), rows: Vec::new(), senseless: 0, broken: 0, cursor: cursor.clone() };
    while cursor.offset < end && read.rows.len() < ROWS && read.senseless == 0 {
        file.seek(SeekFrom::Start(cursor.offset))?;
        let mut bytes = Vec::new();
        file.by_ref().take(PIECE.min(end - cursor.offset)).read_to_end(&mut bytes)?;
        let mut records = Records::new(&bytes);
        take(&mut records, &mut cursor, want, &mut read);
        if records.read() == 0 {
            read.broken = end - cursor.offset;
            break;
        }
        cursor.offset += records.read() as u64;
    }
    read.cursor = cursor;
    Ok(read)
}

fn take(records: &mut Records<'_>, cursor: &mut Cursor, want: u64, read: &mut Read) {
    while read.rows.len() < ROWS {
        let Some(text) = records.next() else { return };
        cursor.place += 1;
        if cursor.place <= want {
            continue;
        }
        match row::decode(text) {
            Ok(row) => read.rows.push(row),
            Err(error) => {
                tracing::error!(file = %cursor.path.display(), %error, "a row of the usage journal cannot be understood and is left out");
                read.senseless += 1;
                return;
            }
        }
    }
}
