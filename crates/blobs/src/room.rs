//! Is there room for so many bytes?
//!
//! In: a folder and what others have claimed. Out: nothing. Fails: [`Error::DiskFull`] with the numbers.

use std::path::Path;

use base::ByteSize;
use nix::sys::statvfs::statvfs;

use crate::error::Error;

/// Bytes that this user may still write to the folder's disk.
pub fn free(dir: &Path) -> Result<ByteSize, Error> {
    let seen = statvfs(dir).map_err(|errno| Error::io(dir)(errno.into()))?;
    Ok(ByteSize(seen.blocks_available().saturating_mul(seen.fragment_size())))
}

/// Fails unless `wanted` bytes fit beside what is claimed and what stays free.
pub(crate) fn check(dir: &Path, wanted: ByteSize, claimed: ByteSize, reserve: ByteSize, what: &str) -> Result<(), Error> {
    let free = free(dir)?.saturating_sub(claimed);
    if wanted + reserve <= free {
        return Ok(());
    }
    Err(Error::DiskFull { what: what.to_owned(), wanted, free, reserve })
}
