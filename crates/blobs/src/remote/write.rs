//! How does a blob come into the store?
//!
//! In: a blob that is whole here. Out: the same in the store. Fails: as the store does; when what lies here is no longer what its name says. What counts
//! is the name, which says what is in it: two who write the same write the same. So a store that knows conditions is asked to keep what is there, and one that
//! does not, or only says so, is looked at first; something else of that name is written over.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, MultipartUpload, PutMode, PutMultipartOptions, PutOptions, WriteMultipart};
use sha2::{Digest as _, Sha256};

use super::proof::Proof;
use super::{Conditions, Remote, is_refusal, name};
use crate::blobs::{Blob, blocking};
use crate::bucket::SHA256;
use crate::digest::Digest;
use crate::error::Error;

/// What is larger goes up in pieces.
const WHOLE: u64 = 8 << 20;
/// A piece of a large one, at least.
const PIECE: u64 = 16 << 20;
/// Stores take ten thousand.
const MOST_PIECES: u64 = 9_000;
/// Pieces that go up side by side.
const SIDE_BY_SIDE: usize = 4;

/// What became of a write.
enum Written {
    /// In this state, if the store says it.
    New(Option<String>),
    /// Something has that name already.
    Kept,
}

impl Remote {
    /// The store has it afterwards, whole and right.
    pub(crate) async fn put(&self, blob: &Blob) -> Result<(), Error> {
        let path = self.bucket.path(&name(&blob.digest));
        let small = blob.size.0 <= WHOLE;
        if small
            && self.conditions().await? == Conditions::Kept
            && let Written::New(state) = self.put_whole(blob, &path, PutMode::Create).await?
        {
            return self.confirm(blob, state).await;
        }
        if self.has(&blob.digest, blob.size).await? {
            return Ok(());
        }
        let state = if small {
            match self.put_whole(blob, &path, PutMode::Overwrite).await? {
                Written::New(state) => state,
                Written::Kept => None,
            }
        } else {
            self.put_in_pieces(blob, &path).await?
        };
        self.confirm(blob, state).await
    }

    async fn confirm(&self, blob: &Blob, state: Option<String>) -> Result<(), Error> {
        if let Some(state) = state {
            self.proofs.note(&blob.digest, Proof::Right(state));
        }
        if self.has(&blob.digest, blob.size).await? {
            return Ok(());
        }
        match self.size(&blob.digest).await?.unwrap_or_default() {
            found if found == blob.size => Err(Error::OtherState { url: format!("{}/{}", self.bucket, name(&blob.digest)) }),
            found => Err(Error::Length { wanted: blob.size.0, found: found.0 }),
        }
    }

    async fn put_whole(&self, blob: &Blob, path: &Path, mode: PutMode) -> Result<Written, Error> {
        let (bytes, hash) = read(blob.path.clone(), (0, blob.size.0), Sha256::new()).await?;
        must_be(&blob.digest, hash)?;
        loop {
            let options = PutOptions { mode: mode.clone(), attributes: self.said(&blob.digest), ..PutOptions::default() };
            match self.bucket.store.put_opts(path, bytes.clone().into(), options).await {
                Ok(put) => return Ok(Written::New(put.e_tag)),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => return Ok(Written::Kept),
                Err(error) if self.takes_no_words(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Nothing of it is seen before the last piece is there. The state that it has then, if the store says it.
    async fn put_in_pieces(&self, blob: &Blob, path: &Path) -> Result<Option<String>, Error> {
        let piece = PIECE.max(blob.size.0.div_ceil(MOST_PIECES));
        let upload = self.begin_pieces(blob, path).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, usize::try_from(piece).unwrap_or(usize::MAX));
        let (mut at, mut hash) = (0, Sha256::new());
        while at < blob.size.0 {
            let (bytes, hashed) = match read(blob.path.clone(), (at, piece), hash).await {
                Ok(read) => read,
                Err(error) => {
                    drop(writer.abort().await); // the store forgets it by itself, too
                    return Err(error);
                }
            };
            at += (bytes.len() as u64).max(1); // a file that has become shorter has an end as well
            hash = hashed;
            if let Err(error) = writer.wait_for_capacity(SIDE_BY_SIDE).await {
                drop(writer.abort().await);
                return Err(self.failed(error));
            }
            writer.put(bytes);
        }
        if let Err(error) = must_be(&blob.digest, hash) {
            drop(writer.abort().await);
            return Err(error);
        }
        writer.finish().await.map(|put| put.e_tag).map_err(|error| self.failed(error))
    }

    async fn begin_pieces(&self, blob: &Blob, path: &Path) -> Result<Box<dyn MultipartUpload>, Error> {
        loop {
            let options = PutMultipartOptions { attributes: self.said(&blob.digest), ..PutMultipartOptions::default() };
            match self.bucket.store.put_multipart_opts(path, options).await {
                Ok(upload) => return Ok(upload),
                Err(error) if self.takes_no_words(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// What is said of an object when it is written: nothing where the store takes no words.
    fn said(&self, digest: &Digest) -> Attributes {
        let said = (Attribute::Metadata(SHA256.into()), AttributeValue::from(digest.hex().to_owned()));
        if self.is_wordless.load(Ordering::Relaxed) { Attributes::new() } else { Attributes::from_iter([said]) }
    }

    /// It was refused for what was said of it: then nothing is said from now on, and it is tried once more.
    fn takes_no_words(&self, error: &object_store::Error) -> bool {
        is_refusal(error) && !self.is_wordless.swap(true, Ordering::Relaxed)
    }
}

/// A copy here that is no longer what it was goes nowhere.
fn must_be(wanted: &Digest, hash: Sha256) -> Result<(), Error> {
    let found = Digest::from_bytes(&hash.finalize());
    if found == *wanted { Ok(()) } else { Err(Error::Mismatch { wanted: wanted.clone(), found }) }
}

async fn read(path: PathBuf, (at, most): (u64, u64), mut hash: Sha256) -> Result<(Bytes, Sha256), Error> {
    blocking(move || {
        let mut bytes = Vec::new();
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        file.seek(SeekFrom::Start(at)).map_err(Error::io(&path))?;
        file.take(most).read_to_end(&mut bytes).map_err(Error::io(&path))?;
        hash.update(&bytes);
        Ok((bytes.into(), hash))
    })
    .await
}
