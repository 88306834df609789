//! How is a file opened that somebody else has put there?
//!
//! In: a path. Out: the open file. Fails: on what is no file; a pipe is not waited for, since nobody may ever write to it. Blocks: as long as
//! the disk takes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::error::Error;

/// Opens a file, and nothing else.
pub fn open(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(Error::read(path))?;
    let is_file = file.metadata().map_err(Error::read(path))?.is_file();
    if is_file { Ok(file) } else { Err(Error::NotAFile { path: path.to_owned() }) }
}
