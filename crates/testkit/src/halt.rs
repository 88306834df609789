//! Processes that stand still, so that what they have done by then can be looked at.
//!
//! In: a pid. Out: nothing, once none of its threads does anything more. Fails: when there is no such process. Blocks: for a moment.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A thread that waits for a slow disk halts when it is done.
const PATIENCE: Duration = Duration::from_mins(1);

/// Halts a process; to end it is still possible.
pub fn halt(pid: u32) -> io::Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP)?;
    let begun = Instant::now();
    while !stands_still(pid) {
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether all of its threads are halted or at their end, as proc(5) tells.
fn stands_still(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let still = |stat: String| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']));
    threads.map(|thread| std::fs::read_to_string(thread.path().join("stat"))).all(|stat| stat.map_or(true, still))
}
