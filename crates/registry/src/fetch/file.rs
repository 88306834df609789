//! How does one file come, whatever happens on the way?
//!
//! In: a [`Wanted`]. Out: the blob, and how many bytes came. Fails: with what the other side said; with the last error when
//! [`TRIES`] in a row brought nothing. What has come stays, and the next try goes on behind it. Waits: a stall, then a pause that
//! doubles. What is here already comes again unless it came from this very address before, or who asks may have it all the same: whoever says a digest shows by
//! the bytes that they have it.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, header};
use base::{Backoff, ByteSize, Fault as _, Retry};
use blobs::web::{Reply, bearer};
use blobs::{Begin, Blob, Bucket, Digest, Part};
use futures_util::StreamExt as _;

use super::http::{PARTIAL, size_of, version_of};
use super::plan::Wanted;
use super::ranges;
use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

/// Tries in a row that bring nothing.
const TRIES: u32 = 6;
/// Between two tries.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(20) };
/// The other side may ask for so long a pause at most.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// The range that was asked for is not there.
const NO_RANGE: u16 = 416;

/// For whom a file comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct For<'a> {
    /// Who asked; nobody for a wish that has no asker any more.
    pub(super) by: &'a str,
    /// They may have it if it is here.
    pub(super) may_have: bool,
    /// It came from this address before.
    pub(super) has_come: bool,
    /// How far it is.
    pub(super) progress: &'a Progress,
}

/// What came.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) blob: Blob,
    /// Bytes that came over the network.
    pub(super) fetched: u64,
    /// It is what lies at its address, now or when it last came from there; else only what somebody says of that.
    pub(super) has_come: bool,
}

impl Registry {
    /// The file, once from each address; others who want it from there wait.
    pub(super) async fn fetch_file(&self, wanted: &Wanted, who: For<'_>) -> Result<Brought, Error> {
        let flight = self.inner.flights.join(wanted.part().as_str());
        let _turn = flight.turn().await?;
        if let Some(digest) = &wanted.digest {
            let has_come = who.has_come || self.inner.store.has_uploaded(&digest.to_string(), &wanted.address()).await?;
            if (has_come || who.may_have)
                && let Some(blob) = self.here(digest).await?
            {
                who.progress.jump(0, blob.size.0);
                return Ok(Brought { blob, fetched: 0, has_come });
            }
        }
        let (origin, progress) = (Origin { registry: self, wanted }, who.progress);
        let (blob, fetched) = Visit { origin, progress, by: who.by, shown: 0, fetched: 0, stored: 0 }.insist().await?;
        self.note_sent(&blob.digest, &wanted.address()).await?;
        Ok(Brought { blob, fetched, has_come: true })
    }

    /// The blob, if it is here whole; what an object store has under its name and is something else is as good as nothing.
    async fn here(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let blobs = self.blobs()?;
        if blobs.size(digest).await?.is_none() {
            return Ok(None);
        }
        match blobs.local(digest).await {
            Err(blobs::Error::NoBlob(_) | blobs::Error::Mismatch { .. } | blobs::Error::Length { .. }) => Ok(None),
            blob => Ok(Some(blob?)),
        }
    }
}

/// Who asks for which file.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) registry: &'a Registry,
    pub(super) wanted: &'a Wanted,
}

/// One file on its way.
pub(super) struct Visit<'a> {
    pub(super) origin: Origin<'a>,
    progress: &'a Progress,
    /// Whose share of unfinished files it counts in.
    by: &'a str,
    /// Of this file, as the progress shows it.
    shown: u64,
    fetched: u64,
    /// How far it was kept for the next try.
    stored: u64,
}

impl Visit<'_> {
    /// Tries until it is here, or until it does not go on.
    async fn insist(&mut self) -> Result<(Blob, u64), Error> {
        let (mut failures, mut farthest) = (0, 0);
        loop {
            match self.go_on().await {
                Ok(blob) => return Ok((blob, self.fetched)),
                Err(error) => {
                    // What came and could not be kept is of no use.
                    failures = if self.stored > farthest { 1 } else { failures + 1 };
                    farthest = farthest.max(self.stored);
                    let Some(pause) = pause(&error, failures) else { return Err(error) };
                    tracing::info!(url = %self.origin.wanted.shown(), error = base::chain(&error), ?pause, "fetching goes on after a pause");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// From where it is to its end.
    async fn go_on(&mut self) -> Result<Blob, Error> {
        let wanted = self.origin.wanted;
        let begin = Begin { id: wanted.part(), total: wanted.size, note: wanted.note(), by: self.by.to_owned() };
        let mut part = self.origin.registry.blobs()?.begin(begin).await?;
        self.show(part.offset());
        if Some(part.offset()) != self.origin.wanted.size {
            let brought = match &self.origin.wanted.store {
                Some((bucket, name)) => self.take_object(bucket, name, &mut part).await,
                None if ranges::pay(self, &part) => ranges::bring(self, &mut part).await,
                None => self.stream(&mut part).await,
            };
            if let Err(error) = brought {
                if matches!(error, Error::TooLarge { .. }) {
                    part.abort().await; // it is not taken, however often it comes
                } else if let Ok(state) = part.flush().await {
                    self.stored = state.offset;
                }
                return Err(error); // what went wrong first
            }
        }
        Ok(part.finish(self.origin.wanted.digest.as_ref()).await?)
    }

    /// In one answer.
    async fn stream(&mut self, part: &mut Part) -> Result<(), Error> {
        let at = part.offset();
        let mut reply = self.origin.ask((at > 0).then(|| format!("bytes={at}-"))).await?;
        if reply.status.as_u16() == NO_RANGE {
            part.restart().await?;
            return Err(Error::Moved { url: self.origin.wanted.shown() });
        }
        if !reply.status.is_success() {
            return Err(refused(&reply, &self.origin.wanted.shown(), self.origin.wanted.token.as_ref()));
        }
        if self.origin.wanted.state().is_some_and(|state| is_other_state(&reply, state)) {
            part.restart().await?;
            return Err(Error::Moved { url: self.origin.wanted.shown() });
        }
        if !continues(&reply, at, &self.origin.wanted.shown())? && at > 0 {
            // The whole comes anew: ranges are not known there.
            part.restart().await?;
            self.show(0);
        }
        if let Some(total) = size_of(&reply).filter(|_| part.state().total.is_none()) {
            self.must_fit(total)?;
            part.promise(total)?;
            self.progress.grow(total);
        }
        while let Some(bytes) = reply.chunk().await? {
            self.take(part, bytes).await?;
        }
        Ok(())
    }

    /// From an object store, as long as the object is the one that we know.
    async fn take_object(&mut self, bucket: &Bucket, name: &str, part: &mut Part) -> Result<(), Error> {
        let read = bucket.read(name, part.offset(), Some(&self.origin.wanted.version)).await;
        if let Err(blobs::Error::OtherState { url }) = read {
            part.restart().await?;
            return Err(Error::Moved { url });
        }
        let mut bytes = read?;
        while let Some(chunk) = bytes.next().await {
            self.take(part, chunk?).await?;
        }
        Ok(())
    }

    /// The next bytes.
    pub(super) async fn take(&mut self, part: &mut Part, bytes: bytes::Bytes) -> Result<(), Error> {
        let len = bytes.len() as u64;
        self.must_fit(part.offset() + len)?;
        part.append(part.offset(), bytes).await?;
        (self.fetched, self.shown) = (self.fetched + len, self.shown + len);
        self.progress.add(len);
        Ok(())
    }

    /// What is too large is refused as soon as that is seen, where nobody has said its length before.
    fn must_fit(&self, size: u64) -> Result<(), Error> {
        match self.origin.registry.max_size().filter(|most| size > most.0) {
            Some(most) => Err(Error::TooLarge { path: self.origin.wanted.shown().into(), size: ByteSize(size), most }),
            None => Ok(()),
        }
    }

    /// So many bytes are here.
    fn show(&mut self, at: u64) {
        self.progress.jump(self.shown, at);
        self.shown = at;
    }
}

impl Origin<'_> {
    /// Asks for all of it, or for a range of the state that we know.
    pub(super) async fn ask(&self, range: Option<String>) -> Result<Reply, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = self.wanted.token.as_ref().and_then(bearer) {
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(header::RANGE, range);
            // What has a digest is checked by it; everything else must be the state that we know.
            if let Some(value) = self.wanted.state().and_then(|state| HeaderValue::try_from(state).ok()) {
                headers.insert(header::IF_RANGE, value);
            }
        }
        Ok(self.registry.inner.web.get(&self.wanted.url, headers).await?)
    }
}

impl Wanted {
    /// Its address without a query, which may hold a signature.
    pub(super) fn shown(&self) -> String {
        self.url.split(['?', '#']).next().unwrap_or_default().to_owned()
    }
}

/// The answer goes on at this byte, or is the whole. Another part is of no use, and no reason to give up what is here.
pub(super) fn continues(reply: &Reply, at: u64, url: &str) -> Result<bool, Error> {
    let first = || reply.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok();
    match reply.status.as_u16() {
        PARTIAL if first() == Some(at) => Ok(true),
        PARTIAL => Err(Error::OtherRange { host: reply.host(), url: url.to_owned(), at }),
        _ => Ok(false),
    }
}

/// How long to wait before the next try; none when it would fail again.
pub(super) fn pause(error: &Error, failures: u32) -> Option<Duration> {
    // What has changed is looked at anew, not asked for again.
    if failures >= TRIES || matches!(error, Error::Moved { .. }) {
        return None;
    }
    match error.retry() {
        Retry::No => None,
        Retry::Safe => Some(PAUSES.wait(failures)),
        Retry::After(asked) => Some(asked.min(LONGEST_PAUSE).max(PAUSES.wait(failures))),
    }
}

/// What an answer without the file means.
pub(super) fn refused(reply: &Reply, url: &str, token: Option<&base::Secret>) -> Error {
    let (host, url) = (reply.host(), url.split(['?', '#']).next().unwrap_or_default().to_owned());
    let after = reply.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match reply.status.as_u16() {
        401 | 403 => Error::Denied { host, url, with_token: token.is_some() },
        404 | 410 => Error::NotThere { host, what: url, near: Vec::new() },
        status => Error::Answered { host, url, status, after },
    }
}

/// The state that an answer is of, where it says.
pub(super) fn is_other_state(reply: &Reply, version: &str) -> bool {
    let now = version_of(reply);
    !now.is_empty() && now != version
}
