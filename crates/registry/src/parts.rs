//! Which files does a model consist of?
//!
//! In: the path of one file. Out: all of them in order; for `NAME-00002-of-00003.gguf` all three.
//! Fails: on one that is not there, is no file, or is empty. From: llama.cpp's naming of split
//! models (`llama_split_path`).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use store::FileStamp;

use crate::error::Error;
use crate::near;

/// More parts than any published model has.
const MOST_PARTS: u32 = 1_000;
/// Digits of the numbers.
const DIGITS: usize = 5;
const NANOS: i64 = 1_000_000_000;

/// What a split file is called.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    stem: String,
    number: u32,
    of: u32,
}

/// Number (from 1) and count, when the file is one part of several.
pub(crate) fn numbered(path: &Path) -> Option<(u32, u32)> {
    split(path).map(|s| (s.number, s.of))
}

/// The names of all files, when the name is that of one part of several.
pub(crate) fn siblings(path: &Path) -> Option<Vec<String>> {
    split(path).map(|split| (1..=split.of).map(|number| name_of(&split, number)).collect())
}

fn name_of(split: &Split, number: u32) -> String {
    format!("{}-{number:05}-of-{:05}.gguf", split.stem, split.of)
}

/// All files of the model, as they are now.
pub(crate) fn all(path: &Path) -> Result<Vec<FileStamp>, Error> {
    let Some(split) = split(path) else { return Ok(vec![stamp(path)?]) };
    (1..=split.of)
        .map(|number| {
            let part = path.with_file_name(name_of(&split, number));
            stamp(&part).map_err(|error| match error {
                Error::Missing { path, .. } if split.number != number => Error::MissingPart { path, of: split.of },
                other => other,
            })
        })
        .collect()
}

/// How the name of a file begins that turns images or sounds into what a model reads.
pub(crate) const PROJECTOR: &str = "mmproj";

/// Whether it is such a file, by its name.
pub(crate) fn is_projector(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    file.starts_with(PROJECTOR) && near::is_model(Path::new(name))
}

/// A file as it is now.
pub(crate) fn stamp(path: &Path) -> Result<FileStamp, Error> {
    let seen = path.metadata().map_err(|source| Error::io(path.to_owned(), source))?;
    let path: PathBuf = path.to_owned();
    if !seen.is_file() {
        return Err(Error::NotAFile { near: near::in_folder(&path), path });
    }
    if seen.len() == 0 {
        return Err(Error::Empty { path });
    }
    Ok(FileStamp { path, len: seen.len(), mtime: changed_at(&seen) })
}

fn changed_at(seen: &Metadata) -> i64 {
    seen.mtime().saturating_mul(NANOS).saturating_add(seen.mtime_nsec())
}

fn split(path: &Path) -> Option<Split> {
    let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (rest, of) = name.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let number_of = |text: &str| (text.len() == DIGITS).then(|| text.parse::<u32>().ok()).flatten();
    let (number, of) = (number_of(number)?, number_of(of)?);
    (1 <= number && number <= of && of <= MOST_PARTS).then(|| Split { stem: stem.to_owned(), number, of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        assert_eq!(numbered(Path::new("/m/big-00002-of-00003.gguf")), Some((2, 3)));
        for whole in ["big.gguf", "a-00001-of-00002.bin", "a-1-of-2.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf"] {
            assert_eq!(numbered(Path::new(whole)), None, "{whole}");
        }
    }
}
