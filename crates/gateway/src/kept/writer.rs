//! Writes behind: what is new goes to the store in batches, without anybody waiting.
//!
//! In: the shelf. Fails: a store that is away is tried until it is back; what it refuses for good is not written, which is said in the log.

use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, Timestamp};
use store::Store;
use tokio::time::Instant;

use super::Keeping;
use super::memory::Batch;
use super::shelf::Shelf;

/// Between two looks for what is too old or too many.
const TRIM: Duration = Duration::from_mins(10);

/// A store that is away is asked again, less and less often.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) };

/// Never ends.
pub(super) async fn write(shelf: Arc<Shelf>, store: Store, keeping: Keeping) {
    let mut trimmed: Option<Instant> = None;
    loop {
        let batch = shelf.take().await;
        if trimmed.is_none_or(|at| at.elapsed() > TRIM) {
            trimmed = Some(Instant::now());
            let age = i64::try_from(keeping.age.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(age));
            insist(|| store.trim_responses(before, keeping.most)).await;
        }
        bring(&store, &batch).await;
        shelf.wrote(batch);
    }
}

async fn bring(store: &Store, batch: &Batch) {
    let puts = batch.puts();
    if !puts.is_empty() {
        insist(|| store.put_responses(&puts)).await;
    }
    for id in batch.deleted() {
        insist(|| store.delete_response(id)).await;
    }
}

/// Tries until it is done; a store that is closed, or refuses for good, is left alone.
async fn insist<T, F: Future<Output = Result<T, store::Error>>>(work: impl Fn() -> F) {
    use base::{Fault as _, Kind};
    let mut failures = 0;
    while let Err(error) = work().await {
        let gone = matches!(error, store::Error::Closed) || error.kind() != Kind::Unavailable;
        tracing::warn!(error = base::chain(&error), gone, "kept responses are not written");
        if gone {
            return;
        }
        failures += 1;
        tokio::time::sleep(BACKOFF.wait(failures)).await;
    }
}
