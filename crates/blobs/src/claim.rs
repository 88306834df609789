//! Who writes which unfinished file, and how much of the disk is spoken for?
//!
//! In: an id. Out: a [`Claim`]; as long as one of its clones lives, nobody else writes the file. Fails:
//! [`Error::Busy`]. Holds: a short lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::ByteSize;
use tokio::sync::Notify;

use crate::error::Error;
use crate::state::PartId;

/// A disk that takes longer for a megabyte is of no use.
const LAST_BYTES: Duration = Duration::from_secs(10);

/// Who writes which part, and how many bytes are still to come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    coming: Mutex<HashMap<PartId, Coming>>,
    /// Somebody has given a claim back.
    given_back: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Coming {
    total: Option<u64>,
    offset: u64,
    /// Its writer has gone, and only its last bytes are still being written.
    closing: bool,
}

/// The right to write a part; given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Claim(Arc<Claimed>);

#[derive(Debug)]
struct Claimed {
    id: PartId,
    claims: Claims,
}

impl Claims {
    pub(crate) fn take(&self, id: &PartId) -> Result<Claim, Error> {
        let mut claims = self.lock();
        if claims.contains_key(id) {
            return Err(Error::Busy(id.clone()));
        }
        claims.insert(id.clone(), Coming::default());
        drop(claims);
        Ok(Claim(Arc::new(Claimed { id: id.clone(), claims: self.clone() })))
    }

    /// The same; where the last writer has gone, it waits for that one's last bytes.
    pub(crate) async fn take_soon(&self, id: &PartId) -> Result<Claim, Error> {
        loop {
            let given_back = self.0.given_back.notified();
            let closing = self.lock().get(id).is_some_and(|coming| coming.closing);
            match self.take(id) {
                Err(Error::Busy(_)) if closing => {
                    let waited = tokio::time::timeout(LAST_BYTES, given_back).await;
                    waited.map_err(|_late| Error::Busy(id.clone()))?;
                }
                other => return other,
            }
        }
    }

    /// Bytes that others have still to write.
    pub(crate) fn of_others(&self, id: &PartId) -> ByteSize {
        let claims = self.lock();
        let left = |coming: &Coming| coming.total.unwrap_or(0).saturating_sub(coming.offset);
        ByteSize(claims.iter().filter(|(other, _)| *other != id).map(|(_, coming)| left(coming)).sum())
    }

    /// Bytes that the files of others will have.
    pub(crate) fn whole_of_others(&self, id: &PartId) -> ByteSize {
        let claims = self.lock();
        let whole = |coming: &Coming| coming.total.unwrap_or(coming.offset);
        ByteSize(claims.iter().filter(|(other, _)| *other != id).map(|(_, coming)| whole(coming)).sum())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PartId, Coming>> {
        self.0.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    pub(crate) fn expect(&self, total: Option<u64>, offset: u64) {
        self.0.claims.lock().insert(self.0.id.clone(), Coming { total, offset, closing: false });
    }

    /// Its writer goes.
    pub(crate) fn close(&self) {
        if let Some(coming) = self.0.claims.lock().get_mut(&self.0.id) {
            coming.closing = true;
        }
    }

    pub(crate) fn grow(&self, offset: u64) {
        if let Some(coming) = self.0.claims.lock().get_mut(&self.0.id) {
            coming.offset = offset;
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.id);
        self.claims.0.given_back.notify_waiters();
    }
}
