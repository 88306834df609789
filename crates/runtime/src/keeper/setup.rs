//! What a process has to do to become a keeper: leave the session it was born in, close what it
//! inherited, take its signals from a descriptor, and adopt orphans of its engine.
//!
//! In: a process that was just started by Penstock and has one thread. Out: signals and a listener.
//! Fails: with the system's words. From: daemon(7), containerd-shim.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{close, dup2_stdout, setsid};
use spec::{Endpoint, Order};

use crate::Error;
use crate::folder::Folder;

/// What a keeper is called in a list of processes; the kernel keeps 15 bytes.
const NAME: &std::ffi::CStr = c"penstock-keep";
/// How long a keeper tries to take its place, and how often.
const PLACE_WAIT: Duration = Duration::from_secs(5);
const PLACE_RETRY: Duration = Duration::from_millis(5);
const FIRST_INHERITED: RawFd = 3;
/// What a keeper says on its standard output when its socket stands.
pub(crate) const READY: &str = "ready";
const NULL: &str = "/dev/null";

/// Leaves the caller's session, descriptors and file mode behind.
pub(super) fn detach() -> Result<(), Error> {
    close_inherited().map_err(Error::io("read", "/proc/self/fd"))?;
    // Fails when this process leads a group already; then somebody runs it by hand in a shell of
    // their own, and it stays in that session.
    let _ = setsid();
    let _ = prctl::set_name(NAME);
    umask(Mode::from_bits_truncate(0o077));
    prctl::set_child_subreaper(true).map_err(Error::errno("adopt orphans in", "/proc/self"))
}

/// The signals that a keeper acts on, as something to poll.
pub(super) fn signals() -> Result<SignalFd, Error> {
    let mut wanted = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        wanted.add(signal);
    }
    let open = || {
        wanted.thread_block()?;
        SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
    };
    open().map_err(Error::errno("take signals from", "/proc/self"))
}

/// Takes the keeper's place in the folder; `None` when another keeper answers from there. Somebody
/// who only looks whether there is a keeper has the place for a moment, so it is tried for a while.
pub(super) fn take_place(folder: &Folder) -> Result<Option<File>, Error> {
    let started = Instant::now();
    loop {
        if let Some(place) = folder.lock() {
            return Ok(Some(place));
        }
        if UnixStream::connect(folder.socket()).is_ok() {
            return Ok(None);
        }
        if !folder.path().is_dir() || started.elapsed() > PLACE_WAIT {
            let source = io::Error::new(io::ErrorKind::WouldBlock, "the folder is gone, or somebody else holds the lock");
            return Err(Error::Io { what: "take the keeper's place in", path: folder.path().to_owned(), source });
        }
        std::thread::sleep(PLACE_RETRY);
    }
}

/// The keeper's socket. A stale one is removed first: whoever holds the place in the folder is alone.
pub(super) fn listen(folder: &Folder) -> Result<UnixListener, Error> {
    let path = folder.socket();
    remove_socket(&path)?;
    let listener = UnixListener::bind(&path).map_err(Error::io("listen on", &path))?;
    listener.set_nonblocking(true).map_err(Error::io("listen on", &path))?;
    Ok(listener)
}

/// Clears away what an earlier engine left: its socket, on which a new one could not listen, and the
/// word of a failed start.
pub(super) fn clear(folder: &Folder, order: &Order) -> Result<(), Error> {
    if let Endpoint::Unix(path) = &order.endpoint {
        remove_socket(path)?;
    }
    let _ = fs::remove_file(folder.spawn_error());
    Ok(())
}

/// Tells whoever started us that our socket stands, and lets go of their pipe.
pub(super) fn say_ready() -> Result<(), Error> {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
    let null = File::options().write(true).open(NULL).map_err(Error::io("open", NULL))?;
    dup2_stdout(null).map_err(Error::errno("let go of", "/dev/stdout"))
}

/// A word into `keeper.log`.
pub(super) fn note(error: &Error) {
    let _ = writeln!(io::stderr(), "{}", base::chain(error));
}

fn close_inherited() -> io::Result<()> {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?.flatten().filter_map(number).collect();
    for fd in open.into_iter().filter(|fd| *fd >= FIRST_INHERITED) {
        // The folder that was just read is among them and closed already.
        let _ = close(fd);
    }
    Ok(())
}

/// Removes a socket, and nothing that is not one.
fn remove_socket(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(Error::io("remove the stale socket", path)),
        Ok(_) => {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "something that is not a socket stands there");
            Err(Error::Io { what: "listen on", path: path.to_owned(), source })
        }
        Err(_) => Ok(()),
    }
}
