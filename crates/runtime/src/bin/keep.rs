//! The keeper alone, for this room's tests; users have it as `penstock keep`.
//!
//! Takes the same arguments: `keep keep FOLDER`. In the place of a carried engine it carries this
//! machine's shell, in memory, as a release of Penstock carries its engine.

use std::fs::File;
use std::io;
use std::process::ExitCode;

use nix::sys::memfd::{MFdFlags, memfd_create};
use runtime::keeper::{self, Executable};

fn main() -> ExitCode {
    keeper::main(std::env::args_os().skip(2), &shell)
}

fn shell() -> io::Result<Executable> {
    let memory = memfd_create("shell", MFdFlags::MFD_CLOEXEC)?;
    io::copy(&mut File::open("/bin/sh")?, &mut File::from(memory.try_clone()?))?;
    Ok(Executable::Memory(memory))
}
