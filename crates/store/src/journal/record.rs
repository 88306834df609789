//! One record: its length, a checksum, its text.
//!
//! In: bytes. Out: the same with eight bytes before them; and back, as far as every record is whole.
//! Fails: never; what is not whole ends the reading. An empty record cannot be: a file system may leave
//! zeros at the end of a file after a loss of power, and they must not pass for one.

/// Before each text: its length and its CRC-32, both little-endian.
pub(super) const HEAD: usize = 8;
/// A longer text is none of ours.
const LONGEST: usize = 64 << 10;
const NUMBER: usize = 4;

/// Appends a record whose text `write` appends; nothing when it is empty, too long or fails.
pub(super) fn append<E>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let written = write(out).is_ok();
    let text = out.get(start + HEAD..).unwrap_or_default();
    if !written || text.is_empty() || text.len() > LONGEST {
        out.truncate(start);
        return false;
    }
    let (len, sum) = (u32::try_from(text.len()).unwrap_or(0), crc32fast::hash(text));
    if let Some(head) = out.get_mut(start..start + HEAD) {
        head[..NUMBER].copy_from_slice(&len.to_le_bytes());
        head[NUMBER..].copy_from_slice(&sum.to_le_bytes());
    }
    true
}

/// The texts of whole records, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// Bytes of the records that have come so far.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// Bytes of the next record by its own word, whole or not.
    pub(super) fn next_len(&self) -> Option<usize> {
        let rest = self.bytes.get(self.read..)?;
        let len = u32::from_le_bytes(*rest.first_chunk::<NUMBER>()?) as usize;
        (1..=LONGEST).contains(&len).then_some(HEAD + len)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let record = self.bytes.get(self.read..)?.get(..self.next_len()?)?;
        let (head, text) = record.split_at(HEAD);
        let sum = u32::from_le_bytes(*head.last_chunk::<NUMBER>()?);
        if crc32fast::hash(text) != sum {
            return None;
        }
        self.read += record.len();
        Some(text)
    }
}
