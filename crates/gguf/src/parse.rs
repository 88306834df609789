//! The walk through a file: magic, version, counts, keys, tensors, layout.
//!
//! In: a reader at the start of the file, and how long the file is. Out: a [`File`], or the
//! [`Vocabulary`]. Fails: at the first thing that is wrong, with its place.

use std::io::Read;

use crate::error::{Error, Limit};
use crate::file::File;
use crate::limits;
use crate::looks::{self, Looks};
use crate::metadata::{self, Detail, Metadata};
use crate::source::Source;
use crate::tensor::{self, Tensor};
use crate::vocabulary::Vocabulary;

const MAGIC: &[u8; 4] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Bytes of magic, version and counts.
const SMALLEST: u64 = 24;

/// Reads the header of a file of `file_len` bytes; the arrays of the vocabulary are read over.
pub fn parse(reader: impl Read, file_len: u64) -> Result<File, Error> {
    let mut source = Source::new(reader, file_len);
    let counts = read_counts(&mut source)?;
    let metadata = metadata::read(&mut source, counts.keys, Detail::Header)?;
    let tensors = tensor::read(&mut source, counts.tensors)?;
    let data_start = data_start(&metadata, &tensors, &source)?;
    File::new(Parts { version: counts.version, metadata, tensors, data_start, file_len })
}

/// Reads the vocabulary out of a file of `file_len` bytes.
pub fn parse_vocabulary(reader: impl Read, file_len: u64) -> Result<Vocabulary, Error> {
    let mut source = Source::new(reader, file_len);
    let counts = read_counts(&mut source)?;
    let metadata = metadata::read(&mut source, counts.keys, Detail::Vocabulary)?;
    Vocabulary::new(metadata)
}

/// What the walk found.
pub(crate) struct Parts {
    pub(crate) version: u32,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) data_start: u64,
    pub(crate) file_len: u64,
}

struct Counts {
    version: u32,
    tensors: u64,
    keys: u64,
}

fn read_counts<R: Read>(source: &mut Source<R>) -> Result<Counts, Error> {
    check_magic(source)?;
    let version = check_version(source.u32()?)?;
    let tensors = source.u64()?;
    if tensors > limits::TENSORS {
        return Err(source.absurd(Limit::Tensors, tensors, limits::TENSORS));
    }
    let keys = source.u64()?;
    if keys > limits::KEYS {
        return Err(source.absurd(Limit::Keys, keys, limits::KEYS));
    }
    Ok(Counts { version, tensors, keys })
}

/// Reads on behind a wrong magic, to say what the file is instead.
fn check_magic<R: Read>(source: &mut Source<R>) -> Result<(), Error> {
    let mut head = [0; looks::WANTED];
    let got = source.peek_start(&mut head[..MAGIC.len()])?;
    if &head[..got] == MAGIC {
        return Ok(());
    }
    if got > 0 && got < MAGIC.len() && MAGIC.starts_with(&head[..got]) {
        return Err(source.short(0, SMALLEST - got as u64));
    }
    let more = source.peek_start(&mut head[got..])?;
    Err(Error::NotGguf(Looks::at(&head[..got + more])))
}

fn check_version(version: u32) -> Result<u32, Error> {
    match version {
        2 | 3 => Ok(version),
        // A small number that was written the other way round.
        _ if version != 0 && version.trailing_zeros() >= 16 => Err(Error::BigEndian { version: version.swap_bytes() }),
        _ => Err(Error::Version { version }),
    }
}

fn data_start<R: Read>(metadata: &Metadata, tensors: &[Tensor], source: &Source<R>) -> Result<u64, Error> {
    let key = "general.alignment";
    let alignment = match metadata.get(key) {
        None => DEFAULT_ALIGNMENT,
        Some(_) => metadata
            .number(key)
            .filter(|number| number.is_power_of_two() && *number <= limits::ALIGNMENT)
            .ok_or(Error::WrongValue { key, wanted: "a power of two up to 1048576" })?,
    };
    let start = source.offset().next_multiple_of(alignment);
    tensor::check_layout(tensors, start, alignment, source.file_len())?;
    Ok(start)
}
