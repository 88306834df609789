//! The engine's process, from its start until nothing of it is left.
//!
//! In: an order; signals that a child ended; a wish to stop. Out: its state, its log, its exit.
//! Fails: never; an engine that cannot be started has ended with the reason. Holds: the only right
//! to wait for children of this process.
//!
//! The engine leads a process group of its own and dies with the keeper (parent-death signal). When
//! it ends, its group is killed before it is reaped, while its id still cannot belong to anybody
//! else; what had left the group becomes our child (child subreaper) and is killed too. It counts as
//! ended when the last of them is gone, for only then is its memory free.

use std::io::{self, PipeReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};
use spec::{Exit, Order, SeenState};

use super::ring::Ring;
use crate::folder::Folder;
use crate::{environment, proc};

/// From the second TERM to the KILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// So many last lines stand in the exit.
const LAST_LINES: usize = 20;
/// One read of the log.
const READ: usize = 16 << 10;
/// When the engine has ended, no more than this is read of what it left in the pipe; a pipe holds less.
const REST: usize = 1 << 20;

const ANY: Option<Pid> = None;

/// Where in its life the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Stopping,
    Ended,
}

/// The engine's process.
#[derive(Debug)]
pub(super) struct Engine {
    pid: Option<Pid>,
    started_at: Timestamp,
    log: Option<PipeReader>,
    stop: Option<Stop>,
    exit: Option<Exit>,
    gone: bool,
}

/// How far the stop has gone.
#[derive(Debug, Clone, Copy)]
struct Stop {
    stage: Stage,
    due: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Pressed,
    Killed,
}

impl Engine {
    /// Starts it. What goes wrong is told by its exit.
    pub(super) fn start(folder: &Folder, order: &Order, ring: &mut Ring) -> Self {
        let mut engine = Self { pid: None, started_at: Timestamp::now(), log: None, stop: None, exit: None, gone: false };
        match spawn(folder, order) {
            Ok((pid, log)) => (engine.pid, engine.log) = (Some(pid), Some(log)),
            Err(error) => {
                engine.exit = Some(Exit { spawn_error: Some(error.to_string()), ..exit_of(None, None) });
                engine.finish(ring);
            }
        }
        engine
    }
    /// Its process, while it lives.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.pid
    }
    /// When it was started.
    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }
    /// Its log, while somebody can still write to it.
    pub(super) fn log(&self) -> Option<&PipeReader> {
        self.log.as_ref()
    }
    /// Where in its life it is.
    pub(super) fn life(&self) -> Life {
        match (self.gone, &self.stop, &self.exit) {
            (true, _, _) => Life::Ended,
            (false, None, None) => Life::Running,
            // What it left behind is being cleared away.
            (false, _, _) => Life::Stopping,
        }
    }
    /// The same with the exit.
    pub(super) fn state(&self) -> SeenState {
        match (self.life(), &self.exit) {
            (Life::Ended, Some(exit)) => SeenState::Exited(exit.clone()),
            (Life::Running, _) => SeenState::Running,
            _ => SeenState::Stopping,
        }
    }
    /// When to look at it again, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stop.filter(|stop| !self.gone && stop.stage != Stage::Killed).map(|stop| stop.due)
    }

    /// Asks it to end. A second wish can only shorten the grace of the first.
    pub(super) fn stop(&mut self, grace: Duration) {
        let due = Instant::now() + grace;
        match &mut self.stop {
            Some(stop) if stop.stage == Stage::Asked => stop.due = stop.due.min(due),
            Some(_) => {}
            None => {
                self.stop = Some(Stop { stage: Stage::Asked, due });
                self.signal(Signal::SIGTERM);
            }
        }
    }

    /// The next step of a stop whose time has come.
    pub(super) fn press(&mut self) {
        let now = Instant::now();
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        match self.stop.map(|stop| stop.stage) {
            Some(Stage::Asked) => {
                // llama-server with a call in flight hangs on the first TERM and ends on the second.
                self.stop = Some(Stop { stage: Stage::Pressed, due: now + KILL_AFTER });
                self.signal(Signal::SIGTERM);
            }
            Some(Stage::Pressed) => {
                self.stop = Some(Stop { stage: Stage::Killed, due: now });
                self.kill_group();
            }
            _ => {}
        }
    }

    /// Reads what is in the pipe.
    pub(super) fn read_log(&mut self, ring: &mut Ring) {
        self.read_some(ring);
    }

    /// After a child ended: takes note of the engine's exit, and clears away what it left.
    pub(super) fn reap(&mut self, folder: &Folder, ring: &mut Ring) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(status) => {
                    self.take_note(status, folder);
                    let _ = waitpid(status.pid(), Some(WaitPidFlag::WNOHANG));
                }
                Err(Errno::EINVAL) => {
                    // A signal without a name ended somebody.
                    let _ = waitpid(ANY, Some(WaitPidFlag::WNOHANG));
                    self.miss();
                }
                Err(Errno::EINTR) => {}
                Err(_) => return self.finish(ring),
            }
        }
        if self.exit.is_some() {
            for stray in proc::children() {
                let _ = kill(stray, Signal::SIGKILL);
            }
        }
    }

    fn take_note(&mut self, status: WaitStatus, folder: &Folder) {
        if self.pid.is_none() || status.pid() != self.pid {
            return;
        }
        self.kill_group();
        self.pid = None;
        let mut exit = match status {
            WaitStatus::Exited(_, code) => exit_of(Some(code), None),
            WaitStatus::Signaled(_, signal, _) => exit_of(None, Some(signal as i32)),
            _ => exit_of(None, None),
        };
        exit.asked = self.stop.is_some();
        exit.spawn_error = std::fs::read_to_string(folder.spawn_error()).ok();
        self.exit = Some(exit);
    }

    /// The engine was reaped without its status having been understood.
    fn miss(&mut self) {
        if let Some(pid) = self.pid
            && proc::parent(pid) != Some(getpid())
        {
            self.pid = None;
            self.exit = Some(Exit { asked: self.stop.is_some(), ..exit_of(None, None) });
        }
    }

    /// No child is left.
    fn finish(&mut self, ring: &mut Ring) {
        if self.gone {
            return;
        }
        let mut rest = REST;
        while let Some(read) = self.read_some(ring).filter(|read| *read <= rest) {
            rest -= read;
        }
        self.log = None;
        ring.close();
        if let Some(exit) = &mut self.exit {
            exit.last_lines = ring.last(LAST_LINES);
            self.gone = true;
        }
    }

    fn read_some(&mut self, ring: &mut Ring) -> Option<usize> {
        let mut bytes = [0; READ];
        match self.log.as_mut()?.read(&mut bytes) {
            Ok(0) => {
                // Nobody can write any more; the engine may run on without a log.
                self.log = None;
                None
            }
            Ok(count) => {
                ring.take(&bytes[..count]);
                Some(count)
            }
            Err(_) => None,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = kill(pid, signal);
        }
    }

    fn kill_group(&self) {
        if let Some(pid) = self.pid {
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

fn exit_of(code: Option<i32>, signal: Option<i32>) -> Exit {
    Exit { code, signal, asked: false, spawn_error: None, last_lines: Vec::new(), at: Timestamp::now(), lost: false }
}

/// Starts the step between keeper and engine; see [`super::trampoline`].
fn spawn(folder: &Folder, order: &Order) -> io::Result<(Pid, PipeReader)> {
    let (log, stdout) = io::pipe()?;
    fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let child = Command::new("/proc/self/exe")
        .args(["keep", super::trampoline::FLAG, &getpid().to_string()])
        .arg(folder.path())
        .env_clear()
        .envs(environment::passed())
        .envs(&order.env)
        .env(environment::TAG, folder.id().as_str())
        .stdin(Stdio::null())
        .stderr(stdout.try_clone()?)
        .stdout(stdout)
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok((Pid::from_raw(pid), log))
}
