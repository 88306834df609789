//! Blobs that live in an object store; this machine has a cache of them.
//!
//! In: blobs that are whole here. Out: the same in the store (`write`), and back again when they are wanted. Fails: as the store does; when the cache
//! would have to take away what is held. What leaves the cache is what the store has, whole and right (`proof`). How a store takes conditions is tried
//! out once.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use base::ByteSize;
use futures_util::stream::StreamExt as _;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use tokio::sync::{OnceCell, Semaphore};

use crate::blobs::{Blob, Blobs, blocking};
use crate::bucket::Bucket;
use crate::digest::Digest;
use crate::error::Error;
use crate::part::{Begin, Part};
use crate::state::PartId;

mod proof;
mod write;

use proof::{Proof, Proofs};

/// How a store takes `If-None-Match: *`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// What is there stays, and we are told.
    Kept,
    /// It overwrites all the same.
    Ignored,
    /// It refuses such a request.
    Refused,
}

/// The blobs of one store.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) bucket: Bucket,
    conditions: OnceCell<Conditions>,
    /// Who makes room in the cache says what it is for before the next one looks.
    room: Semaphore,
    proofs: Proofs,
    /// It takes objects with nothing said of them alone.
    is_wordless: AtomicBool,
}

impl Remote {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, conditions: OnceCell::new(), room: Semaphore::new(1), proofs: Proofs::default(), is_wordless: AtomicBool::default() }
    }

    /// Its length; none when the store does not have it.
    pub(crate) async fn size(&self, digest: &Digest) -> Result<Option<ByteSize>, Error> {
        Ok(self.bucket.look(&name(digest)).await?.map(|object| ByteSize(object.size)))
    }

    /// Tried out with two writes to one name; the answer is kept.
    pub(crate) async fn conditions(&self) -> Result<Conditions, Error> {
        self.conditions.get_or_try_init(|| self.probe()).await.copied()
    }

    async fn probe(&self) -> Result<Conditions, Error> {
        let path = self.bucket.path(&format!("probe/{}", PartId::random()));
        let store = &self.bucket.store;
        let create = || store_put(PutMode::Create);
        let found = match store.put_opts(&path, PutPayload::from_static(b"1"), create()).await {
            Ok(_) => match store.put_opts(&path, PutPayload::from_static(b"2"), create()).await {
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Conditions::Kept,
                Ok(_) => Conditions::Ignored,
                Err(error) => return Err(self.failed(error)),
            },
            Err(error) if is_refusal(&error) => Conditions::Refused,
            Err(error) => return Err(self.failed(error)),
        };
        if let Err(error) = store.delete(&path).await {
            tracing::debug!(%error, "what was written to try a store out could not be removed");
        }
        tracing::info!(store = %self.bucket, conditions = ?found, "object store tried out");
        Ok(found)
    }

    pub(crate) async fn delete(&self, digest: &Digest) -> Result<(), Error> {
        match self.bucket.store.delete(&self.bucket.path(&name(digest))).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Everything that the store has.
    pub(crate) async fn list(&self) -> Result<Vec<(Digest, ObjectMeta)>, Error> {
        let mut found = Vec::new();
        let mut all = self.bucket.store.list(Some(&self.bucket.path("sha256")));
        while let Some(object) = all.next().await {
            let object = object.map_err(|error| self.failed(error))?;
            if let Some(digest) = object.location.filename().and_then(|name| name.parse().ok()) {
                found.push((digest, object));
            }
        }
        Ok(found)
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::store(&self.bucket.to_string())(error)
    }
}

impl Blobs {
    /// Brings a blob from the store into the cache; the unfinished file of an earlier try is gone on with.
    pub(crate) async fn bring(&self, remote: &Remote, digest: &Digest) -> Result<Blob, Error> {
        let object = remote.bucket.look(&name(digest)).await?.ok_or_else(|| Error::NoBlob(digest.clone()))?;
        let size = ByteSize(object.size);
        let id = PartId::of(&format!("store {digest}"));
        let turn = remote.room.acquire().await.map_err(|_closed| Error::Interrupted)?;
        match self.make_room(remote, size, Some(&id)).await {
            // One that came to its end while we looked counted twice.
            Err(Error::CacheFull { .. }) => self.make_room(remote, size, Some(&id)).await?,
            made => made?,
        }
        let mut part = self.begin(Begin { id, total: Some(size.0), note: digest.to_string(), by: String::new() }).await?;
        drop(turn);
        let (is_all_new, is_read) = (part.offset() == 0, part.offset() < size.0);
        // Of one that an earlier try has brought to its end there is nothing more to read.
        if is_read && let Err(error) = rest(remote, digest, &mut part).await {
            drop(part.flush().await); // what went wrong first is told
            return Err(error);
        }
        let brought = part.finish_here(Some(digest)).await;
        match &brought {
            Ok(_) if is_read => remote.proofs.note(digest, Proof::Right(object.version)),
            // What an earlier try has left may be what was wrong.
            Err(Error::Mismatch { .. }) if is_all_new => remote.proofs.note(digest, Proof::Doubted),
            _ => {}
        }
        brought
    }

    /// Takes from the cache what was not wanted for the longest time, until a newcomer fits beside those that are on their way.
    async fn make_room(&self, remote: &Remote, wanted: ByteSize, newcomer: Option<&PartId>) -> Result<(), Error> {
        let Some(most) = self.config().cache else { return Ok(()) };
        // Before what is here: who comes to an end between the two looks is seen.
        let coming = newcomer.map(|id| self.claims().whole_of_others(id)).unwrap_or_default();
        let layout = self.layout().clone();
        let mut here = blocking(move || layout.each_blob()).await?;
        here.sort_by_key(|(_, seen)| seen.modified().ok());
        let mut used = coming + here.iter().map(|(_, seen)| ByteSize(seen.len())).sum();
        for (digest, seen) in here {
            if used + wanted <= most {
                break;
            }
            let size = ByteSize(seen.len());
            if self.holds().if_free(&digest, || ()).is_none() {
                continue;
            }
            // Only what the store really has; where it has something else, this may be the last good copy.
            if !remote.has(&digest, size).await? {
                let path = self.layout().blob(&digest);
                if let Err(error) = remote.put(&Blob { hold: self.hold(&digest), size, path, digest: digest.clone() }).await {
                    tracing::warn!(%digest, error = base::chain(&error), "a blob stays in the cache: the store does not have it");
                    continue;
                }
            }
            if self.evict(&digest).await? {
                used = used.saturating_sub(size);
            }
        }
        if used + wanted <= most { Ok(()) } else { Err(Error::CacheFull { most, used, wanted }) }
    }

    /// What is whole here goes to the store, where there is one; then it counts in the cache.
    pub(crate) async fn offload(&self, blob: &Blob) -> Result<(), Error> {
        let Some(remote) = self.remote() else { return Ok(()) };
        remote.put(blob).await?;
        self.shrink(remote).await;
        Ok(())
    }

    /// Brings the cache back to its limit, as far as nobody holds what is in it.
    async fn shrink(&self, remote: &Remote) {
        if let Err(error) = self.make_room(remote, ByteSize::default(), None).await {
            tracing::warn!(store = %remote.bucket, error = base::chain(&error), "the cache is larger than it may be");
        }
    }

    /// Sends to the store what an earlier Penstock could not send; tells how many went.
    pub async fn settle(&self) -> Result<usize, Error> {
        let Some(remote) = self.remote() else { return Ok(0) };
        let there: HashMap<Digest, ByteSize> =
            remote.list().await?.into_iter().map(|(digest, seen)| (digest, ByteSize(seen.size))).collect();
        let mut sent = 0;
        for (digest, size) in self.list().await? {
            if there.get(&digest) != Some(&size) {
                match remote.put(&self.local(&digest).await?).await {
                    Ok(()) => sent += 1,
                    Err(Error::Mismatch { .. }) => {
                        tracing::warn!(%digest, "a blob here is no longer what it was, and is not sent to the store");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.shrink(remote).await;
        Ok(sent)
    }

    /// How the store takes conditions; none where there is no store.
    pub async fn conditions(&self) -> Result<Option<Conditions>, Error> {
        match self.remote() {
            Some(remote) => remote.conditions().await.map(Some),
            None => Ok(None),
        }
    }
}

fn name(digest: &Digest) -> String {
    format!("sha256/{}/{}", digest.hex().get(..2).unwrap_or_default(), digest.hex())
}

/// From where it is to its end.
async fn rest(remote: &Remote, digest: &Digest, part: &mut Part) -> Result<(), Error> {
    let mut bytes = remote.bucket.read(&name(digest), part.offset(), None).await?;
    while let Some(chunk) = bytes.next().await {
        part.append(part.offset(), chunk?).await?;
    }
    Ok(())
}

fn store_put(mode: PutMode) -> PutOptions {
    PutOptions { mode, ..PutOptions::default() }
}

/// The store knows no conditions, and says so.
fn is_refusal(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })
        || base::chain(error).contains("NotImplemented")
}
