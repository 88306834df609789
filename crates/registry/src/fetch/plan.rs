//! Which files does a source mean, and what is known of each before it comes?
//!
//! In: a [`Source`]. Out: a [`Plan`]. Fails: as the other side refuses, or where it says too little.

use base::Secret;
use blobs::{Bucket, Digest, PartId};
use spec::{Card, Source};
use store::FetchedFile;

use crate::error::Error;
use crate::registry::Registry;

use super::{bucket, http, hub, ollama};

/// What is to come.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The main one first.
    pub(crate) files: Vec<Wanted>,
    /// What the other side calls this state of it.
    pub(crate) revision: String,
    /// What the other side says of it.
    pub(crate) card: Option<Card>,
    /// A chat template for a file that has none.
    pub(crate) template: Option<String>,
}

/// One file that is to come.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The name that it is served under.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
    /// What the other side is shown.
    pub(crate) token: Option<Secret>,
    /// Its content, where that is known beforehand.
    pub(crate) digest: Option<Digest>,
    /// Its length, where that is known beforehand.
    pub(crate) size: Option<u64>,
    /// What the other side calls this state of it: an entity tag, a commit; empty when it does not say.
    pub(crate) version: String,
    /// The store that it is an object of, and its name there.
    pub(crate) store: Option<(Bucket, String)>,
}

impl Wanted {
    /// Under which its unfinished file is found again, and others wait for it. A digest is only said by who asks, or by their host: what comes from another
    /// address has a file of its own, so that nobody is in the way of those who bring what has it.
    pub(crate) fn part(&self) -> PartId {
        match &self.digest {
            Some(digest) => PartId::of(&format!("{digest} from {}", self.url)),
            None => PartId::of(&self.url),
        }
    }

    /// As whom its address has sent what came from there whole.
    pub(crate) fn address(&self) -> String {
        format!("address {}", PartId::of(&self.url))
    }

    /// What must be the same for what is here to be of use: nothing where the other side does not say which state it is.
    pub(crate) fn note(&self) -> String {
        match (&self.digest, self.version.as_str()) {
            (Some(digest), _) => digest.to_string(),
            (None, "") => format!("unknown {}", PartId::random()),
            (None, version) => version.to_owned(),
        }
    }

    /// The state that every answer must be of, where only the server's word tells: what has a digest is checked by it, and what lies at a
    /// commit does not change.
    pub(crate) fn state(&self) -> Option<&str> {
        let told = !self.version.is_empty() && !self.version.starts_with(COMMITTED);
        (self.digest.is_none() && told).then_some(self.version.as_str())
    }

    /// The same state of the same file as came before.
    pub(crate) fn is(&self, file: &FetchedFile) -> bool {
        !self.version.is_empty() && (&self.name, &self.version, self.size) == (&file.name, &file.version, Some(file.size))
    }
}

impl Registry {
    pub(super) async fn plan(&self, source: &Source) -> Result<Plan, Error> {
        let (web, fetching) = (&self.inner.web, &self.inner.config.fetching);
        match source {
            Source::Http(url) => http::plan(web, url).await,
            Source::S3(url) => bucket::plan(fetching, url).await,
            Source::Hub(text) => hub::plan(web, fetching, text).await,
            Source::Ollama(text) => ollama::plan(web, fetching, text).await,
            other => Err(Error::Unreachable(other.clone())),
        }
    }
}

/// How the version of a file begins that lies at a commit.
pub(crate) const COMMITTED: &str = "git ";

/// As it may stand in the path of a URL.
pub(crate) fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::with_capacity(path.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
