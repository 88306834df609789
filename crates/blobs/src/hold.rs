//! Who uses which blob?
//!
//! In: a digest. Out: a [`Hold`]; as long as one lives, its blob is not taken away. Fails: never. Holds:
//! a short lock. A check and what follows from it happen under the same lock, so that a blob is never
//! taken between the two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::Digest;

/// Counts of holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<HashMap<Digest, usize>>>);

/// Keeps a blob from being taken away; given back on drop.
#[derive(Debug)]
#[must_use = "dropping it gives the blob free"]
pub struct Hold {
    digest: Digest,
    holds: Holds,
}

impl Holds {
    pub(crate) fn take(&self, digest: &Digest) -> Hold {
        self.with(|counts| *counts.entry(digest.clone()).or_insert(0) += 1);
        Hold { digest: digest.clone(), holds: self.clone() }
    }

    /// Does it if nobody holds the blob, and nobody can begin to meanwhile.
    pub(crate) fn if_free<T>(&self, digest: &Digest, act: impl FnOnce() -> T) -> Option<T> {
        self.with(|counts| (!counts.contains_key(digest)).then(act))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Digest, usize>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hold {
    /// What is held.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.holds.take(&self.digest)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.with(|counts| {
            if let Some(count) = counts.get_mut(&self.digest) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.digest);
                }
            }
        });
    }
}
