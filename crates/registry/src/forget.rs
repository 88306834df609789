//! Which versions of a model go when there are too many, and who hears of it?
//!
//! In: a model with one more version. Out: the model without the oldest that nobody names; an event for each, once, to whoever tells the story
//! ([`Registry::news`]). Fails: as the store does. Bounded: [`MOST_VERSIONS`] of a model, and those that somebody names; [`MOST_NEWS`] events that
//! nobody has heard of yet, then the oldest are lost, which the log says.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spec::{Cause, Event, EventKind, Model, Name, Record, Source};

use crate::error::Error;
use crate::registry::Registry;

/// Versions of one model that are remembered.
const MOST_VERSIONS: usize = 100;
/// Events that wait for whoever tells them.
const MOST_NEWS: usize = 1_000;
/// How digests begin.
const ALGORITHM: &str = "sha256:";

/// What happened to models, and waits to be told.
#[derive(Debug, Default)]
pub(crate) struct News(Mutex<VecDeque<Event>>);

impl News {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, event: Event) {
        let mut all = self.lock();
        if all.len() >= MOST_NEWS
            && let Some(lost) = all.pop_front()
        {
            tracing::warn!(lost = lost.message, "nobody asks what became of models");
        }
        all.push_back(event);
    }
}

impl Registry {
    /// What has happened to models by itself since the last time.
    pub fn news(&self) -> Vec<Event> {
        self.inner.news.lock().drain(..).collect()
    }

    /// Forgets the oldest versions that nobody names, and says which.
    pub(crate) async fn make_room(&self, model: &mut Model) -> Result<Vec<String>, Error> {
        let mut gone = Vec::new();
        if model.versions.len() <= MOST_VERSIONS {
            return Ok(gone);
        }
        let records = self.inner.store.list_deployments().await?;
        let mut at = model.versions.len();
        while model.versions.len() > MOST_VERSIONS && at > 1 {
            at -= 1;
            let Some(digest) = model.versions.get(at).map(|listed| listed.version.digest.clone()) else { break };
            let named = model.tags.values().any(|tagged| *tagged == digest) || records.iter().any(|record| names(record, &digest));
            if !named && self.inner.store.revisions_of_digest(&digest).await?.is_empty() {
                model.versions.remove(at);
                gone.push(digest);
            }
        }
        Ok(gone)
    }

    /// They are gone, since a version came by somebody.
    pub(crate) fn tell_gone(&self, name: &Name, gone: &[String], by: &str) {
        for digest in gone {
            let message = format!(
                "the version {digest} of model `{name}` was forgotten to make room for a new one ({by}): a model has {MOST_VERSIONS}, and this \
                 was the oldest that no tag and no deployment names"
            );
            self.inner.news.add(Event::now(EventKind::ModelUpdated, Cause::Penstock, message));
        }
    }
}

/// Whether it names this version by its digest, or by its first digits; it may not have been frozen with it yet.
fn names(record: &Record, digest: &str) -> bool {
    let Some(Source::Registry { tag: Some(tag), .. }) = &record.spec.model else { return false };
    let Some(digits) = tag.strip_prefix('@') else { return false };
    digest.trim_start_matches(ALGORITHM).starts_with(digits.trim_start_matches(ALGORITHM))
}
