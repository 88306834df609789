//! Where does what lie in the folder?
//!
//! `sha256/ab/<digits>` whole blobs, read-only; `parts/<id>` and `parts/<id>.json` unfinished files and how
//! far they are; `links/<id>/<name>` folders with published names. Everything comes to its name by a
//! rename on the same disk, synced before and its folder after.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::Error;
use crate::state::PartId;

/// The folders.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Makes the folders that are missing.
    pub(crate) fn make(dir: &Path) -> Result<Self, Error> {
        let dir = std::path::absolute(dir).map_err(Error::io(dir))?;
        let layout = Self { dir };
        for folder in [layout.blobs(), layout.parts(), layout.links()] {
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Ok(layout)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
    pub(crate) fn blobs(&self) -> PathBuf {
        self.dir.join("sha256")
    }
    pub(crate) fn parts(&self) -> PathBuf {
        self.dir.join("parts")
    }
    pub(crate) fn links(&self) -> PathBuf {
        self.dir.join("links")
    }
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex().get(..2).unwrap_or_default()).join(digest.hex())
    }
    pub(crate) fn part(&self, id: &PartId) -> PathBuf {
        self.parts().join(id.as_str())
    }

    /// A whole, synced file gets its name; one that has the name already is as good.
    pub(crate) fn admit(&self, file: &Path, digest: &Digest) -> Result<PathBuf, Error> {
        let blob = self.blob(digest);
        let folder = blob.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        fs::rename(file, &blob).map_err(Error::io(&blob))?;
        sync_folder(folder)?;
        sync_folder(&self.blobs())?;
        Ok(blob)
    }

    /// Every blob that lies here, in no order.
    pub(crate) fn each_blob(&self) -> Result<Vec<(Digest, fs::Metadata)>, Error> {
        let mut found = Vec::new();
        for shelf in entries(&self.blobs())? {
            for entry in entries(&shelf)? {
                let digest = entry.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                if let (Some(digest), Ok(seen)) = (digest, entry.metadata()) {
                    found.push((digest, seen));
                }
            }
        }
        Ok(found)
    }
}

/// What lies in a folder; nothing when it is gone.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(Error::io(folder)(error)),
    }
}

/// A rename in it survives a loss of power.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
}

/// It was wanted just now; where that cannot be noted, it only looks older than it is.
pub(crate) fn touch(path: &Path) {
    if let Err(error) = File::open(path).and_then(|file| file.set_modified(SystemTime::now())) {
        tracing::debug!(path = %path.display(), %error, "the use of a blob could not be noted");
    }
}
