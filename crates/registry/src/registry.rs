//! Which version does a source mean now?
//!
//! In: a [`Source`]. Out: a [`Version`] whose files are here, whole, and of a kind that the engines
//! know. Fails: with what is wrong and where. Holds: the store; a place in the line of those who
//! hash and one for those who change a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::tasks;
use spec::{Source, Version};
use store::{FileStamp, Store};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::progress::Progress;
use crate::{inspect, parts, place};

/// Where models are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// A folder of models; a file in it may be called by its bare name.
    pub models_dir: Option<PathBuf>,
    /// Relative paths count from here: the folder of the config file.
    pub base_dir: PathBuf,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
}

/// The models that can be served; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) config: Config,
    /// One file at a time.
    pub(crate) hashing: Semaphore,
    /// One change at a time: a model is read, changed and written as a whole.
    pub(crate) one_writer: Semaphore,
}

impl Registry {
    /// A registry that remembers in this store.
    pub fn new(store: Store, dirs: Config) -> Self {
        Self { inner: Arc::new(Inner { store, config: dirs, hashing: Semaphore::new(1), one_writer: Semaphore::new(1) }) }
    }

    /// The version that a source means now.
    pub async fn resolve(&self, source: &Source) -> Result<Version, Error> {
        self.resolve_watched(source, &Progress::new()).await
    }

    /// The same, and somebody looks on while a large file is hashed.
    pub async fn resolve_watched(&self, source: &Source, progress: &Progress) -> Result<Version, Error> {
        match source {
            Source::File(path) => self.resolve_file(path, progress).await,
            Source::Registry { name, tag } => self.resolve_name(name, tag.as_deref(), progress).await,
            Source::Hub(_) | Source::S3(_) | Source::Http(_) => Err(Error::Unreachable(source.clone())),
        }
    }

    pub(crate) async fn resolve_file(&self, typed: &Path, progress: &Progress) -> Result<Version, Error> {
        let (this, typed) = (self.clone(), typed.to_owned());
        let named = typed.clone();
        let (files, facts) =
            tasks::blocking("inspect", move || this.look(&typed)).await.unwrap_or(Err(Error::Interrupted { path: named }))?;
        let digest = self.digest(&files, progress).await?;
        Ok(Version { digest, ..facts })
    }

    /// The files and what their headers say. Blocks.
    fn look(&self, typed: &Path) -> Result<(Vec<FileStamp>, Version), Error> {
        let files = parts::all(&place::absolute(typed, &self.inner.config)?)?;
        let facts = inspect::facts(&files)?;
        Ok((files, facts))
    }
}

#[cfg(test)]
mod tests;
