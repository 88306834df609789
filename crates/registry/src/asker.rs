//! Who asks, and which files that are here may they have?
//!
//! In: somebody, and digests. Out: those that they may have. Fails: as the database does. A digest opens nothing by itself: who sees all models may
//! have all of their files, everybody else what they have sent themselves, whole, and what models have that they see.

use std::collections::HashSet;

use blobs::Digest;
use spec::Name;
use store::ModelQuery;

use crate::error::Error;
use crate::registry::Registry;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The same by whatever token or session.
    pub who: String,
    /// The projects whose models they see; none for who sees all models.
    pub sees: Option<Vec<Name>>,
}

impl Registry {
    /// Those of these files that who asks may have if they are here.
    pub async fn theirs(&self, asker: &Asker, digests: &[Digest]) -> Result<HashSet<Digest>, Error> {
        let Some(projects) = &asker.sees else { return Ok(digests.iter().cloned().collect()) };
        let mut theirs = HashSet::new();
        for digest in digests {
            if self.inner.store.has_uploaded(&digest.to_string(), &asker.who).await? {
                theirs.insert(digest.clone());
            }
        }
        if digests.iter().all(|digest| theirs.contains(digest)) {
            return Ok(theirs);
        }
        let models = self.find_all(&ModelQuery { projects: Some(projects.clone()), ..ModelQuery::default() }).await?;
        let files = models.iter().flat_map(|model| &model.versions).flat_map(|listed| &listed.version.contents.files);
        let seen: HashSet<&str> = files.map(|file| file.digest.as_str()).collect();
        theirs.extend(digests.iter().filter(|digest| seen.contains(digest.to_string().as_str())).cloned());
        Ok(theirs)
    }

    /// Remembers that somebody has sent all of a file: it is theirs from now on.
    pub async fn note_sent(&self, digest: &Digest, who: &str) -> Result<(), Error> {
        Ok(self.inner.store.note_upload(&digest.to_string(), who).await?)
    }
}
