//! How many cores and how much memory this machine lends us.
//!
//! In: `/proc` and the control groups above this process. Out: what may be used, which inside a
//! container is less than what the machine has. Fails: never; what cannot be read does not limit.
//! From: systemd's and the JVM's reading of cgroup v2 (and v1).

use std::fs;
use std::path::{Path, PathBuf};

use base::ByteSize;

const ROOT: &str = "/sys/fs/cgroup";

/// Cores that may be used: the machine's, less affinity and the quota of the control group.
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Main memory: all that may be used, and what of it is free now. What the kernel would give back
/// at once (the page cache) counts as free.
pub fn memory() -> (ByteSize, ByteSize) {
    let machine = meminfo(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    within(machine, &groups_above(Path::new(ROOT), &groups))
}

/// The name of this machine.
pub fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

/// A control group's limit on memory.
struct Limit {
    most: u64,
    used: u64,
}

fn meminfo(text: &str) -> (u64, u64) {
    let kib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("MemTotal") << 10, kib("MemAvailable") << 10)
}

fn within((mut total, mut free): (u64, u64), groups: &[PathBuf]) -> (ByteSize, ByteSize) {
    for limit in groups.iter().filter_map(|group| limit(group)) {
        total = total.min(limit.most);
        free = free.min(limit.most.saturating_sub(limit.used));
    }
    (ByteSize(total), ByteSize(free))
}

/// The folders of all control groups that this process is in, from its own up to the root. In a
/// container the path may be the host's, of which only the root exists; so every level is named.
fn groups_above(root: &Path, text: &str) -> Vec<PathBuf> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => root.to_owned(),
            list if list.split(',').any(|one| one == "memory") => root.join("memory"),
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        groups.extend(path.ancestors().map(|part| root.join(part)));
    }
    groups
}

fn limit(group: &Path) -> Option<Limit> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let most = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes")).unwrap_or(0);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cache = |key: &str| stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    let cache = cache("total_inactive_file ").or_else(|| cache("inactive_file ")).unwrap_or(0);
    Some(Limit { most, used: used.saturating_sub(cache) })
}

#[cfg(test)]
mod tests;
