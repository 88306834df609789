//! What a process has used, CPU time and memory, and what the host has taken of a core, from `/proc`.
//!
//! In: a pid; a core. Out: CPU seconds of it and all its children, in all and in the kernel, its own memory, its share of memory; ticks of the core.
//! Fails: when it is gone. From: proc(5). A process's CPU time counts all its threads, also those that have ended. A host that does not say what it takes
//! shows nothing taken.

use std::fs;

use anyhow::{Context as _, Result};

/// The unit of `utime` and `stime`: what Linux shows to programs, whatever it counts in itself.
const TICKS_PER_SEC: f64 = 100.0;
/// Fields of `stat` after the name in brackets, from 0.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;

/// The process and all below it.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let Ok(entries) = fs::read_dir("/proc") else { return family };
    let all: Vec<u32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> = all.iter().filter_map(|pid| Some((*pid, field(*pid, PARENT)?))).collect();
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

/// CPU seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    pub(super) all: f64,
    /// Of these, in the kernel: reading, writing, waiting and the network below.
    pub(super) kernel: f64,
}

impl Cpu {
    /// What was used since then.
    pub(super) fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, kernel: self.kernel - before.kernel }
    }
}

/// CPU seconds of all of them so far.
pub(super) fn cpu(family: &[u32]) -> Cpu {
    let seconds = |index| f64::from(family.iter().filter_map(|pid| field(*pid, index)).sum::<u32>()) / TICKS_PER_SEC;
    let (user, kernel) = (seconds(USER), seconds(SYSTEM));
    Cpu { all: user + kernel, kernel }
}

/// A core's time so far, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Core {
    all: u64,
    /// What ran for somebody else on the host while this machine had work.
    stolen: u64,
}

impl Core {
    /// The share of the time since then that the host has taken, in percent.
    #[expect(clippy::cast_precision_loss, reason = "ticks of one run")]
    pub(super) fn stolen_since(self, before: Self) -> f64 {
        const PERCENT: f64 = 100.0;
        let (all, stolen) = (self.all.saturating_sub(before.all), self.stolen.saturating_sub(before.stolen));
        if all == 0 { 0.0 } else { PERCENT * stolen as f64 / all as f64 }
    }
}

/// A core's time so far.
pub(super) fn core(number: usize) -> Core {
    fs::read_to_string("/proc/stat").ok().and_then(|text| core_of(&text, number)).unwrap_or_default()
}

/// The line of a core: user, nice, system, idle, iowait, irq, softirq, steal; what follows is in these already.
pub(super) fn core_of(stat: &str, number: usize) -> Option<Core> {
    const OWN: usize = 8;
    const STOLEN: usize = 7;
    let name = format!("cpu{number} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let ticks: Vec<u64> = line.split_whitespace().take(OWN).filter_map(|word| word.parse().ok()).collect();
    Some(Core { all: ticks.iter().sum(), stolen: ticks.get(STOLEN).copied()? })
}

/// Memory of their own (no files, nothing shared), in KB.
pub(super) fn own_kb(family: &[u32]) -> f64 {
    family.iter().filter_map(|pid| line(&format!("/proc/{pid}/status"), "RssAnon:")).sum()
}

/// Their fair share of all memory that they use, in KB; takes the system a moment.
pub(super) fn share_kb(family: &[u32]) -> f64 {
    family.iter().filter_map(|pid| line(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

/// The load averages.
pub(super) fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("no /proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// What a line of a file of `name: value` says, without its unit.
pub(super) fn text(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn line(path: &str, name: &str) -> Option<f64> {
    text(path, name)?.split(' ').next()?.parse().ok()
}

fn field(pid: u32, index: usize) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(index)?.parse().ok()
}
