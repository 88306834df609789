//! Files that somebody sends, as often as it takes.
//!
//! In: the digest and the length of a file, then its bytes from where it stopped. Out: how far it is; at the end a blob that is what
//! was promised. Fails: on room that is not there, on bytes for another place, on content that is not what was promised. An upload
//! is known by its digest: whoever sends the same file goes on with the same upload, and what is here is not sent again.

use base::ByteSize;
use blobs::{Begin, Digest, Part, PartId};
use bytes::Bytes;

use crate::error::Error;
use crate::registry::Registry;

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
    pub async fn begin_upload(&self, digest: &Digest, length: u64) -> Result<Upload, Error> {
        if let Some(most) = self.max_size().filter(|most| length > most.0) {
            return Err(Error::TooLarge { path: digest.to_string().into(), size: ByteSize(length), most });
        }
        if length == 0 {
            return Err(Error::Empty { path: digest.to_string().into() });
        }
        match self.upload(digest).await {
            Err(Error::NoUpload(_)) => {}
            Ok(known) if known.length == length => return Ok(known),
            Ok(known) => return Err(blobs::Error::Length { wanted: known.length, found: length }.into()),
            Err(error) => return Err(error),
        }
        let begin = Begin { id: id(digest), total: Some(length), note: digest.to_string() };
        let mut part = self.blobs()?.begin(begin).await?;
        let offset = part.flush().await?.offset;
        Ok(Upload { digest: digest.clone(), offset, length })
    }

    /// How far an upload is; one that is whole is a blob.
    pub async fn upload(&self, digest: &Digest) -> Result<Upload, Error> {
        let blobs = self.blobs()?;
        if let Some(size) = blobs.size(digest).await? {
            return Ok(Upload { digest: digest.clone(), offset: size.0, length: size.0 });
        }
        match blobs.part(&id(digest)).await {
            Ok(state) => Ok(Upload { digest: digest.clone(), offset: state.offset, length: state.total.unwrap_or(state.offset) }),
            Err(blobs::Error::NoPart(_)) => Err(Error::NoUpload(digest.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on with an upload from this byte.
    pub async fn receive(&self, digest: &Digest, at: u64) -> Result<Receiving, Error> {
        let known = self.upload(digest).await?;
        let part = match self.blobs()?.resume(&id(digest)).await {
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
    pub async fn abort_upload(&self, digest: &Digest) -> Result<(), Error> {
        match self.blobs()?.abort(&id(digest)).await {
            Err(blobs::Error::NoPart(_)) => self.upload(digest).await.map(drop),
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

fn id(digest: &Digest) -> PartId {
    PartId::of(&format!("upload of {digest}"))
}
