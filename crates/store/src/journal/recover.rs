//! Where does a journal go on after the process that wrote it has ended, however it did?
//!
//! In: a folder. Out: the file to write to and the place of the next record. The last segment is cut
//! behind its last whole record: a process that is killed while it writes leaves half of one. Nothing
//! else is touched; what is broken in the middle of an older segment is found, and said, when it is
//! drained. Fails: as the file system does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::record::Records;
use super::segment::{self, HEAD, Head, Segment};

/// What was left in a folder.
#[derive(Debug)]
pub(super) struct Found {
    /// Whose journal it is; a new number when there is none.
    pub(super) journal: i64,
    /// The last segment, cut, and the place behind its last record.
    last: Option<(Segment, u64)>,
    /// Bytes of all segments before it.
    older: u64,
}

/// A journal that can be written to.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) journal: i64,
    pub(super) file: File,
    /// Bytes of the file.
    pub(super) len: u64,
    /// The place of the file's first record.
    pub(super) first: u64,
    /// The place of the next record.
    pub(super) next: u64,
    /// Bytes of all files.
    pub(super) on_disk: u64,
}

/// Looks at the folder and cuts a torn tail.
pub(super) fn find(dir: &Path) -> io::Result<Found> {
    segment::make_folder(dir)?;
    let mut segments = segment::list(dir)?;
    while let Some(last) = segments.pop() {
        let mut file = OpenOptions::new().read(true).write(true).open(&last.path)?;
        if let Some(head) = Head::of(&mut file)?.filter(|head| head.first == last.first) {
            let older = segments.iter().map(|segment| segment.len).sum();
            let (len, records) = cut(&mut file, &last)?;
            return Ok(Found { journal: head.journal, last: Some((Segment { len, ..last }, head.first + records)), older });
        }
        if last.len <= HEAD as u64 {
            std::fs::remove_file(&last.path)?; // it was being made, and holds nothing
        } else {
            tracing::error!(file = %last.path.display(), "a file of the usage journal has lost its head and was put aside; its rows are lost");
            segment::put_aside(&last.path)?;
        }
    }
    Ok(Found { journal: random(), last: None, older: 0 })
}

/// Cuts a segment behind its last whole record; gives its length and the number of records.
fn cut(file: &mut File, segment: &Segment) -> io::Result<(u64, u64)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut records = Records::new(&bytes);
    let count = records.by_ref().count() as u64;
    let (whole, all) = ((HEAD + records.read()) as u64, (HEAD + bytes.len()) as u64);
    if whole < all {
        tracing::warn!(file = %segment.path.display(), bytes = all - whole, "the usage journal ended in the middle of a row; it was cut there");
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok((whole, count))
}

/// Opens what was found for writing; `place` is how far the database has it, `full` when a segment is.
pub(super) fn open(dir: &Path, found: Found, place: u64, full: u64) -> io::Result<Open> {
    let Found { journal, last, older } = found;
    let (older, next) = match last {
        Some((last, next)) if last.len < full && place <= next => {
            let file = OpenOptions::new().read(true).append(true).open(&last.path)?;
            return Ok(Open { journal, file, len: last.len, first: last.first, next, on_disk: older + last.len });
        }
        // After a loss of power the database may know of rows that the file has lost again.
        Some((last, next)) => (older + last.len, next.max(place)),
        None => (0, place),
    };
    let file = segment::create(dir, Head { journal, first: next })?;
    Ok(Open { journal, file, len: HEAD as u64, first: next, next, on_disk: older + HEAD as u64 })
}

/// A number that no other journal of this database has.
fn random() -> i64 {
    const DIGITS: usize = 15; // 60 bits: it stays positive
    i64::from_str_radix(&base::id::random_hex(DIGITS), 16).unwrap_or(1)
}
