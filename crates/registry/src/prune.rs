//! Which blobs does anybody still refer to, and which may go?
//!
//! In: how to sweep. Out: what went, or would go. Fails: as the store and the disk do. Referred to are: the versions of all models, the
//! revisions of all deployments, what deployments and models name as their source, what was fetched within the grace. What is held or was
//! used within the grace stays, whoever refers to it.

use std::collections::HashSet;
use std::time::Duration;

use base::Timestamp;
use blobs::{Collected, Digest, Sweep};
use spec::{Source, Version};

use crate::error::Error;
use crate::registry::Registry;

impl Registry {
    /// Takes away the blobs that nobody refers to.
    pub async fn prune(&self, dry_run: bool, grace: Option<Duration>, store: bool) -> Result<Collected, Error> {
        let blobs = self.blobs()?;
        // No model is changed between the look at all of them and the sweep.
        let _alone = self.inner.one_writer.acquire().await;
        let grace = grace.unwrap_or(blobs.config().grace);
        let mut keep = self.of_models().await?;
        self.forget_sources(dry_run, grace, &mut keep).await?;
        Ok(blobs.collect(Sweep { keep, dry_run, grace: Some(grace), store }).await?)
    }

    async fn of_models(&self) -> Result<HashSet<Digest>, Error> {
        let models = self.inner.store.list_models().await?;
        let revisions = self.inner.store.all_revisions().await?;
        let listed = models.iter().flat_map(|model| &model.versions).map(|listed| &listed.version);
        Ok(listed.chain(revisions.iter().filter_map(|revision| revision.version.as_ref())).flat_map(digests).collect())
    }

    /// What was fetched for sources that nobody names any more is forgotten; of the others it stays.
    async fn forget_sources(&self, dry_run: bool, grace: Duration, keep: &mut HashSet<Digest>) -> Result<(), Error> {
        let records = self.inner.store.list_deployments().await?;
        let named: HashSet<String> = records.iter().filter_map(|record| record.spec.model.as_ref()).map(Source::to_string).collect();
        let now = Timestamp::now();
        for (source, fetched, used_at) in self.inner.store.list_fetched().await? {
            if named.contains(&source) || now.since(used_at) < grace {
                keep.extend(fetched.files.iter().filter_map(|file| file.digest.parse().ok()));
            } else if !dry_run {
                self.inner.store.remove_fetched(&source).await?;
            }
        }
        Ok(())
    }
}

fn digests(version: &Version) -> impl Iterator<Item = Digest> + '_ {
    version.contents.files.iter().filter_map(|part| part.digest.parse().ok())
}
