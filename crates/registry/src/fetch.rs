//! Life of a pull, from a source beyond this machine to files that are here:
//!
//! the source says where its files are and what is known of each (`plan`: a URL in `http`, a hub's repository in `hub`, a
//! registry's manifest in `ollama`, an object store in `bucket`). Whoever wants the same at the same time waits for the first and
//! sees how far it is (`flights`). Each file comes into the blobs (`file`), large ones in ranges side by side (`ranges`), and what
//! is here already does not come again. What came is remembered with its source, so that the next start asks nobody.
//!
//! In: a [`Source`]. Out: the [`Version`] that it means. Fails: with what the other side said and what to do about it.

use std::collections::HashSet;
use std::time::Duration;

use base::{Secret, Timestamp};
use blobs::web::{Patience, Web};
use blobs::{Blob, BucketConfig, Digest};
use net::Guard;
use spec::{Card, Format, Source, Version};
use store::{Fetched, FetchedFile};

use crate::asker::Asker;
use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

mod bucket;
mod file;
pub(crate) mod flights;
mod http;
mod hub;
mod ollama;
mod plan;
mod ranges;

use file::{Brought, For};
use plan::{Plan, Wanted};

/// A file that changes more often than this while it is fetched is given up.
const STATES: u32 = 3;

/// How files are fetched from other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetching {
    /// Which addresses may be asked.
    pub guard: Guard,
    /// The hub that `hf:` means.
    pub hub: String,
    /// What the hub is shown.
    pub hub_token: Option<Secret>,
    /// The registry that `ollama:` means where no host is named.
    pub ollama: String,
    /// How object stores are entered that `s3:` and the like mean; its URL is not used.
    pub stores: BucketConfig,
    /// Ranges of one large file that are asked for side by side; 1 for none.
    pub connections: usize,
    /// An answer, or the next bytes, may take so long.
    pub stall: Duration,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            hub: "https://huggingface.co".to_owned(),
            hub_token: None,
            ollama: "https://registry.ollama.ai".to_owned(),
            stores: BucketConfig::default(),
            // One connection seldom fills a long line; more than a few bring nothing and look like an attack.
            connections: 4,
            stall: Duration::from_secs(30),
        }
    }
}

impl Fetching {
    pub(crate) fn web(&self) -> Web {
        let patience = Patience { stall: self.stall, answer: self.stall.max(Patience::default().answer) };
        Web::new(self.guard.clone(), patience)
    }
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// What the source means now.
    pub version: Version,
    /// What the other side says of it: licence, parameters, description.
    pub card: Option<Card>,
    /// Bytes that came over the network.
    pub fetched: u64,
}

/// What is fetched, and the format that somebody says it has.
type Meant<'a> = (&'a Source, Option<Format>);

impl Registry {
    /// What a source beyond this machine meant when it was last fetched; it is fetched if it never was, or is not whole.
    pub(crate) async fn resolve_remote(&self, source: &Source, progress: &Progress) -> Result<Version, Error> {
        self.blobs()?; // nobody is asked for what could not be kept
        if let Some(version) = self.remembered(source, progress).await? {
            return Ok(version);
        }
        self.flown((source, None), progress, None).await.map(|pulled| pulled.version)
    }

    /// Fetches what a source means now, for somebody who may have said of which format it is. Files that have come from there do not come again, nor those
    /// that they may have all the same.
    pub async fn pull(&self, source: &Source, declared: Option<Format>, by: &Asker, progress: &Progress) -> Result<Pulled, Error> {
        match source {
            Source::Hub(_) | Source::Http(_) | Source::S3(_) | Source::Ollama(_) => {
                self.flown((source, declared), progress, Some(by)).await
            }
            _ => Ok(Pulled { version: self.resolve_watched(source, progress).await?, card: None, fetched: 0 }),
        }
    }

    /// Without a word to anybody.
    async fn remembered(&self, source: &Source, progress: &Progress) -> Result<Option<Version>, Error> {
        let Some(known) = self.inner.store.get_fetched(&source.to_string()).await? else { return Ok(None) };
        let files = known.files.iter().map(|file| Ok((file.name.clone(), file.digest.parse()?)));
        let files = files.collect::<Result<Vec<(String, Digest)>, Error>>()?;
        for (_, digest) in &files {
            if self.blobs()?.size(digest).await?.is_none() {
                return Ok(None);
            }
        }
        progress.begin(known.files.iter().map(|file| file.size).sum());
        progress.jump(0, progress.total());
        self.inner.store.touch_fetched(&source.to_string()).await?;
        self.of_blobs(&files, known.format).await.map(Some)
    }

    /// One fetches, and the others wait and look on. For somebody it is looked at anew, for a wish only if it never was.
    async fn flown(&self, (source, declared): Meant<'_>, progress: &Progress, by: Option<&Asker>) -> Result<Pulled, Error> {
        let flight = self.inner.flights.join(&source.to_string());
        progress.follow(&flight.progress);
        let _turn = flight.turn().await?;
        if by.is_none()
            && let Some(version) = self.remembered(source, &flight.progress).await?
        {
            return Ok(Pulled { version, card: None, fetched: 0 });
        }
        for _ in 1..STATES {
            match self.fetch((source, declared), by, &flight.progress).await {
                Err(Error::Moved { url }) => tracing::info!(url, "it changed while it was fetched; its new state is fetched instead"),
                done => return done,
            }
        }
        self.fetch((source, declared), by, &flight.progress).await
    }

    async fn fetch(&self, (source, declared): Meant<'_>, by: Option<&Asker>, progress: &Progress) -> Result<Pulled, Error> {
        let plan = self.planned(source).await?;
        self.refuse_too_large(source, &plan)?;
        progress.begin(plan.files.iter().filter_map(|file| file.size).sum());
        let Came { files, named, fetched, is_sure, holds: _held } = self.bring_files(source, &plan.files, by, progress).await?;
        let version = self.of_blobs(&named, declared).await?;
        // What nobody has seen come from there is remembered of nobody's word: who asks next shall have the same only if they may.
        if is_sure {
            let fetched = Fetched { files, revision: plan.revision, format: declared, at: Timestamp::now() };
            self.inner.store.put_fetched(&source.to_string(), &fetched).await?;
        }
        tracing::info!(source = source.told(), bytes = fetched, digest = version.digest, "model fetched");
        let template = plan.template.filter(|_| !version.has_template);
        let card = match template {
            Some(text) => Some(Card { chat_template: Some(text), ..plan.card.unwrap_or_default() }),
            None => plan.card,
        };
        Ok(Pulled { version, card, fetched })
    }

    /// All files of a plan.
    async fn bring_files(&self, source: &Source, all: &[Wanted], by: Option<&Asker>, progress: &Progress) -> Result<Came, Error> {
        let before = self.inner.store.get_fetched(&source.to_string()).await?;
        let said: Vec<Digest> = all.iter().filter_map(|file| file.digest.clone()).collect();
        let theirs = match by {
            Some(asker) => self.theirs(asker, &said).await?,
            None => HashSet::new(),
        };
        let mut came = Came { is_sure: true, ..Came::default() };
        for wanted in all {
            let known = before.iter().flat_map(|before| &before.files).find(|file| wanted.is(file));
            let known = known.and_then(|file| file.digest.parse::<Digest>().ok());
            let wanted = Wanted { digest: wanted.digest.clone().or_else(|| known.clone()), ..wanted.clone() };
            let may_have = wanted.digest.as_ref().is_some_and(|digest| theirs.contains(digest));
            let has_come = known.is_some() && known == wanted.digest;
            let who = For { by: by.map_or("", |asker| &asker.who), may_have, has_come, progress };
            let brought = self.fetch_file(&wanted, who).await?;
            came.add(&wanted, brought);
        }
        Ok(came)
    }

    /// The plan, also where the other side has to be asked more than once.
    async fn planned(&self, source: &Source) -> Result<Plan, Error> {
        let mut failures = 0;
        loop {
            let error = match self.plan(source).await {
                Ok(plan) => return Ok(plan),
                Err(error) => error,
            };
            failures += 1;
            let Some(pause) = file::pause(&error, failures) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    fn refuse_too_large(&self, source: &Source, plan: &Plan) -> Result<(), Error> {
        let size = plan.files.iter().filter_map(|file| file.size).map(base::ByteSize).sum();
        match self.inner.config.max_size {
            Some(most) if size > most => Err(Error::TooLarge { path: source.told().into(), size, most }),
            _ => Ok(()),
        }
    }
}

/// The files of a plan, here.
#[derive(Debug, Default)]
struct Came {
    files: Vec<FetchedFile>,
    named: Vec<(String, Digest)>,
    holds: Vec<Blob>,
    /// Bytes that came over the network.
    fetched: u64,
    /// Each of them has come from where the plan says that it is.
    is_sure: bool,
}

impl Came {
    fn add(&mut self, wanted: &Wanted, Brought { blob, fetched, has_come }: Brought) {
        let (name, digest) = (wanted.name.clone(), blob.digest.clone());
        let (size, version) = (blob.size.0, wanted.version.clone());
        self.files.push(FetchedFile { name: name.clone(), digest: digest.to_string(), size, version });
        self.named.push((name, digest));
        self.holds.push(blob);
        self.fetched += fetched;
        self.is_sure &= has_come;
    }
}

#[cfg(test)]
mod tests;
