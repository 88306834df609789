//! What does the header of a safetensors file say?
//!
//! In: a file. Out: its tensors, counted and summed. Fails: on a header that breaks the format (gaps, overlaps, lengths that are
//! not those of the shapes), and on a file that is shorter or longer than its header says. Blocks. Bounded: a header of 32 MiB.
//! The format's own library reads it; we hold its numbers against the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::Error;
use crate::open;

const FORMAT: &str = "safetensors";
/// The largest published models have headers of some hundred kilobytes for each file.
const LARGEST_HEADER: u64 = 32 << 20;
/// Bytes that say how long the header is.
const LENGTH: usize = size_of::<u64>();

/// What a header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The names of its tensors.
    pub names: BTreeSet<String>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors, by their type: `BF16`, `F16`, …
    pub kinds: BTreeMap<String, u64>,
}

impl Header {
    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.kinds.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// Reads the header of a file.
pub fn read(path: &Path) -> Result<Header, Error> {
    let mut file = open(path)?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    let mut size = [0; LENGTH];
    file.read_exact(&mut size).map_err(|_too_short| Error::corrupt(path, FORMAT, "it ends within its first eight bytes"))?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER {
        return Err(Error::corrupt(path, FORMAT, format!("a header of {size} bytes is more than {LARGEST_HEADER}")));
    }
    if LENGTH as u64 + size > length {
        return Err(Error::Length { path: path.to_owned(), wanted: LENGTH as u64 + size, found: length });
    }
    let mut head = Vec::new();
    file.take(size).read_to_end(&mut head).map_err(Error::read(path))?;
    let metadata: Metadata = serde_json::from_slice(&head).map_err(|error| Error::corrupt(path, FORMAT, error))?;
    let mut header = Header::default();
    let mut end = 0;
    for (name, tensor) in metadata.tensors() {
        let numbers = tensor.shape.iter().try_fold(1_u64, |all, side| all.checked_mul(u64::try_from(*side).ok()?));
        let numbers =
            numbers.ok_or_else(|| Error::corrupt(path, FORMAT, format!("the shape of `{}` has no end", name.escape_default())))?;
        let (from, to) = tensor.data_offsets;
        let bytes = u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX);
        end = end.max(u64::try_from(to).unwrap_or(u64::MAX));
        header.parameters = header.parameters.saturating_add(numbers);
        *header.kinds.entry(tensor.dtype.to_string()).or_default() += bytes;
        header.names.insert(name);
    }
    let wanted = (LENGTH as u64 + size).saturating_add(end);
    if wanted == length { Ok(header) } else { Err(Error::Length { path: path.to_owned(), wanted, found: length }) }
}
