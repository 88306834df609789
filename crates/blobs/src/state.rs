//! How far is an unfinished file, so that another process can go on?
//!
//! In: an id, what was promised, the hash so far. Out: a small file beside the part, replaced by a rename.
//! Fails: as the disk does. Within one life of the machine what was written is there, so the state is
//! believed; after a restart of the machine the bytes are hashed anew and compared.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use base::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::Error;
use crate::part::Begin;

/// Of an id, in hexadecimal: 128 bits.
const DIGITS: usize = 32;
/// Read at once when bytes are hashed anew.
const CHUNK: usize = 1 << 20;

/// The id of an unfinished file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PartId(Arc<str>);

impl PartId {
    /// A new one that nobody can guess.
    pub fn random() -> Self {
        Self(base::id::random_hex(DIGITS).into())
    }
    /// The one that always belongs to this text, such as an address with its version.
    pub fn of(text: &str) -> Self {
        let digest = Digest::of(text.as_bytes());
        Self(digest.hex().get(..DIGITS).unwrap_or_default().into())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PartId {
    type Err = Error;
    /// Only what is safe as a file's name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_id = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_id { Ok(Self(text.into())) } else { Err(Error::BadName(text.chars().take(2 * DIGITS).collect())) }
    }
}

impl<'de> Deserialize<'de> for PartId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far an unfinished file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartState {
    /// Its id.
    pub id: PartId,
    /// Bytes that are safe; the next one to send has this number.
    pub offset: u64,
    /// Bytes that were promised.
    pub total: Option<u64>,
    /// The beginner's own words, such as the version that an address had.
    pub note: String,
    /// Who began it; empty for the house itself.
    #[serde(default)]
    pub by: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it last grew.
    pub touched_at: Timestamp,
}

/// What stands in the file beside the part.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    #[serde(flatten)]
    pub(crate) state: PartState,
    /// The hash so far, in hexadecimal.
    sha256: String,
    /// Which life of the machine wrote it.
    boot: String,
}

impl PartState {
    /// Nothing written yet.
    pub(crate) fn new(begin: Begin) -> Self {
        let Begin { id, total, note, by } = begin;
        let now = Timestamp::now();
        Self { id, offset: 0, total, note, by, created_at: now, touched_at: now }
    }

    /// Writes it beside the part, with the hash so far.
    pub(crate) fn save(&self, part: &Path, hash: &Sha256) -> Result<(), Error> {
        let stored = Stored { state: self.clone(), sha256: to_hex(&hash.serialize()), boot: boot() };
        let (new, path) = (part.with_extension("new"), beside(part));
        let text = serde_json::to_vec(&stored).map_err(io::Error::from).map_err(Error::io(&path))?;
        fs::write(&new, text).map_err(Error::io(&new))?;
        fs::rename(&new, &path).map_err(Error::io(&path))
    }

    /// What was last written; none when there is no such part, or its state cannot be read.
    pub(crate) fn load(part: &Path) -> Result<Option<Stored>, Error> {
        let path = beside(part);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Takes the part away that has become a blob. Its state stays for a while: whoever was cut off before they heard of the end finds
    /// it there.
    pub(crate) fn end(part: &Path) {
        remove(part);
    }

    /// Takes part and state away.
    pub(crate) fn forget(part: &Path) {
        for path in [part.to_owned(), beside(part), part.with_extension("new")] {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an unfinished file could not be removed");
    }
}

impl Stored {
    /// What the bytes are together, if all that were promised came.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let whole = self.state.total == Some(self.state.offset);
        whole.then(|| from_hex(&self.sha256)).flatten().map(|hash| Digest::from_bytes(&hash.finalize()))
    }

    /// The hash at the stored offset, whatever became of the bytes.
    pub(crate) fn hash_alone(&self) -> Option<Sha256> {
        from_hex(&self.sha256)
    }

    /// The hash at the stored offset, if the bytes are those that were hashed.
    pub(crate) fn hash(&self, part: &Path) -> Result<Option<Sha256>, Error> {
        let Some(hash) = from_hex(&self.sha256) else { return Ok(None) };
        let offset = self.state.offset;
        if !part.metadata().is_ok_and(|seen| seen.len() >= offset) {
            return Ok(None);
        }
        let this_life = boot();
        if !this_life.is_empty() && this_life == self.boot {
            return Ok(Some(hash));
        }
        let again = hash_of(part, offset)?;
        Ok((again.serialize() == hash.serialize()).then_some(hash))
    }
}

fn hash_of(part: &Path, bytes: u64) -> Result<Sha256, Error> {
    let mut file = File::open(part).map_err(Error::io(part))?.take(bytes);
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk).map_err(Error::io(part))? {
            0 => return Ok(hash),
            read => hash.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

fn beside(part: &Path) -> PathBuf {
    part.with_extension("json")
}

/// Which life of the machine this is; nothing where the system does not say.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Sha256> {
    let bytes: Option<Vec<u8>> =
        text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect();
    let bytes = bytes?;
    let state = SerializedState::<Sha256>::try_from(bytes.as_slice()).ok()?;
    Sha256::deserialize(&state).ok()
}
