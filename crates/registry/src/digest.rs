//! Which content does a file have?
//!
//! In: a file. Out: `sha256:` and 64 hexadecimal digits, from the store if the file is as it was
//! when it was hashed. For a model in several files: the digest of the list of their digests ([`over`]).
//! Fails: when the file changes meanwhile. Holds: one file is hashed at a time, so that two callers
//! do not read the same 40 GB twice. Dropping the future ends the reading.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{ByteSize, Timestamp, tasks};
use sha2::{Digest as _, Sha256};
use spec::{Contents, Format, Keep, Part, Version};
use store::FileStamp;

use crate::error::Error;
use crate::inspect::{Seen, of_format};
use crate::parts;
use crate::progress::Progress;
use crate::registry::Registry;

/// Read at once; larger brings nothing.
const CHUNK: usize = 1 << 20;
/// A file may change again within one tick of the file system's clock, and look the same. Digests of
/// files younger than this are not remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// The digest over all files of a version: of a single one its own; of the parts of a split file that of the list of theirs; of
/// a folder that of the list of theirs with their names.
pub(crate) fn over(format: Format, parts: &[Part]) -> String {
    match (format, parts) {
        (_, [only]) => only.digest.clone(),
        (Format::Gguf, parts) => {
            let digests: Vec<&str> = parts.iter().map(|part| part.digest.as_str()).collect();
            named(&Sha256::digest(digests.join("\n")))
        }
        (_, parts) => {
            let lines: Vec<String> = parts.iter().map(|part| format!("{}  {}\n", part.digest, part.name)).collect();
            named(&Sha256::digest(lines.concat()))
        }
    }
}

impl Seen {
    /// What it is together, of which each file is kept so.
    pub(crate) fn version(self, files: Vec<Part>, keep: Keep) -> Version {
        let facts = self.facts;
        let contents = Contents { files, keep, ..facts.contents };
        Version { digest: over(facts.format, &contents.files), contents, ..facts }
    }
}

impl Registry {
    /// The files of a version with the digest of each.
    pub(crate) async fn digests(&self, seen: &Seen, progress: &Progress) -> Result<Vec<Part>, Error> {
        progress.begin(seen.files.iter().map(|file| file.len).sum());
        let mut parts = Vec::with_capacity(seen.files.len());
        for file in &seen.files {
            let digest = self.digest_of_file(file, progress).await?;
            parts.push(Part { name: name_below(&seen.root, &file.path), size: ByteSize(file.len), digest });
        }
        Ok(parts)
    }

    async fn digest_of_file(&self, file: &FileStamp, progress: &Progress) -> Result<String, Error> {
        if let Some(known) = self.known(file, progress).await? {
            return Ok(known);
        }
        let _turn = self.inner.hashing.acquire().await;
        // Whoever had the turn before may have hashed this very file.
        if let Some(known) = self.known(file, progress).await? {
            return Ok(known);
        }
        let digest = hashed(file.path.clone(), progress.clone()).await?;
        self.learn(file, &digest).await?;
        Ok(digest)
    }

    /// Remembers what was found, if the file is still as it was before it was read.
    pub(crate) async fn learn(&self, file: &FileStamp, digest: &str) -> Result<(), Error> {
        if parts::stamp(&file.path)? != *file {
            return Err(Error::Changing { path: file.path.clone() });
        }
        if is_settled(file) {
            self.inner.store.put_digest(file, digest).await?;
        }
        Ok(())
    }

    async fn known(&self, file: &FileStamp, progress: &Progress) -> Result<Option<String>, Error> {
        let known = self.inner.store.get_digest(file).await?;
        if known.is_some() {
            progress.add(file.len);
        }
        Ok(known)
    }
}

/// What a file is called within its model.
pub(crate) fn name_below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn is_settled(file: &FileStamp) -> bool {
    const NANOS_PER_MILLI: i64 = 1_000_000;
    Timestamp::now().since(Timestamp::from_millis(file.mtime.div_euclid(NANOS_PER_MILLI))) >= SETTLED
}

async fn hashed(path: PathBuf, progress: Progress) -> Result<String, Error> {
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let still_wanted = Arc::clone(&wanted.0);
    let named = path.clone();
    let done = tasks::blocking("digest", move || hash(&path, &progress, &still_wanted)).await;
    done.unwrap_or(Err(Error::Interrupted { path: named }))
}

/// Tells the thread to stop when nobody waits for it any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn hash(path: &Path, progress: &Progress, wanted: &AtomicBool) -> Result<String, Error> {
    let failed = |source| Error::io(path.to_owned(), source);
    let mut file = formats::open(path).map_err(|error| of_format(path, error))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    while wanted.load(Ordering::Relaxed) {
        let read = file.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            return Ok(named(&hasher.finalize()));
        }
        hasher.update(&chunk[..read]);
        progress.add(read as u64);
    }
    Err(Error::Interrupted { path: path.to_owned() })
}

fn named(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16));
    "sha256:".chars().chain(digits).collect()
}
