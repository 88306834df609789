//! What is it that somebody brings, and what do its headers say?
//!
//! In: an absolute path, and a format where somebody declared one. Out: its files, and the facts of a [`Version`], all but the
//! digests. Fails: on what is damaged, unknown, or runs code when it is opened. Blocks: some milliseconds for each file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use formats::Kind;
use spec::{Capability, Format, Version};
use store::FileStamp;

use crate::error::Error;
use crate::{near, parts};

mod gguf;
mod others;

/// A model as it lies there.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its files, the main one first.
    pub(crate) files: Vec<FileStamp>,
    /// The folder that their names count from.
    pub(crate) root: PathBuf,
    /// What their headers say; without digests.
    pub(crate) facts: Version,
}

/// Looks at a file or a folder.
pub(crate) fn look(path: &Path, declared: Option<Format>) -> Result<Seen, Error> {
    let seen = if path.is_dir() { look_at_folder(path, declared)? } else { look_at_file(path, declared)? };
    match declared {
        Some(declared) if declared != seen.facts.format => {
            Err(Error::OtherFormat { path: path.to_owned(), declared, found: seen.facts.format })
        }
        _ => Ok(seen),
    }
}

/// The model with the part that turns images or sounds into what it reads.
pub(crate) fn with_projector(seen: Seen, path: &Path, name: String) -> Result<Seen, Error> {
    let file = parts::stamp(path)?;
    let can = gguf::projects(&file)?;
    let mut facts = seen.facts;
    facts.size += base::ByteSize(file.len);
    facts.contents.capabilities.extend(can);
    facts.contents.projector = Some(name);
    Ok(Seen { files: seen.files.into_iter().chain([file]).collect(), facts, ..seen })
}

fn look_at_folder(path: &Path, declared: Option<Format>) -> Result<Seen, Error> {
    match declared {
        None | Some(Format::Safetensors) => {}
        Some(Format::Opaque) => return others::opaque_folder(path),
        Some(_) => return Err(Error::NotAFile { near: near::in_folder(path), path: path.to_owned() }),
    }
    match others::folder(path) {
        // A folder with nothing in it but one that is named instead of a file.
        Err(Error::Format(formats::Error::NoModel { .. })) => Err(Error::NotAFile { near: near::in_folder(path), path: path.to_owned() }),
        other => other,
    }
}

fn look_at_file(path: &Path, declared: Option<Format>) -> Result<Seen, Error> {
    let main = parts::stamp(path)?;
    let is_gguf = near::is_model(path) || declared == Some(Format::Gguf);
    let kind = formats::sniff(path).map_err(|error| of_format(path, error))?;
    if let Kind::Code(code) = kind {
        return Err(Error::Format(formats::Error::RunsCode { path: path.to_owned(), code }));
    }
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    match kind {
        Kind::Gguf => {}
        _ if is_gguf => {}
        _ if declared == Some(Format::Opaque) => return Ok(Seen { facts: others::opaque(path, main.len), files: vec![main], root }),
        Kind::Safetensors => return others::single(path, main),
        Kind::Onnx => return others::onnx(path, main),
        Kind::Code(_) | Kind::Other => return Err(Error::UnknownFormat { path: path.to_owned() }),
    }
    let files = parts::all(path)?;
    let facts = gguf::facts(&files)?;
    Ok(Seen { files, root, facts })
}

/// What the system said keeps its own words.
pub(crate) fn of_format(path: &Path, error: formats::Error) -> Error {
    match error {
        formats::Error::Read { source, .. } => Error::io(path.to_owned(), source),
        error => Error::Format(error),
    }
}

/// What a model that speaks can do, as its chat template shows.
fn of_template(template: Option<&str>) -> BTreeSet<Capability> {
    let mut found = BTreeSet::from([Capability::Completion]);
    let Some(template) = template else { return found };
    found.insert(Capability::Chat);
    if template.contains("tools") || template.contains("tool_call") {
        found.insert(Capability::Tools);
    }
    if template.contains("<think>") || template.contains("enable_thinking") || template.contains("reasoning_content") {
        found.insert(Capability::Reasoning);
    }
    found
}
