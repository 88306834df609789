//! Whether a program brings all its libraries with it.
//!
//! In: a file. Out: true when no dynamic loader is asked for. Fails: when the file is not a 64-bit
//! little-endian ELF. From: the ELF specification, program header table (a `PT_INTERP` entry names
//! the loader).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

const HEADER_BYTES: usize = 64;
const MAGIC: &[u8] = b"\x7fELF\x02\x01";
/// Offsets within the file header.
const TABLE_AT: usize = 32;
const ENTRY_BYTES_AT: usize = 54;
const ENTRIES_AT: usize = 56;
/// The type of a program header that names a dynamic loader.
const PT_INTERP: u32 = 3;

/// True for a program that needs no dynamic loader.
pub(super) fn is_static(path: &Path) -> Result<bool> {
    read(path).with_context(|| format!("cannot see whether {} is static", path.display()))
}

fn read(path: &Path) -> Result<bool> {
    let mut file = File::open(path)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).context("shorter than an ELF header")?;
    if !header.starts_with(MAGIC) {
        bail!("not a 64-bit little-endian ELF file");
    }
    let table = u64::from_le_bytes(bytes(&header, TABLE_AT)?);
    let size = u16::from_le_bytes(bytes(&header, ENTRY_BYTES_AT)?);
    let count = u16::from_le_bytes(bytes(&header, ENTRIES_AT)?);
    for entry in 0..u64::from(count) {
        file.seek(SeekFrom::Start(table + entry * u64::from(size)))?;
        let mut kind = [0; 4];
        file.read_exact(&mut kind)?;
        if u32::from_le_bytes(kind) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bytes<const N: usize>(header: &[u8], at: usize) -> Result<[u8; N]> {
    let field = header.get(at..at + N).context("header field out of range")?;
    Ok(field.try_into()?)
}
