//! A process that can be told from a later one of the same number.
//!
//! In: `/proc`. Out: whether it lives; one that has ended and was not reaped does not. Fails: when `/proc`
//! does not know us.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// A process, by its number and when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// When it was started, in ticks since the machine was.
    pub started: u64,
}

impl Holder {
    /// This process.
    pub(super) fn this() -> io::Result<Self> {
        Self::of(std::process::id()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        let (_, started) = stat(pid)?;
        Some(Self { pid, started })
    }
    /// Whether it still has memory.
    pub fn lives(self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| started == self.started && !matches!(state, "Z" | "X"))
    }
}

/// State and start of a process.
fn stat(pid: u32) -> Option<(&'static str, u64)> {
    const STATE: usize = 0;
    const STARTED: usize = 19; // the 22nd field of proc(5), counted from the state
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let state = match *fields.get(STATE)? {
        "Z" => "Z",
        "X" | "x" => "X",
        _ => "R",
    };
    Some((state, fields.get(STARTED)?.parse().ok()?))
}
