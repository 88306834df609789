//! What opens remote engines: from the environment, from files, from the vault.
//!
//! In: where a key is. Out: the key as it is now. Fails: with nothing, where there is none. Holds: what was read of files, and when they were
//! written; they are looked at every few seconds, and whoever shows keys is told when one is another.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Secret;
use base::tasks::{self, Task};
use spec::KeyFrom;
use vault::Vault;

use super::wishes;
use crate::config::Settings;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longer than any key.
const LONGEST: u64 = 64 << 10;

/// When and where a file was written, and how long it is.
type Stamp = Option<(i64, i64, u64, u64)>;

/// Finds keys; cheap to clone.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    settings: Settings,
    vault: Vault,
    files: Mutex<BTreeMap<PathBuf, (Stamp, Option<Secret>)>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(settings: &Settings, vault: &Vault) -> Self {
        Self(Arc::new(Inner { settings: settings.clone(), vault: vault.clone(), files: Mutex::default() }))
    }

    /// The key as it is now.
    pub(super) fn find(&self, from: KeyFrom<'_>) -> Option<Secret> {
        let Inner { settings, vault, .. } = &*self.0;
        match from {
            KeyFrom::Variable(name) if name == wishes::LLAMA_KEY && settings.config.llama_api_key.is_some() => {
                settings.config.llama_api_key.clone()
            }
            KeyFrom::Variable(name) => settings.environment.secret(name),
            KeyFrom::Secret(name) => vault.get(name.as_str()),
            KeyFrom::File(path) => self.file(path),
        }
    }

    fn file(&self, path: &Path) -> Option<Secret> {
        let stamp = stamp(path);
        let mut files = self.files();
        match files.get(path) {
            Some((seen, secret)) if *seen == stamp => secret.clone(),
            _ => {
                let secret = read(path);
                files.insert(path.to_owned(), (stamp, secret.clone()));
                secret
            }
        }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, (Stamp, Option<Secret>)>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the fleet when a file is another, for as long as the task is held.
    pub(super) fn watch(&self, fleet: &fleet::Handle) -> Task {
        let (keys, fleet) = (self.clone(), fleet.clone());
        tasks::spawn("key-files", async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if keys.files().iter().any(|(path, (seen, _))| stamp(path) != *seen) {
                    fleet.keys_changed().await;
                }
            }
        })
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.ino(), found.len()))
}

fn read(path: &Path) -> Option<Secret> {
    let found = fs::metadata(path)
        .and_then(|found| if found.len() > LONGEST { Err(std::io::ErrorKind::FileTooLarge.into()) } else { fs::read_to_string(path) });
    match found {
        Ok(text) => Some(Secret::new(text.trim())).filter(|secret| !secret.expose().is_empty()),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a key's file cannot be read");
            None
        }
    }
}
