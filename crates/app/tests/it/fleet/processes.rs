//! What runs because of one test, by what stands in its environment.

use std::fs;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: u32,
    pub(super) state: char,
    pub(super) name: String,
}

/// Processes whose environment or command line holds this text; engines, and whatever came from them.
pub(super) fn marked(text: &str) -> Vec<Found> {
    let own = std::process::id();
    let holds = |pid: &u32, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    all().filter(|pid| *pid != own && (holds(pid, "environ") || holds(pid, "cmdline"))).filter_map(found).collect()
}

/// The children of a process; those that nobody has reaped too.
pub(super) fn children(parent: u32) -> Vec<Found> {
    all().filter(|pid| stat(*pid).is_some_and(|(_, _, of)| of == parent)).filter_map(found).collect()
}

/// Descriptors that a process has open.
pub(super) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}

/// Those of them that are sockets.
pub(super) fn sockets(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    open.filter(|one| fs::read_link(one.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
}

/// Its memory, as the kernel prints it.
pub(super) fn resident(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default().trim().to_owned()
}

fn found(pid: u32) -> Option<Found> {
    let (name, state, _) = stat(pid)?;
    Some(Found { pid, state, name })
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Name, state and parent.
fn stat(pid: u32) -> Option<(String, char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((name.split_once('(')?.1.to_owned(), state, fields.next()?.parse().ok()?))
}
