//! Files that somebody sends, as often as it takes.
//!
//! In: the digest and the length of a file, then its bytes from where it stopped. Out: how far it is; at the end a blob that is what
//! was promised. Fails: on room that is not there, on bytes for another place, on content that is not what was promised. An upload
//! is known by its digest and by who began it: they go on with it and end it, nobody else; who sends the same file has an upload of their own. What is
//! here is not sent again by those who may know that it is here.

use base::ByteSize;
use blobs::{Begin, Digest, Part, PartId};
use bytes::Bytes;

use crate::error::Error;
use crate::registry::Registry;

/// Who sends a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Whose upload it is.
    pub who: String,
    /// Whether they may have the file if it is here already; else they show that they have it by sending it.
    pub may_have: bool,
}

impl Sender {
    fn part(&self, digest: &Digest) -> PartId {
        PartId::of(&format!("upload of {digest} by {}", self.who))
    }
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What is sent.
    pub digest: Digest,
    /// So many bytes are here.
    pub offset: u64,
    /// So many there are.
    pub length: u64,
}

/// An upload that bytes are being taken for; one at a time.
#[derive(Debug)]
pub struct Receiving {
    digest: Digest,
    length: u64,
    part: Part,
}

impl Registry {
    /// The largest file that is taken.
    pub fn max_size(&self) -> Option<ByteSize> {
        self.inner.config.max_size
    }

    /// Begins an upload, or says how far it is.
    pub async fn begin_upload(&self, by: &Sender, digest: &Digest, length: u64) -> Result<Upload, Error> {
        if let Some(most) = self.max_size().filter(|most| length > most.0) {
            return Err(Error::TooLarge { path: digest.to_string().into(), size: ByteSize(length), most });
        }
        if length == 0 {
            return Err(Error::Empty { path: digest.to_string().into() });
        }
        match self.upload(by, digest).await {
            Err(Error::NoUpload(_)) => {}
            Ok(known) if known.length == length => return Ok(known),
            Ok(known) => return Err(blobs::Error::Length { wanted: known.length, found: length }.into()),
            Err(error) => return Err(error),
        }
        let begin = Begin { id: by.part(digest), total: Some(length), note: digest.to_string(), by: by.who.clone() };
        let part = self.blobs()?.begin(begin).await?;
        Receiving { digest: digest.clone(), length, part }.end().await
    }

    /// How far an upload is; one that is whole is a blob.
    pub async fn upload(&self, by: &Sender, digest: &Digest) -> Result<Upload, Error> {
        let blobs = self.blobs()?;
        if by.may_have
            && let Some(size) = blobs.size(digest).await?
        {
            return Ok(Upload { digest: digest.clone(), offset: size.0, length: size.0 });
        }
        match blobs.part(&by.part(digest)).await {
            Ok(state) if state.total == Some(state.offset) => self.finished(by, digest).await,
            Ok(state) => Ok(Upload { digest: digest.clone(), offset: state.offset, length: state.total.unwrap_or(state.offset) }),
            Err(blobs::Error::NoPart(_)) => Err(Error::NoUpload(digest.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// All of it came, and who took it was cut off before it was a blob; who still makes it one is not disturbed.
    async fn finished(&self, by: &Sender, digest: &Digest) -> Result<Upload, Error> {
        let part = match self.blobs()?.resume(&by.part(digest)).await {
            Err(blobs::Error::NoPart(_)) => return Err(Error::NoUpload(digest.clone())), // somebody was faster: begin it again, and see
            part => part?,
        };
        let length = part.state().total.unwrap_or(part.offset());
        Receiving { digest: digest.clone(), length, part }.end().await
    }

    /// Goes on with an upload from this byte.
    pub async fn receive(&self, by: &Sender, digest: &Digest, at: u64) -> Result<Receiving, Error> {
        let known = self.upload(by, digest).await?;
        let part = match self.blobs()?.resume(&by.part(digest)).await {
            Err(blobs::Error::NoPart(_)) => return Err(blobs::Error::Offset { have: known.offset, sent: at }.into()), // it is whole
            part => part?,
        };
        let have = part.offset();
        if have != at {
            return Err(blobs::Error::Offset { have, sent: at }.into());
        }
        Ok(Receiving { digest: digest.clone(), length: known.length, part })
    }

    /// Gives an upload up; what is whole already stays.
    pub async fn abort_upload(&self, by: &Sender, digest: &Digest) -> Result<(), Error> {
        match self.blobs()?.abort(&by.part(digest)).await {
            Err(blobs::Error::NoPart(_)) => self.upload(by, digest).await.map(drop),
            done => Ok(done?),
        }
    }
}

impl Receiving {
    /// The next bytes.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), Error> {
        Ok(self.part.append(self.part.offset(), bytes).await?)
    }

    /// No more come for now; the last byte makes it a blob.
    pub async fn end(mut self) -> Result<Upload, Error> {
        let offset = self.part.flush().await?.offset;
        if offset == self.length {
            self.part.finish(Some(&self.digest)).await?;
        }
        Ok(Upload { digest: self.digest, offset, length: self.length })
    }
}

#[cfg(test)]
mod tests;
