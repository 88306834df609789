//! What is this file, by its first bytes?
//!
//! In: a file. Out: its [`Kind`]. A pickle is known by its opcodes, whatever the file is called: plain, in a zip as PyTorch
//! writes it, in a tar as it used to. Fails: when it cannot be read. From: CPython's `pickle.py` (the opcodes of each protocol),
//! PyTorch's `serialization.py` (the magic number, the archive's names).

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::Error;
use crate::{open, zip};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// llama.cpp's.
    Gguf,
    /// Tensors with a header of JSON.
    Safetensors,
    /// A graph; known by its ending, and by what its walk finds.
    Onnx,
    /// It can run code when it is opened.
    Code(Code),
    /// Something else.
    Other,
}

/// A file that can run code when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Python's own format.
    Pickle,
    /// PyTorch's archive, with a pickle in it.
    Torch,
    /// A Keras model, whose layers may be code.
    Keras,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pickle => "a Python pickle",
            Self::Torch => "a PyTorch archive with a pickle in it",
            Self::Keras => "a Keras model, whose layers may be code",
        })
    }
}

const HEAD: usize = 600;
const TAR_MAGIC: usize = 257;
/// Opcodes that a pickle may begin with before protocol 2, as far as they are no text: MARK, EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE.
const OLD_BEGINNINGS: [&[u8]; 4] = [b"(dp", b"(lp", b"(c", b"(i"];
const LAST_PROTOCOL: u8 = 5;

/// What a file is.
pub fn sniff(path: &Path) -> Result<Kind, Error> {
    let mut file = open(path)?;
    let mut head = Vec::with_capacity(HEAD);
    file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(Error::read(path))?;
    let length = file.seek(SeekFrom::End(0)).map_err(Error::read(path))?;
    if let Some(code) = code(&head, path) {
        return Ok(Kind::Code(code));
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(match zip::names(&mut file, length) {
            Ok(names) if names.iter().any(|name| is_pickle_name(name)) => Kind::Code(Code::Torch),
            Ok(names) if names.iter().any(|name| name == "config.json") && has_ending(path, &["keras"]) => Kind::Code(Code::Keras),
            Ok(_) => Kind::Other,
            // One whose list of names cannot be read could hold anything.
            Err(_) => Kind::Code(Code::Torch),
        });
    }
    Ok(match () {
        () if head.starts_with(b"GGUF") => Kind::Gguf,
        () if has_ending(path, &["onnx"]) => Kind::Onnx,
        () if is_safetensors(&head, length) => Kind::Safetensors,
        () => Kind::Other,
    })
}

fn code(head: &[u8], path: &Path) -> Option<Code> {
    let protocol = |head: &[u8]| matches!(head, [0x80, version, ..] if (2..=LAST_PROTOCOL).contains(version));
    if protocol(head) || OLD_BEGINNINGS.iter().any(|begin| head.starts_with(begin)) || is_global(head) {
        return Some(Code::Pickle);
    }
    if has_ending(path, &["pkl", "pickle", "joblib", "dill"]) {
        return Some(Code::Pickle);
    }
    let tar = head.get(TAR_MAGIC..).is_some_and(|rest| rest.starts_with(b"ustar"));
    if tar && has_ending(path, &["pt", "pth", "bin", "ckpt"]) {
        return Some(Code::Torch);
    }
    let hdf5 = head.starts_with(b"\x89HDF\r\n\x1a\n");
    (hdf5 && has_ending(path, &["h5", "keras", "hdf5"])).then_some(Code::Keras)
}

/// Protocol 0 that calls something at once: `cposix\nsystem\n`, and then what an opcode may be.
fn is_global(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(b"c") else { return false };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let is_name = |line: Option<&[u8]>| line.is_some_and(|line| line.first().is_some_and(|c| !c.is_ascii_digit()) && line.iter().all(fits));
    let next = |line: Option<&[u8]>| line.and_then(|line| line.first().copied());
    is_name(lines.next()) && is_name(lines.next()) && next(lines.next()).is_some_and(|opcode| b"(qp.R)SV".contains(&opcode))
}

fn is_pickle_name(name: &str) -> bool {
    has_ending(Path::new(name), &["pkl", "pickle"])
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.iter().any(|one| one.eq_ignore_ascii_case(ending))
}

/// Eight bytes of length, then an object.
fn is_safetensors(head: &[u8], length: u64) -> bool {
    let Some((size, rest)) = head.split_first_chunk::<8>() else { return false };
    let size = u64::from_le_bytes(*size);
    size >= 2 && size <= length.saturating_sub(8) && rest.first() == Some(&b'{')
}

#[cfg(test)]
mod tests;
