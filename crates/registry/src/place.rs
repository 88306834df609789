//! Where is the file that a source names?
//!
//! In: a path as somebody typed it. Out: an absolute one, which holds when the working folder
//! changes. Fails: [`Error::NoHome`]. A relative path counts from the folder of the config; one
//! that leads nowhere there is looked for among the models.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::registry::Config;

/// The absolute path.
pub(crate) fn absolute(typed: &Path, config: &Config) -> Result<PathBuf, Error> {
    if let Ok(below) = typed.strip_prefix("~") {
        let home = config.home.as_ref().ok_or_else(|| Error::NoHome { path: typed.to_owned() })?;
        return made_absolute(&home.join(below));
    }
    let path = made_absolute(&config.base_dir.join(typed))?;
    match &config.models_dir {
        Some(models) if typed.is_relative() && !path.exists() => {
            let among_models = made_absolute(&config.base_dir.join(models).join(typed))?;
            Ok(if among_models.exists() { among_models } else { path })
        }
        _ => Ok(path),
    }
}

/// The file of a model that was not registered but lies in the folder of models, by its file name
/// with or without the ending.
pub(crate) fn among_models(name: &str, config: &Config) -> Option<PathBuf> {
    let models = config.base_dir.join(config.models_dir.as_ref()?);
    [models.join(name), models.join(format!("{name}.gguf"))]
        .into_iter()
        .find(|path| path.is_file())
        .and_then(|path| made_absolute(&path).ok())
}

/// Whether this path, as somebody typed it, leads into the folder of models: what lies there is for all who bring models. Links are followed, so that
/// none leads out of it, and what Penstock keeps itself is for nobody. Blocks.
pub(crate) fn is_for_all(typed: &Path, config: &Config) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let Some(models) = config.models_dir.as_ref().and_then(|models| real(&config.base_dir.join(models))) else { return false };
    let Some(path) = absolute(typed, config).ok().and_then(|path| real(&path)) else { return false };
    let own = config.own_dir.as_deref().and_then(real);
    path.starts_with(&models) && own.is_none_or(|own| !path.starts_with(&own) || models.starts_with(&own))
}

/// Without `.` and `..`, as far as that is right in the presence of links: links stay as they are.
fn made_absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
