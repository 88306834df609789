//! Who waits when one core must do both: calls, or what is written down about them?
//!
//! In: the thread that asks, or the database's own. Out: threads whose share of a busy core is a tenth of that of a thread that
//! serves calls, and that make room as soon as such a one has work; on an idle core nothing changes. Fails: never; where the
//! system does not allow it they stay as they are. From: setpriority(2), which on Linux is of one thread.

use std::fs;

use rustix::process::{Pid, getpriority_process, setpriority_process};

/// The niceness of those who make way: a weight of 110 beside the usual 1,024.
pub(crate) const NICE: i32 = 10;
/// What names of the database's threads begin with; a name has at most 15 bytes.
const DATABASE: &str = "database-";

/// The name of a thread of the database.
pub(crate) fn name(number: u64) -> String {
    format!("{DATABASE}{number}")
}

/// The thread that asks makes way from now on.
pub(crate) fn make_way() {
    makes_way(None);
}

/// The database's threads make way; called when one has come up, for it cannot do so itself.
pub(crate) fn database_makes_way() {
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let of_database = fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.starts_with(DATABASE));
        let id = entry.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if let (true, Some(id)) = (of_database, id) {
            makes_way(Some(id));
        }
    }
}

/// Never the other way: who was started with even less stays there.
fn makes_way(thread: Option<Pid>) {
    if getpriority_process(thread).is_ok_and(|nice| nice < NICE) {
        let _ = setpriority_process(thread, NICE); // it may have ended
    }
}
