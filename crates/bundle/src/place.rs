//! A program in a file: for systems that do not run programs from memory.
//!
//! In: the packed engine and a folder. Out: the path of a file of mode 0700 whose digest is right.
//! Fails: when the folder cannot be written, or programs in it cannot be run. Holds: a second file
//! while it is written; one that a killed process left is removed by the next.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{AccessFlags, Uid, access};

use crate::carried::{Carried, digest_of};
use crate::error::Error;

/// Read, write and run: for this user only.
const MODE: u32 = 0o700;
/// Between the name of the program and the process that writes it.
const UNFINISHED: &str = ".unfinished-";
/// Tells apart what several threads write at the same time.
static TURN: AtomicU32 = AtomicU32::new(0);
/// Digits of the digest in the name.
const DIGITS: usize = 16;

pub(crate) fn unpack(carried: &Carried, dir: &Path) -> Result<PathBuf, Error> {
    let digits = carried.digest.get(..DIGITS).unwrap_or(&carried.digest);
    let name = format!("llama-server-{digits}");
    let path = dir.join(&name);
    let failed = |source| Error::Place { path: path.clone(), source };
    DirBuilder::new().recursive(true).mode(MODE).create(dir).map_err(failed)?;
    if !is_right(&path, carried).map_err(failed)? {
        sweep(dir, &name).map_err(failed)?;
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        write(&path, dir.join(format!("{name}{UNFINISHED}{}-{turn}", std::process::id())), carried)?;
    }
    access(&path, AccessFlags::X_OK).map_err(|source| Error::NotExecutable { dir: dir.to_owned(), source })?;
    Ok(path)
}

/// Whether the file is there, ours alone, and has the right bytes.
fn is_right(path: &Path, carried: &Carried) -> io::Result<bool> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let ours = meta.is_file() && meta.uid() == Uid::effective().as_raw() && meta.mode() & 0o777 == MODE;
    if !ours || meta.len() != carried.size {
        return Ok(false);
    }
    Ok(digest_of(File::open(path)?)? == carried.digest)
}

/// Writes beside the place and moves it there whole, so that nobody ever runs half of it.
fn write(path: &Path, beside: PathBuf, carried: &Carried) -> Result<(), Error> {
    let failed = |source| Error::Place { path: path.to_owned(), source };
    let unfinished = Unfinished(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished.0).map_err(failed)?;
    let filled = carried.unpack_into(&mut file).map_err(Error::Damaged)?;
    filled.and_then(|()| file.sync_all()).map_err(failed)?;
    drop(file);
    fs::rename(&unfinished.0, path).map_err(failed)
}

/// Removes itself; after it was moved to its place there is nothing to remove.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what processes left that are no more.
fn sweep(dir: &Path, name: &str) -> io::Result<()> {
    let prefix = format!("{name}{UNFINISHED}");
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let named = entry.file_name();
        let writer = named.to_str().and_then(|named| named.strip_prefix(&prefix)?.split('-').next());
        if writer.is_some_and(|writer| !Path::new("/proc").join(writer).exists()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
