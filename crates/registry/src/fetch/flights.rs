//! Who fetches the same thing at this moment?
//!
//! In: a name for what is fetched. Out: a place in its line, and how far the first is. Fails: never. Holds: one entry for each
//! thing that somebody fetches or waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Error;
use crate::progress::Progress;

/// Everything that is being fetched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<String, Weak<Flight>>>>);

/// One thing that is being fetched.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) progress: Progress,
    key: String,
    line: Semaphore,
    all: Flights,
}

impl Flights {
    /// The flight of this name; a new one if nobody fetches it.
    pub(crate) fn join(&self, key: &str) -> Arc<Flight> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(Flight { progress: Progress::new(), key: key.to_owned(), line: Semaphore::new(1), all: self.clone() });
        flights.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

impl Flight {
    /// One at a time; the next one finds what the last one has done.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.line.acquire().await.map_err(|_closed| Error::Stopped)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have begun a new one of the same name.
        if flights.get(&self.key).is_some_and(|flight| flight.strong_count() == 0) {
            flights.remove(&self.key);
        }
    }
}
