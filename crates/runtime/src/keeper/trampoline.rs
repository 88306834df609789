//! The step between keeper and engine: a short-lived child that ties its life to the keeper's and
//! then becomes the engine.
//!
//! In: `--exec KEEPER FOLDER`, or `--carried ARGS...` to run the carried engine by hand (so it is asked
//! for its version and flags). Out: does not return when it worked. Fails: the reason is left in the
//! folder, where the keeper finds it. Holds: nothing.
//!
//! The parent-death signal has to be set between fork and exec; doing so in a program of its own keeps
//! the keeper free of unsafe code.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;
use spec::Program;

use super::{Carry, Executable};
use crate::Error;
use crate::folder::{Folder, private_file};

/// The word that leads here.
pub(super) const FLAG: &str = "--exec";
/// The word that runs the carried engine by hand.
pub(crate) const CARRIED: &str = "--carried";

/// What the carried engine is called in a list of processes.
const CARRIED_NAME: &str = "llama-server";

/// Becomes the engine of the order in this folder, unless the keeper is gone.
pub(super) fn engine(keeper: &str, dir: &Path, carried: &Carry<'_>) -> Error {
    match Folder::at(dir) {
        Ok(folder) => {
            let error = become_engine(keeper, &folder, carried);
            let told = private_file(&folder.spawn_error()).and_then(|mut file| file.write_all(base::chain(&error).as_bytes()));
            told.map_err(Error::io("write", folder.spawn_error())).err().unwrap_or(error)
        }
        Err(error) => error,
    }
}

/// Becomes the carried engine with these arguments.
pub(super) fn carried(args: &[OsString], carried: &Carry<'_>) -> Error {
    match carried() {
        Ok(program) => exec(&program, args),
        Err(source) => Error::Io { what: "open", path: CARRIED_NAME.into(), source },
    }
}

fn become_engine(keeper: &str, folder: &Folder, carried: &Carry<'_>) -> Error {
    if let Err(errno) = tie_to(keeper) {
        return Error::errno("tie the engine to its keeper in", folder.path())(errno);
    }
    let order = match folder.order() {
        Ok(Some(order)) => order,
        Ok(None) => return Error::NotFound(folder.id().clone()),
        Err(error) => return error,
    };
    let program = match &order.program {
        Program::Path(path) => Ok(Executable::File(path.clone())),
        Program::Own => Ok(Executable::File(PathBuf::from("/proc/self/exe"))),
        Program::Carried => carried(),
        Program::None => return Error::Unsupported { runtime: "process", what: "an order without a program" },
    };
    match program {
        Ok(program) => exec(&program, &order.args.iter().map(OsString::from).collect::<Vec<_>>()),
        Err(source) => Error::Io { what: "open", path: CARRIED_NAME.into(), source },
    }
}

fn tie_to(keeper: &str) -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // If the keeper died before this line, the signal will never come.
    if getppid().to_string() != keeper {
        return Err(nix::Error::ESRCH);
    }
    // The keeper takes its signals from a descriptor and so has them blocked; the engine must not.
    SigSet::empty().thread_set_mask()
}

fn exec(program: &Executable, args: &[OsString]) -> Error {
    match program {
        Executable::File(path) => {
            let source = Command::new(path).args(args).exec();
            Error::Io { what: "start", path: path.clone(), source }
        }
        Executable::Memory(memory) => {
            let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
            let source = Command::new(&path).arg0(CARRIED_NAME).args(args).exec();
            Error::Io { what: "start", path, source }
        }
    }
}
