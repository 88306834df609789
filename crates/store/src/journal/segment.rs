//! The files of a journal.
//!
//! In: a folder. Out: its segments in their order; each is named after the place of its first record and
//! begins with a checked head that says so again, and to which journal it belongs. Fails: as the file
//! system does.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::lock::PRIVATE;

/// Bytes before the first record.
pub(super) const HEAD: usize = 28;
const MAGIC: &[u8; 8] = b"PSTKJRN1";
const ENDING: &str = "journal";
const PRIVATE_FOLDER: u32 = 0o700;
/// A drained segment is removed as a whole, so it is a small part of the quota.
const PARTS_OF_QUOTA: u64 = 8;
const LARGEST: u64 = 16 << 20;

/// When a segment is full.
pub(super) fn size(quota: u64) -> u64 {
    (quota / PARTS_OF_QUOTA).min(LARGEST)
}

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Whose it is.
    pub(super) journal: i64,
    /// The place of the first record.
    pub(super) first: u64,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.journal.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the head of a file; none when it has no whole one.
    pub(super) fn of(file: &mut File) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let number = |from: usize| bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default();
        let head = Self { journal: i64::from_le_bytes(number(8)), first: u64::from_le_bytes(number(16)) };
        Ok((head.to_bytes() == bytes).then_some(head))
    }
}

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The place of its first record, by its name.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// The segments of a folder, by their first places.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in dir.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(first), Some(ENDING)) = (first, path.extension().and_then(|ending| ending.to_str())) {
            found.push(Segment { first, len: entry.metadata()?.len(), path });
        }
    }
    found.sort_by_key(|segment| segment.first);
    Ok(found)
}

/// Makes the folder.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(dir)
}

/// Begins a segment. A leftover of the same name holds no record and is replaced.
pub(super) fn create(dir: &Path, head: Head) -> io::Result<File> {
    let path = dir.join(format!("{:020}.{ENDING}", head.first));
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE).open(path)?;
    file.set_len(0)?;
    file.write_all(&head.to_bytes())?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// Puts a file aside that cannot be read, for a person to look at.
pub(super) fn put_aside(path: &Path) -> io::Result<()> {
    std::fs::rename(path, path.with_extension("damaged"))
}
