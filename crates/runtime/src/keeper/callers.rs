//! One open connection to the keeper.
//!
//! In: lines of JSON. Out: lines of JSON, then perhaps the log. Fails: a connection that breaks, asks
//! too much or does not read its answers is closed. Holds: at most [`MOST_OUT`] bytes that the other
//! side has not read yet; a follower of the log is not sent lines, it fetches them from the ring as
//! its connection has room, so a slow one costs nothing and is told what it missed.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::PollFlags;

use super::ring::Ring;
use crate::protocol::{self, Ask, Reply};

/// So much may wait for the other side to read it, beside one line.
const MOST_OUT: usize = 64 << 10;
/// No ask is longer.
const MOST_IN: usize = 4 << 10;
/// At the end of the keeper's life, a caller who does not read is not waited for longer than this.
const FAREWELL: Duration = Duration::from_millis(500);

/// An open connection.
#[derive(Debug)]
pub(super) struct Caller {
    stream: UnixStream,
    heard: Vec<u8>,
    out: Vec<u8>,
    role: Role,
    open: bool,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Asking,
    Subscribed,
    /// Wants the log from this line on.
    Reading {
        next: u64,
        until: Option<u64>,
    },
    /// Has the whole log; is closed when it has been sent.
    Leaving,
}

impl Caller {
    /// A new connection.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, heard: Vec::new(), out: Vec::new(), role: Role::Asking, open: true })
    }
    /// For polling.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
    /// What to poll for.
    pub(super) fn wants(&self) -> PollFlags {
        if self.out.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT }
    }
    /// False when the connection is over.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }
    /// True while it stands for somebody who wants the instance.
    pub(super) fn is_subscribed(&self) -> bool {
        matches!(self.role, Role::Subscribed)
    }

    /// Reads what has come and gives the asks that are whole.
    pub(super) fn hear(&mut self) -> Vec<serde_json::Result<Ask>> {
        let mut bytes = [0; MOST_IN];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.open = false,
            Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.open = false,
        }
        let mut asks = Vec::new();
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            asks.push(serde_json::from_slice(&self.heard[..end]));
            self.heard.drain(..=end);
        }
        if self.heard.len() > MOST_IN {
            self.open = false;
        }
        asks
    }

    /// Answers with one line.
    pub(super) fn say(&mut self, reply: &Reply) {
        self.out.extend(protocol::line(reply));
        if self.out.len() > MOST_OUT + protocol::LONGEST_LINE {
            self.open = false;
        }
    }
    /// From now on it is told of changes.
    pub(super) fn subscribe(&mut self) {
        self.role = Role::Subscribed;
    }
    /// From now on it is sent the log.
    pub(super) fn read_log(&mut self, ring: &Ring, tail: Option<usize>, follow: bool) {
        let from = tail.map_or(0, |tail| ring.total().saturating_sub(tail as u64));
        self.role = Role::Reading { next: from.max(ring.first()), until: (!follow).then(|| ring.total()) };
    }

    /// Sends what can be sent without waiting. `over`: the log will not grow any more.
    pub(super) fn send(&mut self, ring: &Ring, over: bool) {
        while self.open {
            self.fetch(ring, over);
            if self.out.is_empty() {
                self.open = !matches!(self.role, Role::Leaving);
                return;
            }
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    /// Sends the rest before the keeper ends, waiting a little.
    pub(super) fn farewell(mut self) {
        let ready = self.stream.set_nonblocking(false).and_then(|()| self.stream.set_write_timeout(Some(FAREWELL)));
        // The keeper ends in any case; a caller who is gone misses nothing.
        let _ = ready.and_then(|()| self.stream.write_all(&self.out));
    }

    fn fetch(&mut self, ring: &Ring, over: bool) {
        let Role::Reading { mut next, until } = self.role else { return };
        let end = until.unwrap_or_else(|| ring.total());
        while next < end && self.out.len() < MOST_OUT {
            if next < ring.first() {
                let missed = ring.first() - next;
                self.out.extend(format!("[{missed} lines are no longer kept]\n").as_bytes());
                next = ring.first();
            }
            self.out.extend(ring.line(next).unwrap_or_default());
            next += 1;
        }
        let whole = next >= end && (until.is_some() || over);
        self.role = if whole { Role::Leaving } else { Role::Reading { next, until } };
    }
}
