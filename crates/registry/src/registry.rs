//! Which version does a source mean now?
//!
//! In: a [`Source`]. Out: a [`Version`] whose files are here, whole, and inspected. Fails: with what is wrong and where. Holds:
//! the store; the blobs; a place in the line of those who hash and one for those who change a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{ByteSize, tasks};
use blobs::Blobs;
use blobs::web::Web;
use futures_util::future::BoxFuture;
use spec::{Format, Keep, Source, Version};
use store::Store;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::fetch::Fetching;
use crate::fetch::flights::Flights;
use crate::forget::News;
use crate::inspect::Seen;
use crate::progress::Progress;
use crate::pulls::Pulls;
use crate::{inspect, place};

/// Where models are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// A folder of models; a file in it may be called by its bare name.
    pub models_dir: Option<PathBuf>,
    /// Relative paths count from here: the folder of the config file.
    pub base_dir: PathBuf,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Where Penstock keeps what is its own: no file in it is a model for all.
    pub own_dir: Option<PathBuf>,
    /// A model with more bytes than this is refused; none for no limit.
    pub max_size: Option<ByteSize>,
    /// How files of other machines come here.
    pub fetching: Fetching,
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
    /// Files that Penstock keeps itself; without them models are only referred to.
    pub(crate) blobs: Option<Blobs>,
    /// One file at a time.
    pub(crate) hashing: Semaphore,
    /// One change at a time: a model is read, changed and written as a whole.
    pub(crate) one_writer: Semaphore,
    /// Asks other machines.
    pub(crate) web: Web,
    /// What is being fetched.
    pub(crate) flights: Flights,
    /// Pulls that somebody asked for.
    pub(crate) pulls: Pulls,
    /// What happened by itself.
    pub(crate) news: News,
}

impl Registry {
    /// A registry that remembers in this store.
    pub fn new(store: Store, dirs: Config) -> Self {
        Self::keeping(store, dirs, None)
    }

    /// The same, and it keeps files itself.
    pub fn keeping(store: Store, config: Config, blobs: Option<Blobs>) -> Self {
        let (web, flights) = (config.fetching.web(), Flights::default());
        let inner = Inner {
            store,
            config,
            blobs,
            hashing: Semaphore::new(1),
            one_writer: Semaphore::new(1),
            web,
            flights,
            pulls: Pulls::default(),
            news: News::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The files that Penstock keeps itself.
    pub fn blobs(&self) -> Result<&Blobs, Error> {
        self.inner.blobs.as_ref().ok_or(Error::NoBlobs)
    }

    /// The version that a source means now.
    pub async fn resolve(&self, source: &Source) -> Result<Version, Error> {
        self.resolve_watched(source, &Progress::new()).await
    }

    /// The same, and somebody looks on while a large file is hashed.
    pub async fn resolve_watched(&self, source: &Source, progress: &Progress) -> Result<Version, Error> {
        match source {
            Source::File(path) => self.resolve_file(path, None, progress).await,
            Source::Registry { name, tag } => self.resolve_name(name, tag.as_deref(), progress).await,
            Source::Hub(_) | Source::S3(_) | Source::Http(_) | Source::Ollama(_) => {
                // Of a plain future the compiler cannot tell for every lifetime that it may go to another thread.
                let fetched: BoxFuture<'_, Result<Version, Error>> = Box::pin(self.resolve_remote(source, progress));
                fetched.await
            }
            Source::Upload => Err(Error::NoSource),
        }
    }

    /// A file or a folder as it lies there now.
    pub(crate) async fn resolve_file(&self, typed: &Path, declared: Option<Format>, progress: &Progress) -> Result<Version, Error> {
        let seen = self.look(place::absolute(typed, &self.inner.config)?, declared).await?;
        let files = self.digests(&seen, progress).await?;
        Ok(seen.version(files, Keep::Reference))
    }

    /// The same model with its projector.
    pub(crate) async fn look_at_projector(&self, seen: Seen, folder: &Path, name: String) -> Result<Seen, Error> {
        let path = folder.join(&name);
        let named = path.clone();
        let looked = tasks::blocking("inspect", move || inspect::with_projector(seen, &path, name)).await;
        looked.unwrap_or(Err(Error::Interrupted { path: named }))
    }

    /// The files and what their headers say.
    pub(crate) async fn look(&self, path: PathBuf, declared: Option<Format>) -> Result<Seen, Error> {
        let named = path.clone();
        let looked = tasks::blocking("inspect", move || inspect::look(&path, declared)).await;
        let seen = looked.unwrap_or(Err(Error::Interrupted { path: named.clone() }))?;
        match self.inner.config.max_size {
            Some(most) if seen.facts.size > most => Err(Error::TooLarge { path: named, size: seen.facts.size, most }),
            _ => Ok(seen),
        }
    }
}

#[cfg(test)]
mod tests;
