//! Which files must stay where they are because something runs on them?
//!
//! In: a version. Out: a [`Held`]: as long as it lives, neither a sweep nor the cache takes away what Penstock keeps of that
//! version. Fails: when its files are not what they were; of files that others keep there is nothing to hold, and who is about to read them looks whether
//! they are still the same ([`Registry::at_hand`]). Holds: nothing itself.

use blobs::{Digest, Hold};
use spec::{Keep, Version};

use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

/// Files of a version that stay; given free on drop.
#[derive(Debug, Clone, Default)]
#[must_use = "dropping it gives the files free"]
pub struct Held(Vec<Hold>);

impl Registry {
    /// Holds the files of a version, whether they are here or not.
    pub fn hold(&self, version: &Version) -> Held {
        let (Ok(blobs), false) = (self.blobs(), version.contents.keep == Keep::Reference) else { return Held::default() };
        let digests = version.contents.files.iter().filter_map(|part| part.digest.parse::<Digest>().ok());
        Held(digests.map(|digest| blobs.hold(&digest)).collect())
    }

    /// Has the files of a version where it says they are: the cache may have put them out since it was resolved, and others may have put
    /// something else in the place of theirs. A file is read for that only if it was touched since, and then once.
    pub async fn at_hand(&self, version: &Version) -> Result<Held, Error> {
        let held = self.hold(version);
        if version.contents.keep == Keep::Reference || !held.0.is_empty() {
            self.unchanged(version, &Progress::new()).await?;
        }
        Ok(held)
    }
}
