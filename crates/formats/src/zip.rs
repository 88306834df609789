//! Which files are in a zip?
//!
//! In: a file and its length. Out: the names of its directory. Fails: on a directory that is not there, is damaged, or has more
//! in it than is looked at; such an archive is not to be trusted. From: PKWARE's APPNOTE, 4.3.12 and 4.3.16.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom};

/// The end record, and the longest comment behind it.
const TAIL: u64 = 22 + 65_535;
const END: [u8; 4] = *b"PK\x05\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LARGEST_DIRECTORY: u64 = 16 << 20;
const MOST: usize = 65_535;

/// The names in its directory.
pub(crate) fn names(file: &mut File, length: u64) -> Result<Vec<String>> {
    let broken = || Error::from(ErrorKind::InvalidData);
    let tail = read(file, length.saturating_sub(TAIL), TAIL.min(length))?;
    let end = tail.windows(END.len()).rposition(|window| window == END).and_then(|at| tail.get(at..)).ok_or_else(broken)?;
    let size = u64::from(number(end, 12).ok_or_else(broken)?);
    let at = u64::from(number(end, 16).ok_or_else(broken)?);
    // A directory beyond 4 GiB has its place in another record; PyTorch writes it at the end in any case.
    let at = if at == u64::from(u32::MAX) { directory_before_end(file, length)? } else { at };
    let size = if size == u64::from(u32::MAX) { length.saturating_sub(at) } else { size };
    if size > LARGEST_DIRECTORY || at.saturating_add(size) > length {
        return Err(broken());
    }
    let directory = read(file, at, size)?;
    let mut rest = directory.as_slice();
    let mut found = Vec::new();
    while rest.starts_with(&ENTRY) {
        let lengths =
            [28, 30, 32].map(|place| rest.get(place..place + 2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))));
        let [Some(name), Some(extra), Some(comment)] = lengths else { return Err(broken()) };
        let text = rest.get(ENTRY_LEN..ENTRY_LEN + name).ok_or_else(broken)?;
        found.push(String::from_utf8_lossy(text).into_owned());
        rest = rest.get(ENTRY_LEN + name + extra + comment..).ok_or_else(broken)?;
        if found.len() > MOST {
            return Err(broken());
        }
    }
    if found.is_empty() { Err(broken()) } else { Ok(found) }
}

/// Where the zip64 end record says that the directory begins.
fn directory_before_end(file: &mut File, length: u64) -> Result<u64> {
    const END64: [u8; 4] = *b"PK\x06\x06";
    const PLACE: usize = 48;
    let tail = read(file, length.saturating_sub(TAIL + 76), (TAIL + 76).min(length))?;
    let at = tail.windows(END64.len()).rposition(|window| window == END64);
    let place = at.and_then(|at| tail.get(at + PLACE..at + PLACE + 8)).and_then(|bytes| bytes.try_into().ok());
    place.map(u64::from_le_bytes).ok_or_else(|| Error::from(ErrorKind::InvalidData))
}

fn read(file: &mut File, at: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
