//! What is here, and who may use it?
//!
//! In: digests and ids of unfinished files. Out: paths with holds, and [`Part`]s to write to. Fails: as the
//! disk does; with [`Error::NoBlob`], [`Error::Busy`]. Holds: the counts of holds, the claims of those who
//! write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base::{ByteSize, tasks};
use net::Guard;
use tokio::sync::Semaphore;

use crate::bucket::Bucket;
use crate::claim::{Claim, Claims};
use crate::config::Config;
use crate::digest::Digest;
use crate::error::Error;
use crate::hold::{Hold, Holds};
use crate::layout::{self, Layout};
use crate::part::{Begin, Part};
use crate::remote::Remote;
use crate::state::{PartId, PartState, Stored};

/// Unfinished files at one time, open or not.
const MOST_PARTS: usize = 5_000;
/// Of these, so many of one who begins them: the others have room as well.
pub(crate) const MOST_OF_ONE: usize = 200;

/// All blobs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    layout: Layout,
    holds: Holds,
    claims: Claims,
    remote: Option<Remote>,
    lines: Lines,
}

/// Who waits for which blob to come from the store.
type Lines = Mutex<HashMap<Digest, Weak<Semaphore>>>;

/// A whole file, held.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its content.
    pub digest: Digest,
    /// Its length.
    pub size: ByteSize,
    /// Where it lies.
    pub path: PathBuf,
    /// Keeps it.
    pub hold: Hold,
}

impl Blobs {
    /// Opens the folder, and makes it where it is missing.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let dir = config.dir.clone();
        let layout = blocking(move || Layout::make(&dir)).await?;
        // The store stands in the operator's own config, so it may be anywhere.
        let bucket = config.store.as_ref().map(|store| Bucket::open(store, Guard::default())).transpose()?;
        let remote = bucket.map(Remote::new);
        let inner = Inner { config, layout, holds: Holds::default(), claims: Claims::default(), remote, lines: Lines::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Begins a file, or goes on with one of the same id, promise and note.
    pub async fn begin(&self, begin: Begin) -> Result<Part, Error> {
        let claim = self.inner.claims.take_soon(&begin.id).await?;
        let this = self.clone();
        blocking(move || this.begun(claim, begin)).await
    }

    fn begun(self, claim: Claim, begin: Begin) -> Result<Part, Error> {
        let path = self.layout().part(&begin.id);
        let Some(known) = PartState::load(&path)?.filter(|known| is_same(&known.state, &begin)) else {
            self.room_for_part(&begin.by)?;
            PartState::forget(&path);
            return Part::open(self, claim, (PartState::new(begin), None), None);
        };
        if let Some((blob, digest)) = self.became(&path, &known) {
            let _hold = self.hold(&digest);
            let hash = known.hash_alone();
            return Part::open(self, claim, (known.state, hash), Some(blob));
        }
        let hash = known.hash(&path)?;
        Part::open(self, claim, (PartState { total: begin.total, ..known.state }, hash), None)
    }

    /// The blob that an unfinished file has become, where nobody heard of it.
    fn became(&self, part: &Path, known: &Stored) -> Option<(PathBuf, Digest)> {
        let digest = known.digest().filter(|_| !part.exists())?;
        let blob = self.layout().blob(&digest);
        let is_whole = blob.metadata().is_ok_and(|seen| seen.len() == known.state.offset);
        is_whole.then_some((blob, digest))
    }

    /// Goes on with an unfinished file.
    pub async fn resume(&self, id: &PartId) -> Result<Part, Error> {
        let claim = self.inner.claims.take_soon(id).await?;
        let (this, id) = (self.clone(), id.clone());
        blocking(move || {
            let path = this.layout().part(&id);
            let known = PartState::load(&path)?.filter(|_| path.exists()).ok_or(Error::NoPart(id))?;
            let hash = known.hash(&path)?;
            Part::open(this, claim, (known.state, hash), None)
        })
        .await
    }

    /// How far an unfinished file is.
    pub async fn part(&self, id: &PartId) -> Result<PartState, Error> {
        let (path, id) = (self.layout().part(id), id.clone());
        blocking(move || PartState::load(&path)?.filter(|_| path.exists()).map(|known| known.state).ok_or(Error::NoPart(id))).await
    }

    /// All unfinished files, the oldest first.
    pub async fn parts(&self) -> Result<Vec<PartState>, Error> {
        let this = self.clone();
        blocking(move || this.each_part()).await
    }

    /// Gives up an unfinished file that nobody is writing.
    pub async fn abort(&self, id: &PartId) -> Result<(), Error> {
        let claim = self.inner.claims.take_soon(id).await?;
        let (path, id) = (self.layout().part(id), id.clone());
        blocking(move || {
            let known = PartState::load(&path)?.filter(|_| path.exists());
            PartState::forget(&path);
            drop(claim);
            known.map(|_| ()).ok_or(Error::NoPart(id))
        })
        .await
    }

    /// Keeps a blob from being taken away, whether it is here yet or not.
    pub fn hold(&self, digest: &Digest) -> Hold {
        self.inner.holds.take(digest)
    }

    /// The blob's file on this machine; it is brought from the store if it is not here. Many who want it bring it once.
    pub async fn local(&self, digest: &Digest) -> Result<Blob, Error> {
        let hold = self.hold(digest);
        if let Some(blob) = self.here(digest, &hold).await? {
            return Ok(blob);
        }
        let remote = self.remote().ok_or_else(|| Error::NoBlob(digest.clone()))?;
        let line = self.line(digest);
        let _turn = line.acquire().await.map_err(|_closed| Error::Interrupted)?;
        match self.here(digest, &hold).await? {
            Some(blob) => Ok(blob),
            None => self.bring(remote, digest).await,
        }
    }

    /// The blob's file, if it is on this machine.
    async fn here(&self, digest: &Digest, hold: &Hold) -> Result<Option<Blob>, Error> {
        let (path, digest, hold) = (self.layout().blob(digest), digest.clone(), hold.clone());
        blocking(move || match path.metadata() {
            Ok(seen) => {
                layout::touch(&path);
                Ok(Some(Blob { size: ByteSize(seen.len()), digest, path, hold }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(path)(error)),
        })
        .await
    }

    fn line(&self, digest: &Digest) -> Arc<Semaphore> {
        let mut lines = self.inner.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| line.strong_count() > 0);
        if let Some(line) = lines.get(digest).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Semaphore::new(1));
        lines.insert(digest.clone(), Arc::downgrade(&line));
        line
    }

    /// The length of a blob that is here, or in the store.
    pub async fn size(&self, digest: &Digest) -> Result<Option<ByteSize>, Error> {
        let here = self.here(digest, &self.hold(digest)).await?.map(|blob| blob.size);
        match (here, self.remote()) {
            (None, Some(remote)) => remote.size(digest).await,
            (here, _) => Ok(here),
        }
    }

    /// All blobs that are here with their lengths, by digest.
    pub async fn list(&self) -> Result<Vec<(Digest, ByteSize)>, Error> {
        let layout = self.layout().clone();
        let mut all: Vec<_> = blocking(move || layout.each_blob()).await?.into_iter().map(|(d, seen)| (d, ByteSize(seen.len()))).collect();
        all.sort();
        Ok(all)
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.inner.remote.as_ref()
    }
    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }
    pub(crate) fn holds(&self) -> &Holds {
        &self.inner.holds
    }
    pub(crate) fn claims(&self) -> &Claims {
        &self.inner.claims
    }
    pub(crate) fn claimed_by_others(&self, id: &PartId) -> ByteSize {
        self.inner.claims.of_others(id)
    }

    /// Blocks.
    pub(crate) fn each_part(&self) -> Result<Vec<PartState>, Error> {
        let mut parts = Vec::new();
        for path in layout::entries(&self.layout().parts())? {
            if path.extension().is_none()
                && let Some(known) = PartState::load(&path)?
            {
                parts.push(known.state);
            }
        }
        parts.sort_by_key(|part| part.created_at);
        Ok(parts)
    }

    fn room_for_part(&self, by: &str) -> Result<(), Error> {
        let files = layout::entries(&self.layout().parts())?;
        let parts = files.iter().filter(|path| path.extension().is_none()).count();
        if parts >= MOST_PARTS {
            return Err(Error::TooManyParts(parts));
        }
        // They are read only where one could have so many.
        if by.is_empty() || parts < MOST_OF_ONE {
            return Ok(());
        }
        let theirs = self.each_part()?.iter().filter(|part| part.by == by).count();
        if theirs < MOST_OF_ONE { Ok(()) } else { Err(Error::TooManyOfYours(theirs)) }
    }
}

fn is_same(state: &PartState, begin: &Begin) -> bool {
    state.note == begin.note && (state.total.is_none() || state.total == begin.total)
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tasks::blocking("blobs", work).await.unwrap_or(Err(Error::Interrupted))
}
