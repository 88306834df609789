//! The keeper's life: one loop that waits for whatever comes first and acts on it.
//!
//! In: signals, the engine's log, callers, the clock. Out: a state that callers can ask for, and in
//! the end an exit on disk. Fails: only when the system will not let it wait. Holds: at most
//! [`MOST_CALLERS`] connections, the ring, and nothing that grows. One thread does it all: a thread
//! of its own for the engine could end first and take the engine with it by the parent-death signal.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use spec::{Order, Seen};

use super::callers::Caller;
use super::engine::{Engine, Life};
use super::ring::Ring;
use super::setup;
use crate::folder::Folder;
use crate::protocol::{Ask, Reply};
use crate::{Error, proc};

/// More connections wait in the listener's line.
const MOST_CALLERS: usize = 32;
/// When the system is out of descriptors, the next caller is tried again after this.
const BREATH: Duration = Duration::from_millis(20);

/// Everything that a keeper owns.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) folder: Folder,
    pub(super) order: Order,
    pub(super) engine: Engine,
    pub(super) ring: Ring,
    pub(super) signals: SignalFd,
    pub(super) listener: UnixListener,
    pub(super) callers: Vec<Caller>,
    /// When somebody last wanted the instance.
    pub(super) claimed: Instant,
    pub(super) leave: Leave,
}

/// Whether the keeper goes when the engine has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It stays and tells the exit to those who ask.
    No,
    /// It goes; the exit stays on disk.
    Keeping,
    /// It goes, and the folder with it.
    Removing,
}

/// What woke us.
#[derive(Debug)]
struct Woken {
    signals: bool,
    log: bool,
    listener: bool,
    callers: Vec<bool>,
}

impl Keeper {
    /// Lives until the engine has ended and nobody needs to know any more.
    pub(super) fn live(mut self) -> Result<(), Error> {
        let mut told = Life::Running;
        while self.leave == Leave::No || self.engine.life() != Life::Ended {
            if self.engine.life() != told {
                told = self.engine.life();
                self.tell(told);
            }
            let woken = self.wait().map_err(Error::errno("wait for callers on", self.folder.socket()))?;
            if woken.log {
                self.engine.read_log(&mut self.ring);
            }
            if woken.signals {
                self.hear_signals();
            }
            self.hear_callers(&woken.callers);
            if woken.listener {
                self.admit();
            }
            self.keep_time();
            self.serve();
        }
        self.end(told);
        Ok(())
    }

    fn wait(&self) -> Result<Woken, Errno> {
        let full = self.callers.len() >= MOST_CALLERS;
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let listens = if full { PollFlags::empty() } else { PollFlags::POLLIN };
        fds.push(PollFd::new(self.listener.as_fd(), listens));
        fds.extend(self.callers.iter().map(|caller| PollFd::new(caller.fd(), caller.wants())));
        fds.extend(self.engine.log().map(|log| PollFd::new(log.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, self.patience()) {
            Err(Errno::EINTR) | Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        let mut woken = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = || woken.next().unwrap_or(false);
        let (signals, listener) = (next(), next());
        let callers = self.callers.iter().map(|_| next()).collect();
        Ok(Woken { signals, listener, callers, log: next() })
    }

    fn patience(&self) -> PollTimeout {
        let Some(due) = [self.engine.due(), self.orphan_due()].into_iter().flatten().min() else { return PollTimeout::NONE };
        // One millisecond more, so that the time has come when we wake.
        let wait = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
    }

    fn orphan_due(&self) -> Option<Instant> {
        let wanted = self.leave != Leave::No || self.callers.iter().any(Caller::is_subscribed);
        if wanted { None } else { self.claimed.checked_add(self.order.orphan_ttl) }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if i32::try_from(signal.ssi_signo) == Ok(Signal::SIGCHLD as i32) {
                continue;
            }
            // Somebody ends the keeper: the engine goes first, and how it ended stays to be read.
            if self.leave == Leave::No {
                self.leave = Leave::Keeping;
            }
            self.engine.stop(self.order.grace);
        }
        self.engine.reap(&self.folder, &mut self.ring);
    }

    fn hear_callers(&mut self, woken: &[bool]) {
        for (index, _) in woken.iter().enumerate().filter(|(_, woken)| **woken) {
            for ask in self.callers[index].hear() {
                let reply = match ask {
                    Ok(ask) => self.answer(index, &ask),
                    Err(error) => Reply::Refused { why: error.to_string() },
                };
                self.callers[index].say(&reply);
            }
        }
    }

    fn answer(&mut self, caller: usize, ask: &Ask) -> Reply {
        match *ask {
            Ask::Claim { fence: Some(given) } if given < self.order.fence => Reply::Fenced { actual: self.order.fence },
            Ask::Claim { fence } => {
                self.raise(fence.unwrap_or(self.order.fence));
                self.claimed = Instant::now();
                Reply::Seen(Box::new(self.seen()))
            }
            Ask::Stop { .. } if self.engine.life() == Life::Ended => {
                self.leave = Leave::Removing;
                self.remove();
                Reply::Done
            }
            Ask::Stop { grace_ms } => {
                self.engine.stop(Duration::from_millis(grace_ms));
                Reply::Done
            }
            Ask::Logs { tail, follow } => {
                self.callers[caller].read_log(&self.ring, tail, follow);
                Reply::Log
            }
            Ask::Subscribe => {
                self.callers[caller].subscribe();
                Reply::Seen(Box::new(self.seen()))
            }
        }
    }

    fn raise(&mut self, fence: u64) {
        if fence > self.order.fence {
            self.order.fence = fence;
            self.folder.write_order(&self.order).unwrap_or_else(|error| setup::note(&error));
        }
    }

    fn seen(&self) -> Seen {
        let pid = self.engine.pid();
        Seen {
            order: self.order.clone(),
            state: self.engine.state(),
            pid: pid.and_then(|pid| u32::try_from(pid.as_raw()).ok()),
            started_at: self.engine.started_at(),
            resident: pid.and_then(proc::resident),
            cpu: pid.and_then(proc::cpu),
            log_lines: self.ring.total(),
        }
    }

    fn admit(&mut self) {
        match self.listener.accept().and_then(|(stream, _)| Caller::new(stream)) {
            Ok(caller) => self.callers.push(caller),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => std::thread::sleep(BREATH),
        }
    }

    fn keep_time(&mut self) {
        if self.orphan_due().is_some_and(|due| due <= Instant::now()) {
            self.leave = Leave::Removing;
            self.engine.stop(self.order.grace);
        }
        self.engine.press();
    }

    fn serve(&mut self) {
        let over = self.engine.life() == Life::Ended;
        for caller in &mut self.callers {
            caller.send(&self.ring, over);
        }
        let lost = self.callers.iter().any(|caller| caller.is_subscribed() && !caller.is_open());
        self.callers.retain(Caller::is_open);
        if lost {
            self.claimed = Instant::now();
        }
    }

    /// The engine's state has changed.
    fn tell(&mut self, life: Life) {
        let seen = self.seen();
        if let (Life::Ended, spec::SeenState::Exited(exit)) = (life, &seen.state) {
            self.folder.write_exit(exit).unwrap_or_else(|error| setup::note(&error));
        }
        let reply = Reply::Seen(Box::new(seen));
        for caller in self.callers.iter_mut().filter(|caller| caller.is_subscribed()) {
            caller.say(&reply);
        }
        self.serve();
    }

    fn end(mut self, told: Life) {
        if self.leave == Leave::Removing {
            self.remove();
        } else if told != Life::Ended {
            self.tell(Life::Ended);
        }
        self.serve();
        for caller in std::mem::take(&mut self.callers) {
            caller.farewell();
        }
    }

    fn remove(&self) {
        self.folder.remove().unwrap_or_else(|error| setup::note(&error));
    }
}
