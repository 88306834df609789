//! When was each token last used?
//!
//! In: callers, as they are let in. Out: a column of the store, some seconds late. Fails: never for who calls; what cannot be written is
//! tried again. Holds: those that were used since the last round, each once; a short lock for the first use of a token in a round.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use base::{Timestamp, tasks};
use spec::TokenId;

use crate::access::{Access, Inner};
use crate::caller::Caller;

/// How late it may be.
const EVERY: Duration = Duration::from_secs(10);
/// Tokens of one round, and of one commit, so that other writers have their turn.
const MOST: usize = 20_000;
const AT_ONCE: usize = 500;

/// Callers that were let in since the last round.
#[derive(Debug, Default)]
pub(crate) struct LatelyUsed(Mutex<Vec<Arc<Caller>>>);

impl LatelyUsed {
    pub(crate) fn note(&self, caller: &Arc<Caller>) {
        self.lock().push(Arc::clone(caller));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Caller>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Arc<Caller>> {
        let mut waiting = self.lock();
        let some = waiting.len().min(MOST);
        let rest = waiting.split_off(some);
        std::mem::replace(&mut *waiting, rest)
    }
}

impl Access {
    /// Writes down which tokens were used since the last time.
    pub async fn flush(&self) {
        write(&self.inner).await;
    }
}

/// Goes on for as long as the door is there.
pub(crate) fn keep(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tasks::spawn("last-use", rounds(inner)).detach();
}

async fn rounds(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        write(&inner).await;
    }
}

async fn write(inner: &Inner) {
    let used = inner.lately_used.take();
    let now = Timestamp::now();
    for some in used.chunks(AT_ONCE) {
        let rows: Vec<_> = some.iter().filter_map(|caller| Some((TokenId::new(caller.token()?), now))).collect();
        match inner.store.put_last_used(&rows).await {
            Ok(()) => some.iter().for_each(|caller| caller.use_is_written()),
            Err(error) => {
                tracing::debug!(error = base::chain(&error), "when tokens were last used could not be written; tried again");
                for caller in some {
                    inner.lately_used.note(caller);
                }
            }
        }
    }
}
