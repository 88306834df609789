//! How does an engine find files under the names that they were published with?
//!
//! In: names and digests. Out: a folder in which each blob has its name, made whole or not at all; every
//! blob in it is held as long as the [`Folder`] lives. Fails: on names that lead out of the folder, on
//! blobs that are not here. The links are hard ones: a container that sees only the folder sees the files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::blobs::{Blob, Blobs, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::hold::Hold;
use crate::layout::{self, Layout};
use crate::state::PartId;

/// A folder of links; its blobs are held.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Keep the blobs.
    pub holds: Vec<Hold>,
}

/// What a folder holds, as it stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    name: String,
    pub(crate) digest: Digest,
}

impl Blobs {
    /// A folder in which these blobs have these names; the same ask gives the same folder.
    pub async fn links(&self, files: &[(String, Digest)]) -> Result<Folder, Error> {
        let mut named: Vec<Named> = Vec::with_capacity(files.len());
        let mut blobs: Vec<Blob> = Vec::with_capacity(files.len());
        for (name, digest) in files {
            named.push(Named { name: checked(name)?, digest: digest.clone() });
            blobs.push(self.local(digest).await?);
        }
        let layout = self.layout().clone();
        let (path, blobs) = blocking(move || make(&layout, &named, &blobs).map(|path| (path, blobs))).await?;
        Ok(Folder { path, holds: blobs.into_iter().map(|blob| blob.hold).collect() })
    }
}

/// A relative path that stays below its folder.
fn checked(name: &str) -> Result<String, Error> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let is_good = is_plain && !name.is_empty() && !name.contains(['\0', '\\']) && !name.ends_with('/');
    if is_good { Ok(name.to_owned()) } else { Err(Error::BadName(name.to_owned())) }
}

fn make(layout: &Layout, named: &[Named], blobs: &[Blob]) -> Result<PathBuf, Error> {
    let text = serde_json::to_string(named).map_err(io::Error::from).map_err(Error::io(layout.links()))?;
    let folder = layout.links().join(PartId::of(&text).as_str());
    if is_whole(&folder, named, blobs) {
        return Ok(folder);
    }
    let new = layout.links().join(PartId::random().as_str());
    fs::create_dir(&new).map_err(Error::io(&new))?;
    // The list comes before the name: a folder without one would never be collected.
    let list = folder.with_extension("json");
    let made = fill(&new, named, blobs)
        .and_then(|()| fs::write(&list, text).map_err(Error::io(&list)))
        .and_then(|()| put(&new, &folder, named, blobs));
    if made.is_err() {
        drop(fs::remove_dir_all(&new)); // what went wrong first is told
    }
    made?;
    layout::sync_folder(&layout.links())?;
    Ok(folder)
}

fn fill(new: &Path, named: &[Named], blobs: &[Blob]) -> Result<(), Error> {
    for (file, blob) in named.iter().zip(blobs) {
        let link = new.join(&file.name);
        if let Some(above) = link.parent() {
            fs::create_dir_all(above).map_err(Error::io(above))?;
        }
        fs::hard_link(&blob.path, &link).map_err(Error::io(&link))?;
    }
    Ok(())
}

/// The new folder gets its name; a broken one of that name goes, and one that somebody made meanwhile stays.
fn put(new: &Path, folder: &Path, named: &[Named], blobs: &[Blob]) -> Result<(), Error> {
    if fs::rename(new, folder).is_ok() {
        return Ok(());
    }
    if is_whole(folder, named, blobs) {
        return fs::remove_dir_all(new).map_err(Error::io(new));
    }
    fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    fs::rename(new, folder).map_err(Error::io(folder))
}

fn is_whole(folder: &Path, named: &[Named], blobs: &[Blob]) -> bool {
    let is_same = |(file, blob): (&Named, &Blob)| match (folder.join(&file.name).metadata(), blob.path.metadata()) {
        (Ok(link), Ok(blob)) => link.ino() == blob.ino() && link.dev() == blob.dev(),
        _ => false,
    };
    named.iter().zip(blobs).all(is_same)
}

/// All folders with the blobs that they name. One without a list that can be read names nothing.
pub(crate) fn all(layout: &Layout) -> Result<Vec<(PathBuf, Vec<Named>)>, Error> {
    let mut found = Vec::new();
    for path in layout::entries(&layout.links())? {
        if path.is_dir() {
            let list = fs::read(path.with_extension("json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
            found.push((path, list.unwrap_or_default()));
        }
    }
    Ok(found)
}

/// Takes a folder away, its list last.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    match fs::remove_file(folder.with_extension("json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}
