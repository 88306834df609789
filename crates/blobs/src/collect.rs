//! What may go?
//!
//! In: the digests that somebody refers to. Out: what was taken away, or would be. Fails: as the disk does.
//! Never taken: what is referred to, what is held, what is younger than the grace, what is being written.
//! A folder of links goes before the first of its blobs.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

use base::{ByteSize, Timestamp};

use crate::blobs::{Blobs, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::links;
use crate::remote::Remote;
use crate::state::{PartId, PartState};

/// How to collect.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// What is referred to; it stays.
    pub keep: HashSet<Digest>,
    /// Only tell what would go.
    pub dry_run: bool,
    /// In place of the configured grace.
    pub grace: Option<Duration>,
    /// Also in the object store, which must be no other Penstock's as well: what others refer to is not known here.
    pub store: bool,
}

/// What went, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs with their lengths, by digest.
    pub blobs: Vec<(Digest, ByteSize)>,
    /// Unfinished files that nobody has touched for the grace, with their lengths.
    pub parts: Vec<(PartId, ByteSize)>,
    /// Bytes in all.
    pub freed: ByteSize,
    /// Blobs that stay.
    pub kept: usize,
    /// Blobs in the object store that went, with their lengths.
    pub stored: Vec<(Digest, ByteSize)>,
}

impl Blobs {
    /// Takes away what nobody needs.
    pub async fn collect(&self, sweep: Sweep) -> Result<Collected, Error> {
        let (this, here) = (self.clone(), sweep.clone());
        let mut done = blocking(move || this.sweep(&here)).await?;
        if let Some(remote) = self.remote().filter(|_| sweep.store) {
            self.sweep_store(remote, &sweep, &mut done).await?;
        }
        Ok(done)
    }

    /// Gives up what was begun and not gone on with for so long, and what a crash left; tells what went.
    pub async fn give_up(&self, after: Duration) -> Result<Vec<(PartId, ByteSize)>, Error> {
        let this = self.clone();
        blocking(move || {
            let mut done = Collected::default();
            this.sweep_parts((false, after), this.each_part()?, &mut done)?;
            this.sweep_leftovers(after)?;
            Ok(done.parts)
        })
        .await
    }

    /// What went here went from the cache only; in the store it goes by the same rules.
    async fn sweep_store(&self, remote: &Remote, sweep: &Sweep, done: &mut Collected) -> Result<(), Error> {
        let grace = sweep.grace.unwrap_or(self.config().grace);
        let here: HashSet<Digest> = self.list().await?.into_iter().map(|(digest, _)| digest).collect();
        for (digest, seen) in remote.list().await? {
            let at = SystemTime::from(seen.last_modified);
            let is_old = SystemTime::now().duration_since(at).is_ok_and(|age| age >= grace);
            let is_free = self.holds().if_free(&digest, || ()).is_some();
            if sweep.keep.contains(&digest) || !is_old || !is_free || (here.contains(&digest) && !sweep.dry_run) {
                continue;
            }
            if !sweep.dry_run {
                remote.delete(&digest).await?;
            }
            done.stored.push((digest, ByteSize(seen.size)));
        }
        done.stored.sort();
        Ok(())
    }

    /// Out of the cache, if nobody holds it.
    pub(crate) async fn evict(&self, digest: &Digest) -> Result<bool, Error> {
        let (this, digest) = (self.clone(), digest.clone());
        blocking(move || {
            let folders = links::all(this.layout())?;
            Ok(this.holds().if_free(&digest, || this.take_away(&digest, &folders)) == Some(true))
        })
        .await
    }

    fn sweep(&self, sweep: &Sweep) -> Result<Collected, Error> {
        let grace = sweep.grace.unwrap_or(self.config().grace);
        let mut done = self.sweep_blobs(sweep, self.layout().each_blob()?)?;
        self.sweep_parts((sweep.dry_run, grace), self.each_part()?, &mut done)?;
        done.blobs.sort();
        if !sweep.dry_run {
            self.sweep_leftovers(grace)?;
        }
        Ok(done)
    }

    /// Of these blobs, as they were when they were listed. Whoever has used one since then has touched it: it is looked at again.
    pub(crate) fn sweep_blobs(&self, sweep: &Sweep, listed: Vec<(Digest, Metadata)>) -> Result<Collected, Error> {
        let grace = sweep.grace.unwrap_or(self.config().grace);
        let mut done = Collected::default();
        let folders = links::all(self.layout())?;
        for (digest, seen) in listed {
            let size = ByteSize(seen.len());
            let goes = !sweep.keep.contains(&digest) && is_old(&seen, grace);
            let still = || self.layout().blob(&digest).metadata().is_ok_and(|now| is_old(&now, grace));
            let act = || still() && (sweep.dry_run || self.take_away(&digest, &folders));
            if goes && self.holds().if_free(&digest, act) == Some(true) {
                done.freed += size;
                done.blobs.push((digest, size));
            } else {
                done.kept += 1;
            }
        }
        Ok(done)
    }

    /// The folders that name it, then the blob itself.
    fn take_away(&self, digest: &Digest, folders: &[(std::path::PathBuf, Vec<links::Named>)]) -> bool {
        let named = folders.iter().filter(|(_, files)| files.iter().any(|file| file.digest == *digest));
        for (folder, _) in named.filter(|(folder, _)| folder.exists()) {
            if let Err(error) = links::remove(folder) {
                tracing::warn!(error = base::chain(&error), "a folder of links could not be removed");
                return false;
            }
        }
        let path = self.layout().blob(digest);
        let gone = fs::remove_file(&path);
        if let Err(error) = &gone {
            tracing::warn!(path = %path.display(), %error, "a blob could not be removed");
        }
        gone.is_ok()
    }

    /// Of these unfinished files, as they were when they were listed. Whoever has gone on with one since then has touched it, or made a blob of it: it is
    /// looked at again.
    pub(crate) fn sweep_parts(
        &self,
        (dry_run, grace): (bool, Duration),
        listed: Vec<PartState>,
        done: &mut Collected,
    ) -> Result<(), Error> {
        let is_old = |part: &PartState| Timestamp::now().since(part.touched_at) >= grace;
        for part in listed.into_iter().filter(is_old) {
            // Whoever writes it has the claim.
            let Ok(_claim) = self.claims().take(&part.id) else { continue };
            let path = self.layout().part(&part.id);
            let now = PartState::load(&path)?.map(|known| known.state).filter(|now| path.exists() && is_old(now));
            let Some(part) = now else { continue };
            if !dry_run {
                PartState::forget(&path);
            }
            done.freed += ByteSize(part.offset);
            done.parts.push((part.id, ByteSize(part.offset)));
        }
        Ok(())
    }

    /// What a crash left: parts without a state, folders without a list; the states of parts that have become blobs; folders that were
    /// made while one of their blobs went.
    fn sweep_leftovers(&self, grace: Duration) -> Result<(), Error> {
        let old = |path: &Path| path.metadata().is_ok_and(|seen| is_old(&seen, grace));
        for path in crate::layout::entries(&self.layout().parts())? {
            let id = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<PartId>().ok());
            let Some(Ok(_claim)) = id.map(|id| self.claims().take(&id)) else { continue };
            let part = path.with_extension("");
            if old(&path) && (!part.exists() || matches!(PartState::load(&part), Ok(None))) {
                let _ = fs::remove_file(&path); // the next sweep tries again
            }
        }
        for (folder, files) in links::all(self.layout())?.iter().filter(|(folder, _)| old(folder)) {
            let is_gone = |digest: &Digest| self.layout().blob(digest).try_exists().is_ok_and(|is_here| !is_here);
            match files.iter().find(|file| is_gone(&file.digest)) {
                // Who holds it brings it back, and the folder is as good as new then.
                Some(lost) => self.holds().if_free(&lost.digest, || if is_gone(&lost.digest) { links::remove(folder) } else { Ok(()) }),
                None => files.is_empty().then(|| links::remove(folder)),
            }
            .unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

fn is_old(seen: &Metadata, grace: Duration) -> bool {
    seen.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= grace))
}
