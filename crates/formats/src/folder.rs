//! Which files make up the model in a folder, and do they go together?
//!
//! In: a folder of safetensors, as a hub has it. Out: its files by name, and what their headers say together. Fails: on a link
//! that leads out, a file that runs code, an index that names what is not there, a part that is missing. Blocks: some milliseconds for each file.
//! Bounded: [`MOST_FILES`] files in [`DEEPEST`] folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{self, Config};
use crate::error::Error;
use crate::sniff::{Kind, sniff};
use crate::{safe_name, safetensors};

/// Published models have at most some hundred.
const MOST_FILES: usize = 2_000;
const DEEPEST: usize = 4;
const INDEX: &str = "model.safetensors.index.json";
/// Digits of a part's number.
const DIGITS: usize = 5;

/// The model in a folder.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// Its files by name, in order; those with weights among them.
    pub files: Vec<String>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors, by their type.
    pub kinds: BTreeMap<String, u64>,
    /// What its config says.
    pub config: Config,
}

impl Folder {
    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.kinds.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
    /// The type that most of its bytes have.
    pub fn kind(&self) -> Option<&str> {
        self.kinds.iter().max_by_key(|(_, bytes)| **bytes).map(|(kind, _)| kind.as_str())
    }
}

/// The files of a folder by name, in order; none of them runs code.
pub fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let root = folder.canonicalize().map_err(Error::read(folder))?;
    let mut files = Vec::new();
    list(&root, (&root, 0), &mut files)?;
    files.sort();
    for name in &files {
        let path = root.join(name);
        if let Kind::Code(code) = sniff(&path)? {
            return Err(Error::RunsCode { path, code });
        }
    }
    if files.is_empty() { Err(Error::NoModel { path: folder.to_owned() }) } else { Ok(files) }
}

/// Reads all that lies in the folder.
pub fn read(folder: &Path) -> Result<Folder, Error> {
    let root = folder.canonicalize().map_err(Error::read(folder))?;
    let files = names(folder)?;
    let mut found = Folder { config: config::read(&root)?, ..Folder::default() };
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in &files {
        let path = root.join(name);
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            let header = safetensors::read(&path)?;
            found.parameters = found.parameters.saturating_add(header.parameters);
            for (kind, bytes) in &header.kinds {
                let sum = found.kinds.entry(kind.clone()).or_default();
                *sum = sum.saturating_add(*bytes);
            }
            names.insert(name.clone(), header.names);
        }
    }
    if names.is_empty() {
        return Err(Error::NoModel { path: folder.to_owned() });
    }
    match config::json(&root.join(INDEX))? {
        Some(index) => check_index((&root.join(INDEX), &index), &names)?,
        None => check_parts(&root, &names)?,
    }
    found.files = files;
    Ok(found)
}

/// Every file below the folder. Hidden ones (`.git`, a hub's cache) are not part of the model.
fn list(root: &Path, (folder, depth): (&Path, usize), files: &mut Vec<String>) -> Result<(), Error> {
    for entry in folder.read_dir().map_err(Error::read(folder))? {
        let entry = entry.map_err(Error::read(folder))?;
        let path = entry.path();
        let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
            return Err(Error::Name { name: path.to_string_lossy().into_owned(), why: "it is not UTF-8" });
        };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        safe_name(name)?;
        let target = target(root, &entry)?;
        if target.is_dir() {
            if depth + 1 >= DEEPEST {
                return Err(Error::TooMuch { path, what: format!("folders in more than {DEEPEST} folders") });
            }
            list(root, (&path, depth + 1), files)?;
        } else if target.is_file() {
            files.push(name.to_owned());
        }
        if files.len() > MOST_FILES {
            return Err(Error::TooMuch { path: root.to_owned(), what: format!("more than {MOST_FILES} files") });
        }
    }
    Ok(())
}

/// What a link leads to must lie below the folder too.
fn target(root: &Path, entry: &DirEntry) -> Result<PathBuf, Error> {
    let path = entry.path();
    if !entry.file_type().map_err(Error::read(&path))?.is_symlink() {
        return Ok(path);
    }
    let target = path.canonicalize().map_err(Error::read(&path))?;
    if target.starts_with(root) && target != *root && !path.starts_with(&target) { Ok(target) } else { Err(Error::Link { path }) }
}

/// Every tensor of the index is in the file that it names, and that file is here.
fn check_index((path, index): (&Path, &Value), names: &BTreeMap<String, BTreeSet<String>>) -> Result<(), Error> {
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(Error::corrupt(path, "index", "it has no weight_map"));
    };
    let missing = |what: String| Error::Missing { path: path.to_owned(), what };
    for (tensor, file) in map {
        let file = file.as_str().unwrap_or_default();
        safe_name(file)?;
        let tensors = names.get(file).ok_or_else(|| missing(format!("the file {file}")))?;
        if !tensors.contains(tensor) {
            return Err(missing(format!("the tensor `{}` of {file}", tensor.escape_default())));
        }
    }
    Ok(())
}

/// Without an index the names alone say how many parts there are.
fn check_parts(root: &Path, names: &BTreeMap<String, BTreeSet<String>>) -> Result<(), Error> {
    let named: BTreeMap<(&str, u32), &String> = names.keys().filter_map(|name| Some((parts(name)?, name))).collect();
    for ((stem, of), name) in named {
        let mut all = (1..=of).map(|number| format!("{stem}-{number:0DIGITS$}-of-{of:0DIGITS$}.safetensors"));
        if let Some(missing) = all.find(|part| !names.contains_key(part)) {
            return Err(Error::Missing { path: root.join(name), what: format!("{of} parts, among them {missing}") });
        }
    }
    Ok(())
}

/// Of `STEM-00002-of-00003.safetensors` the stem, and how many there are.
fn parts(name: &str) -> Option<(&str, u32)> {
    let (rest, of) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let number_of = |text: &str| (text.len() == DIGITS).then(|| text.parse::<u32>().ok()).flatten();
    let (number, of) = (number_of(number)?, number_of(of)?);
    (1 <= number && number <= of).then_some((stem, of))
}

#[cfg(test)]
mod tests;
