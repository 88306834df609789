//! What the kernel says about processes.
//!
//! In: `/proc`. Out: children, tagged strays and resident memory. Fails: never; what cannot be read
//! is left out, because a process may end while one looks at it. Holds: reads a few files for each
//! process of the machine, so the walks are for rare moments only.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base::ByteSize;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, getpid, sysconf};
use spec::InstanceId;

use crate::environment::TAG;

const PAGE: u64 = 4096;

/// The processes whose parent we are.
pub(crate) fn children() -> Vec<Pid> {
    let own = getpid();
    all().filter(|pid| parent(*pid) == Some(own)).collect()
}

/// The processes that carry the tag of this instance: its engine and all that came from it.
pub(crate) fn tagged(id: &InstanceId) -> Vec<Pid> {
    let wanted = format!("{TAG}={id}");
    let carries = |pid: &Pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    all().filter(carries).collect()
}

/// Kills what carries the tag of this instance, until nothing new comes up. For engines whose
/// keeper is gone.
pub(crate) fn kill_tagged(id: &InstanceId) {
    // A stray may fork while it is being hunted; a few rounds catch its children.
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        let strays = tagged(id);
        if strays.is_empty() {
            return;
        }
        for stray in strays {
            tracing::warn!(instance = %id, pid = stray.as_raw(), "killing what a lost keeper left behind");
            let _ = kill(stray, Signal::SIGKILL);
        }
    }
}

/// Resident memory of a process.
pub(crate) fn resident(pid: Pid) -> Option<ByteSize> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(PAGE);
    Some(ByteSize(pages * page))
}

/// CPU time that a process has used, in user mode and in the kernel.
pub(crate) fn cpu(pid: Pid) -> Option<Duration> {
    const USER: usize = 11; // fields 14 and 15 of proc_pid_stat(5), counted from behind the name
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let ticks: u64 = rest.split(' ').skip(USER).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let rate = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|rate| u32::try_from(rate).ok()).filter(|rate| *rate > 0)?;
    Some(Duration::from_secs(ticks) / rate)
}

/// The parent of a process.
pub(crate) fn parent(pid: Pid) -> Option<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok().map(Pid::from_raw)
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir(PathBuf::from("/proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}
