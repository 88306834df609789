//! Who has the database?
//!
//! In: the path of the database. Out: a [`Lock`] that only one process can have; dropping it, or the
//! end of the process by whatever cause, gives it back. Fails: [`Error::Locked`] with the number of
//! the process that has it. Holds: an advisory lock (flock) on `DATABASE.lock`; the file itself
//! stays, because deleting it would let a third process lock a file that nobody else sees.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Readable and writable by its owner only.
pub(crate) const PRIVATE: u32 = 0o600;

/// More than any process number has digits.
const PID_BYTES: u64 = 20;

/// The right to use the database.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(database: &Path) -> Result<Self, Error> {
        let path = beside(database, ".lock");
        let failed = |source| Error::NotWritable { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: database.to_owned(), pid: holder(&file) }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        sign(&file).map_err(failed)?;
        Ok(Self(file))
    }

    /// Gives it back before it is dropped.
    pub(crate) fn release(&self) {
        if let Err(error) = self.0.set_len(0).and_then(|()| self.0.unlock()) {
            tracing::warn!(%error, "the lock of the database was not given back; it ends with the process");
        }
    }
}

/// A file of the database's name with something behind it.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn sign(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
