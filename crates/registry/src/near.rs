//! What was probably meant?
//!
//! In: a path at which no model lies. Out: a model file with a similar name, or the last folder of
//! the path that exists. Fails: never; a folder that cannot be read has no suggestions. Bounded: the
//! first [`MOST_LOOKED_AT`] entries of a folder.

use std::path::{Path, PathBuf};

use crate::error::Near;

/// Entries of a folder that are looked at.
pub(crate) const MOST_LOOKED_AT: usize = 1_000;

/// Near a path where nothing is.
pub(crate) fn of_missing(path: &Path) -> Option<Near> {
    let folder = path.parent()?;
    if folder.is_dir() {
        let wanted = path.file_name()?.to_str()?;
        let names = model_names(folder);
        let near = spec::suggest(wanted, names.iter().map(String::as_str))?;
        return Some(Near::File(folder.join(near)));
    }
    folder.ancestors().find(|above| above.is_dir()).map(|above| Near::Folder(above.to_owned()))
}

/// In a folder that was named instead of a file: the first model by name.
pub(crate) fn in_folder(folder: &Path) -> Option<Near> {
    model_names(folder).into_iter().min().map(|name| Near::File(folder.join(name)))
}

/// Whether a file is called like a model.
pub(crate) fn is_model(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

fn model_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    entries
        .take(MOST_LOOKED_AT)
        .filter_map(Result::ok)
        .map(|entry| PathBuf::from(entry.file_name()))
        .filter(|name| is_model(name))
        .filter_map(|name| name.into_os_string().into_string().ok())
        .collect()
}
