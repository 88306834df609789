//! The folder of one instance: what stands where, and how it is written so that a crash harms nothing.
//!
//! ```text
//! <data>/instances/<id>/       0700
//!     order.json               0600  what is to run; written before the keeper starts
//!     facts.json               0600  the keeper's and the engine's process ids, once the engine was started
//!     exit.json                0600  how the engine ended, so that it is known even if the keeper died later
//!     keeper.lock              held by the keeper for as long as it lives
//!     keeper.log               the keeper's own few words
//!     k.sock, e.sock           the keeper's and the engine's socket
//! ```
//!
//! The path of a Unix socket has at most 107 bytes. Where the data directory's path is longer, the two
//! sockets of an instance stand in `/tmp/penstock-<user>-<hash of the path>/<id>/`, mode 0700.
//!
//! In: the folder of all instances and an id. Out: paths and parsed files. Fails: with the path and
//! the system's words. Holds: nothing; files are small, and nothing is synced to disk, because no
//! engine outlives the machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base::Timestamp;
use nix::unistd::geteuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spec::{Exit, InstanceId, Order};

use crate::Error;

/// `sun_path` has 108 bytes, one of them for the final zero.
const LONGEST_SOCKET: usize = 107;
const LONGEST_ID: usize = 64;
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// The folder of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    id: InstanceId,
    path: PathBuf,
    sockets: PathBuf,
}

/// What the keeper writes down once it has started the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The keeper's process.
    pub(crate) keeper: u32,
    /// The engine's process; `None` when it could not be started.
    pub(crate) engine: Option<u32>,
    /// When.
    pub(crate) started_at: Timestamp,
}

/// Where the sockets of an instance stand, given the folder of all instances.
pub(crate) fn socket_dir(dir: &Path, id: &InstanceId) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let near = dir.join(id.as_str());
    if near.join("k.sock").as_os_str().len() <= LONGEST_SOCKET {
        return near;
    }
    PathBuf::from(format!("/tmp/penstock-{}-{:016x}", geteuid(), fnv1a(dir.as_os_str().as_bytes()))).join(id.as_str())
}

/// Makes a folder that only this user can enter, or sees to it that an old one is so.
pub(crate) fn private_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path).map_err(Error::io("create", path))?;
    let found = fs::symlink_metadata(path).map_err(Error::io("read", path))?;
    let wrong = |what| Err(Error::NotPrivate { path: path.to_owned(), what });
    if !found.is_dir() {
        return wrong("it is a link");
    }
    if found.uid() != geteuid().as_raw() {
        return wrong("it belongs to another user");
    }
    if found.mode() & 0o777 != PRIVATE_DIR {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE_DIR)).map_err(Error::io("make private", path))?;
    }
    Ok(())
}

/// A private file, empty, open for writing.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)
}

impl Folder {
    /// The folder of this instance under the folder of all; nothing is touched.
    pub(crate) fn of(dir: &Path, id: &InstanceId) -> Result<Self, Error> {
        let text = id.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > LONGEST_ID || !text.chars().all(plain) {
            return Err(Error::BadId(id.clone()));
        }
        Ok(Self { id: id.clone(), path: dir.join(text), sockets: socket_dir(dir, id) })
    }
    /// The folder at this path; its last part is the instance's id.
    pub(crate) fn at(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        let id = InstanceId::new(path.file_name().unwrap_or_default().to_string_lossy());
        Self::of(path.parent().unwrap_or(&path), &id)
    }
    /// The instances that have a folder here.
    pub(crate) fn all(dir: &Path) -> Result<Vec<Self>, Error> {
        let entries = fs::read_dir(dir).map_err(Error::io("read", dir))?;
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let ids = entries.flatten().filter(is_folder).map(|entry| InstanceId::new(entry.file_name().to_string_lossy()));
        Ok(ids.filter_map(|id| Self::of(dir, &id).ok()).collect())
    }
    /// Whose folder.
    pub(crate) fn id(&self) -> &InstanceId {
        &self.id
    }
    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    /// The keeper's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.join("k.sock")
    }
    /// The keeper's own few words.
    pub(crate) fn keeper_log(&self) -> PathBuf {
        self.path.join("keeper.log")
    }
    /// Where the step between keeper and engine says why the engine could not be executed.
    pub(crate) fn spawn_error(&self) -> PathBuf {
        self.path.join("spawn-error")
    }
    /// Makes it, private.
    pub(crate) fn create(&self) -> Result<(), Error> {
        private_dir(&self.path)?;
        if self.sockets == self.path {
            return Ok(());
        }
        if let Some(parent) = self.sockets.parent() {
            private_dir(parent)?;
        }
        private_dir(&self.sockets)
    }
    /// Removes it with all that is in it; fine when it is gone.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for path in [&self.sockets, &self.path] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", path)(error)),
                _ => {}
            }
        }
        Ok(())
    }
    /// Takes the keeper's place; `None` when a keeper lives or the folder is gone. The place is given
    /// back when the file is dropped.
    pub(crate) fn lock(&self) -> Option<File> {
        let path = self.path.join("keeper.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE_FILE).open(path).ok()?;
        file.try_lock().ok().map(|()| file)
    }
    /// What is to run; `None` when nothing was written.
    pub(crate) fn order(&self) -> Result<Option<Order>, Error> {
        self.read("order.json")
    }
    /// Writes what is to run.
    pub(crate) fn write_order(&self, order: &Order) -> Result<(), Error> {
        self.write("order.json", order)
    }
    /// The process ids; `None` when nothing was started.
    pub(crate) fn facts(&self) -> Result<Option<Facts>, Error> {
        self.read("facts.json")
    }
    /// Writes the process ids.
    pub(crate) fn write_facts(&self, facts: &Facts) -> Result<(), Error> {
        self.write("facts.json", facts)
    }
    /// How the engine ended; `None` when that is not known.
    pub(crate) fn exit(&self) -> Result<Option<Exit>, Error> {
        self.read("exit.json")
    }
    /// Writes how the engine ended.
    pub(crate) fn write_exit(&self, exit: &Exit) -> Result<(), Error> {
        self.write("exit.json", exit)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Garbled { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// A reader sees the old file or the new one, never half of it.
    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let (path, new) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let bytes = serde_json::to_vec(value).map_err(|source| Error::Garbled { path: path.clone(), source })?;
        private_file(&new).and_then(|mut file| file.write_all(&bytes)).map_err(Error::io("write", &new))?;
        fs::rename(&new, &path).map_err(Error::io("write", path))
    }
}

/// FNV-1a, 64 bits: the same in every version of Penstock, unlike the standard library's hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
