//! What `penstock login` has stored.
//!
//! In: the user's folder for settings. Out: a token for each server, and the server that was logged in to last. Fails: when the file cannot be read or
//! written. Holds: nothing. Only the user may read the file; it is replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;

/// All logins of this user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The server that was logged in to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest: Option<String>,
    /// By the server's URL.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Kept>,
}

/// One login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The token.
    pub(crate) token: String,
    /// Its id, to take it back by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
}

const FILE: &str = "credentials";
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE: u32 = 0o600;

impl Credentials {
    /// Those in this folder; none when there is no file.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| Failure::Failed {
                what: format!("{} cannot be understood: {error}", path.display()),
                hint: "remove it and log in again".to_owned(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io(format!("{} cannot be read", path.display()))(error)),
        }
    }

    /// The token for a server.
    pub(crate) fn token(&self, url: &str) -> Option<String> {
        self.servers.get(&key(url)).map(|kept| kept.token.clone())
    }

    /// From now on this one is used.
    pub(crate) fn keep(&mut self, url: &str, kept: Kept) {
        self.latest = Some(key(url));
        self.servers.insert(key(url), kept);
    }

    /// From now on none is.
    pub(crate) fn forget(&mut self, url: &str) -> Option<Kept> {
        let gone = self.servers.remove(&key(url));
        if self.latest.as_ref() == Some(&key(url)) {
            self.latest = None;
        }
        gone
    }

    /// Puts them where they were.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, Failure> {
        let path = folder.join(FILE);
        let (failed, new) = (|| Failure::io(format!("{} cannot be written", path.display())), path.with_extension("new"));
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::Broken(error.into()))?;
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder).map_err(failed())?;
        let _ = std::fs::remove_file(&new); // left by somebody who was interrupted
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&new).map_err(failed())?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed())?;
        std::fs::rename(&new, &path).map_err(failed())?;
        Ok(path)
    }
}

/// However a server's URL is written, it is one server.
fn key(url: &str) -> String {
    url.trim_end_matches('/').trim_end_matches("/v1").replace("//localhost:", "//127.0.0.1:").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_stored_is_for_its_owner_only_and_by_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("penstock");
        let mut kept = Credentials::read(&folder).expect("none");
        kept.keep("http://localhost:8080/v1", Kept { token: "psk_a".to_owned(), id: None });
        kept.keep("https://b.example/", Kept { token: "psk_b".to_owned(), id: Some("1".to_owned()) });
        let path = kept.write(&folder).expect("written");
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.metadata().expect("a folder").permissions().mode() & 0o777, 0o700);
        let mut read = Credentials::read(&folder).expect("some");
        assert_eq!(read, kept);
        assert_eq!(read.token("http://127.0.0.1:8080").as_deref(), Some("psk_a"));
        assert_eq!((read.token("http://c.example"), read.latest.as_deref()), (None, Some("https://b.example")));
        assert_eq!(read.forget("https://B.example").and_then(|kept| kept.id).as_deref(), Some("1"));
        assert_eq!((read.latest, read.servers.len()), (None, 1));
    }
}
