//! Keeps one engine: the body of `penstock keep FOLDER`.
//!
//! Life of a keeper: it leaves the session it was born in (`setup`), takes the place in the
//! instance's folder, binds its socket, starts the engine through a short-lived step that ties the
//! engine's life to its own (`trampoline`, `engine`), and from then on waits for what comes first
//! (`turn`): a line of the log (`ring`), an ask (`callers`), the end of a child, or the time at
//! which nobody has claimed the instance for too long.
//!
//! In: a folder with an order. Out: an engine that is never alone and never outlives its purpose.
//! Fails: before the socket stands, with words for whoever started it; later never. Holds: one
//! thread, a few MB, the engine's log within `order.log_bytes`. From: containerd's shim; two-tier
//! supervision.
//!
//! The engine is claimed by [`list`](crate::Runtime::list), and for as long as the process runtime
//! that watches it lives. When that has ended for `order.orphan_ttl`, the engine is stopped and the
//! folder removed. TERM to the keeper stops the engine and leaves its exit in the folder.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::Error;
use crate::folder::{Facts, Folder};
use engine::Engine;
use ring::Ring;
use turn::{Keeper, Leave};

mod turn;

mod callers;
mod engine;
mod ring;
pub(crate) mod setup;
pub(crate) mod trampoline;

/// What a program that could not be executed ends with, as in a shell.
const CANNOT_EXECUTE: u8 = 127;
const USAGE: &str = "usage: keep FOLDER (Penstock starts this itself)";

/// Something that can be executed.
#[derive(Debug)]
pub enum Executable {
    /// A program on disk.
    File(PathBuf),
    /// A program in memory, such as a memfd.
    Memory(OwnedFd),
}

/// Hands out the engine that this binary carries.
pub type Carry<'a> = dyn Fn() -> io::Result<Executable> + 'a;

/// All that may stand behind `keep` on the command line: `FOLDER` for a keeper, and the two forms by which a
/// keeper and Penstock run engines. Has to be called while this process has one thread.
pub fn main(args: impl IntoIterator<Item = OsString>, carried: &Carry<'_>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect();
    let error = match words.as_slice() {
        [trampoline::FLAG, keeper, _] => trampoline::engine(keeper, Path::new(&args[2]), carried),
        [trampoline::CARRIED, ..] => trampoline::carried(&args[1..], carried),
        [_] => return run(Path::new(&args[0])).map_or_else(|error| failed(&error, 1), |()| ExitCode::SUCCESS),
        _ => {
            let _ = writeln!(io::stderr(), "{USAGE}");
            return ExitCode::from(2);
        }
    };
    failed(&error, CANNOT_EXECUTE)
}

/// Keeps the engine of the order in this folder until it has ended and nobody needs to know any more.
/// Returns at once when the folder has a keeper already.
pub fn run(dir: &Path) -> Result<(), Error> {
    setup::detach()?;
    let folder = Folder::at(dir)?;
    let Some(place) = setup::take_place(&folder)? else { return setup::say_ready() };
    let order = folder.order()?.ok_or_else(|| Error::NotFound(folder.id().clone()))?;
    if folder.exit()?.is_some() {
        // Whoever looked into the folder before we had our place has taken the engine for lost, and may have started another one.
        return Err(Error::NotFound(folder.id().clone()));
    }
    let signals = setup::signals()?;
    let listener = setup::listen(&folder)?;
    setup::clear(&folder, &order)?;
    let mut ring = Ring::new(order.log_bytes.0);
    let engine = Engine::start(&folder, &order, &mut ring);
    let facts =
        Facts { keeper: std::process::id(), engine: engine.pid().map(|pid| pid.as_raw().unsigned_abs()), started_at: engine.started_at() };
    folder.write_facts(&facts)?;
    setup::say_ready()?;
    let keeper = Keeper { folder, order, engine, ring, signals, listener, callers: Vec::new(), claimed: Instant::now(), leave: Leave::No };
    let outcome = keeper.live();
    drop(place);
    outcome
}

fn failed(error: &Error, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{}", base::chain(error));
    ExitCode::from(code)
}
