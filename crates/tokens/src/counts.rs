//! The counters of the models that are asked for most lately.
//!
//! In: the digest of a model's file, and where it lies. Out: its counter, read once however many ask
//! at the same time. Fails: as reading fails; what will never succeed is not tried again. Holds: a
//! short lock to find the place of a model, and that place's own lock while it is read; as many
//! counters as it was told, the one not asked for longest goes first.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::counter::Counter;
use crate::error::Error;

/// Counters by the digest of their model.
#[derive(Debug)]
pub struct Counts {
    most: usize,
    /// Latest last.
    places: Mutex<Vec<(String, Arc<Place>)>>,
}

#[derive(Debug, Default)]
struct Place(Mutex<Option<Result<Arc<Counter>, Error>>>);

impl Default for Counts {
    /// Four: a counter of a large vocabulary takes tens of megabytes.
    fn default() -> Self {
        const MOST: usize = 4;
        Self::new(MOST)
    }
}

impl Counts {
    /// Keeps at most so many counters, and at least one.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), places: Mutex::new(Vec::new()) }
    }

    /// The counter of the model with this digest, if it was read; never waits for reading.
    pub fn ready(&self, digest: &str) -> Option<Arc<Counter>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let at = places.iter().position(|(kept, _)| kept == digest)?;
        let counter = places[at].1.0.try_lock().ok()?.as_ref()?.as_ref().ok().cloned()?;
        let place = places.remove(at);
        places.push(place);
        Some(counter)
    }

    /// True when the counter of the model with this digest was read, is being read, or can never be.
    pub fn was_asked(&self, digest: &str) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().find(|(kept, _)| kept == digest).map(|(_, place)| place);
        // Who holds the lock of a place reads it.
        place.is_some_and(|place| place.0.try_lock().map_or(true, |kept| kept.is_some()))
    }

    /// The counter of the model with this digest; read from its file when it is not there. Blocks
    /// while it is read, by us or by another.
    pub fn read(&self, digest: &str, path: &Path) -> Result<Arc<Counter>, Error> {
        self.read_with(digest, path, None)
    }

    /// The same, with a chat template in place of the file's; what it is kept by tells the two apart.
    pub fn read_with(&self, digest: &str, path: &Path, template: Option<&str>) -> Result<Arc<Counter>, Error> {
        let place = self.place(digest);
        let mut kept = place.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = kept.as_ref() {
            return answer.clone();
        }
        let answer = Counter::from_gguf_with(path, template).map(Arc::new);
        if answer.as_ref().err().is_none_or(Error::is_final) {
            *kept = Some(answer.clone());
        }
        answer
    }

    /// Forgets the model with this digest.
    pub fn forget(&self, digest: &str) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).retain(|(kept, _)| kept != digest);
    }

    /// The place of a model, now the latest; the oldest goes when there are too many.
    fn place(&self, digest: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let found = places.iter().position(|(kept, _)| kept == digest);
        let place = found.map(|at| places.remove(at).1).unwrap_or_default();
        if places.len() >= self.most {
            places.remove(0);
        }
        places.push((digest.to_owned(), Arc::clone(&place)));
        place
    }
}
