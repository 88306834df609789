//! Which models lie in a folder?
//!
//! In: a folder. Out: every model file in it with the name that clients can call it by; a model in
//! several files counts once. Fails: when the folder cannot be read; a file that cannot be used has
//! its own error beside its name. Bounded: the first [`MOST_MODELS`] by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::tasks;
use spec::{Name, Version};

use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;
use crate::{near, parts};

/// More than anybody keeps in one folder.
const MOST_MODELS: usize = 1_000;

impl Registry {
    /// Names and paths of the models in a folder, without reading them: fast, whatever their size.
    /// The name is the file's name without `.gguf`; [`Registry::resolve`] understands both.
    pub async fn files(&self, dir: &Path) -> Result<Vec<(Name, PathBuf)>, Error> {
        let dir = self.inner.config.base_dir.join(dir);
        let named = dir.clone();
        tasks::blocking("scan", move || list(&dir)).await.unwrap_or(Err(Error::Interrupted { path: named }))
    }

    /// The models in a folder with their versions. Hashes every file that was not hashed before,
    /// which takes its time in a folder of large ones.
    pub async fn scan(&self, dir: &Path) -> Result<Vec<(Name, Result<Version, Error>)>, Error> {
        let mut found = Vec::new();
        for (name, path) in self.files(dir).await? {
            found.push((name, self.resolve_file(&path, None, &Progress::new()).await));
        }
        Ok(found)
    }
}

fn list(dir: &Path) -> Result<Vec<(Name, PathBuf)>, Error> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Permission { path: dir.to_owned(), source },
        std::io::ErrorKind::NotFound => Error::Missing { path: dir.to_owned(), near: near::of_missing(dir) },
        _ => Error::Read { path: dir.to_owned(), source },
    };
    let mut found = BTreeMap::new();
    for entry in dir.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_first = parts::numbered(&path).is_none_or(|(number, _)| number == 1);
        if near::is_model(&path) && is_first && path.is_file() {
            if let Some(name) = name_of(&path) {
                found.insert(name, path);
            } else {
                tracing::warn!(path = %path.display(), "this model's file name makes no model name; rename it to serve it");
            }
        }
    }
    if found.len() > MOST_MODELS {
        tracing::warn!(dir = %dir.display(), found = found.len(), served = MOST_MODELS, "more models than are served from one folder");
    }
    Ok(found.into_iter().take(MOST_MODELS).collect())
}

/// The file's name without its ending; a character that a name cannot have becomes `-`.
fn name_of(path: &Path) -> Option<Name> {
    let stem = path.file_stem()?.to_str()?;
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let text: String = stem.chars().map(fits).collect();
    Name::parse(text.trim_matches(|c: char| !c.is_ascii_alphanumeric())).ok()
}
