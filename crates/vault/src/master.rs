//! Where is the master key, and which one is it?
//!
//! In: a text or a file with a key, perhaps with older ones behind it, of the operator; or a file of ours. Out: [`Keys`], the first of which wraps. Fails: when
//! there is none where one has to be; an operator's file is never written. A file of ours is made when it is not there, for its owner only.
//! A rotation puts the new key before the old one, wraps, and then takes the old one away: whenever it is cut off, all keys that are needed are there.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::seal::Key;

const PRIVATE: u32 = 0o600;
/// What a key's name is made of, so that it tells nothing that could be used elsewhere.
const NAMED: &[u8] = b"penstock master key\0";
/// Digits of a key's name.
const NAME: usize = 16;

/// Where the master key comes from.
#[derive(Debug, Clone)]
pub enum MasterKey {
    /// It was given; older ones may stand behind it, with a space between.
    Given(Secret),
    /// It is in a file of the operator; older ones may stand behind it. It is read again for a rotation.
    File(PathBuf),
    /// It is in this file of ours, which is made when it is not there.
    Own(PathBuf),
}

/// A master key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) name: String,
    pub(crate) key: Key,
}

/// The present one, then older ones.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) present: Master,
    older: Vec<Master>,
}

impl Master {
    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(NAMED).chain_update(key.bytes()).finalize();
        let name = digest.iter().take(NAME / 2).fold(String::with_capacity(NAME), |mut name, byte| {
            let _ = write!(name, "{byte:02x}"); // a `String` cannot fail to take text
            name
        });
        Self { name, key }
    }
}

impl Keys {
    fn read(text: &str, from: impl FnOnce() -> String) -> Result<Self, Error> {
        let key = |word: &str| Some(Master::new(Key::from_bytes(&STANDARD.decode(word).ok()?)?));
        let mut all: Vec<Master> = text.split_whitespace().map(key).collect::<Option<_>>().unwrap_or_default();
        if all.is_empty() {
            return Err(Error::NoKey { from: from() });
        }
        let older = all.split_off(1);
        all.pop().map(|present| Self { present, older }).ok_or_else(|| Error::NoKey { from: "it".to_owned() })
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Master> {
        std::iter::once(&self.present).chain(&self.older).find(|master| master.name == name)
    }

    fn text(&self) -> Secret {
        let all = std::iter::once(&self.present).chain(&self.older);
        Secret::new(all.map(|master| STANDARD.encode(master.key.bytes()) + "\n").collect::<String>())
    }
}

impl MasterKey {
    /// The keys; where there may be none yet, because nothing is sealed, one is made.
    pub(crate) fn keys(&self, nothing_is_sealed: bool) -> Result<Keys, Error> {
        match self {
            Self::Given(text) => Keys::read(text.expose(), || "PENSTOCK_MASTER_KEY".to_owned()),
            Self::File(path) => read(path),
            Self::Own(path) => match read(path) {
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound && nothing_is_sealed => {
                    let keys = Keys { present: Master::new(Key::random()?), older: Vec::new() };
                    write(path, &keys)?;
                    Ok(keys)
                }
                keys => keys,
            },
        }
    }

    /// The keys to wrap with from now on: a new one before those of ours, whatever the operator's file says now.
    pub(crate) fn next(&self, now: &Keys) -> Result<Keys, Error> {
        match self {
            Self::Given(_) => Ok(now.clone()),
            Self::File(path) => read(path),
            Self::Own(path) => {
                let older = std::iter::once(&now.present).chain(&now.older).cloned().collect();
                let keys = Keys { present: Master::new(Key::random()?), older };
                write(path, &keys)?;
                Ok(keys)
            }
        }
    }

    /// Nothing is wrapped by the older ones any more.
    pub(crate) fn forget_older(&self, keys: &mut Keys) -> Result<(), Error> {
        match self {
            Self::Own(path) if !keys.older.is_empty() => {
                keys.older.clear();
                write(path, keys)
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Keys, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Keys::read(&text, || path.display().to_string())
}

/// A reader sees the old keys or the new ones, also after a loss of power.
fn write(path: &Path, keys: &Keys) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let new = path.with_extension("new");
    let writing = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&new)?;
        file.write_all(keys.text().expose().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    writing().map_err(failed)
}
