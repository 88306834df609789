//! A program in memory: a file without a name that can be run and no longer be changed.
//!
//! In: the packed engine. Out: a descriptor. Fails: where the kernel forbids it (old kernels,
//! `vm.memfd_noexec=2`, no `/proc`). From: memfd_create(2), fcntl(2) on seals; runc runs itself from
//! such a file for the same reason: nobody can change it under us.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{AccessFlags, access};

use crate::carried::Carried;
use crate::error::Error;

/// Shown as `/memfd:llama-server` in the list of processes.
const NAME: &str = "llama-server";
/// Says that it is meant to be run (`MFD_EXEC`, since Linux 6.3; earlier kernels refuse the flag).
const EXECUTABLE: u32 = 0x10;

pub(crate) fn unpack(carried: &Carried) -> Result<OwnedFd, Error> {
    let mut file = File::from(create().map_err(Error::Memory)?);
    let filled = carried.unpack_into(&mut file).map_err(Error::Damaged)?;
    filled.map_err(Error::Fill)?;
    let fd = OwnedFd::from(file);
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).map_err(Error::Memory)?;
    access(&path(fd.as_raw_fd()), AccessFlags::X_OK).map_err(Error::Memory)?;
    Ok(fd)
}

pub(crate) fn path(fd: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

fn create() -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    match memfd_create(NAME, flags | MFdFlags::from_bits_retain(EXECUTABLE)) {
        Err(Errno::EINVAL) => memfd_create(NAME, flags),
        made => made,
    }
}
