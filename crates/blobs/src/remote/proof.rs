//! Is what the store has under a name what the name says?
//!
//! In: a digest and a length. Out: whether the store's copy may be relied on. What we write carries its SHA-256 as metadata, put there together with its
//! bytes. A store that keeps none, and an object that has become another than we know, are read through once. Fails: as the store does. Holds: what was
//! found of the objects that were last looked at; a short lock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::ByteSize;
use futures_util::stream::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::{Remote, name};
use crate::blobs::blocking;
use crate::digest::Digest;
use crate::error::Error;

/// So many are remembered; of others it is found out again.
const MOST: usize = 10_000;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// In this state it was what its name says.
    Right(String),
    /// It came out as something else, whatever is said of it.
    Doubted,
}

#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<Digest, Proof>>);

impl Proofs {
    pub(super) fn note(&self, digest: &Digest, proof: Proof) {
        let mut proofs = self.lock();
        if proofs.len() >= MOST {
            proofs.clear();
        }
        proofs.insert(digest.clone(), proof);
    }

    fn of(&self, digest: &Digest) -> Option<Proof> {
        self.lock().get(digest).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remote {
    /// Whether the store has it, whole and right.
    pub(super) async fn has(&self, digest: &Digest, size: ByteSize) -> Result<bool, Error> {
        let Some(object) = self.bucket.look(&name(digest)).await?.filter(|object| object.size == size.0) else { return Ok(false) };
        match (self.proofs.of(digest), &object.sha256) {
            (Some(Proof::Right(state)), _) if state == object.version => return Ok(true),
            (None, Some(said)) => return Ok(said == digest.hex()),
            _ => {}
        }
        let is_right = match self.read_through(digest, &object.version).await {
            Ok(found) => found == *digest,
            Err(Error::OtherState { .. }) => false, // somebody writes it at this moment
            Err(error) => return Err(error),
        };
        if !is_right {
            tracing::warn!(store = %self.bucket, %digest, "the object store has something else under this name");
        }
        self.proofs.note(digest, if is_right { Proof::Right(object.version) } else { Proof::Doubted });
        Ok(is_right)
    }

    async fn read_through(&self, digest: &Digest, state: &str) -> Result<Digest, Error> {
        let mut bytes = self.bucket.read(&name(digest), 0, Some(state)).await?;
        let mut hash = Sha256::new();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            hash = blocking(move || {
                hash.update(&chunk);
                Ok(hash)
            })
            .await?;
        }
        Ok(Digest::from_bytes(&hash.finalize()))
    }
}
