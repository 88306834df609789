//! What it costs to have Penstock around: time to start, memory while idle.

use std::time::{Duration, Instant};

use crate::process::Process;
use crate::stage::Stage;

/// For a developers' build; a release takes a fraction of it.
const START_MS: u128 = 3_000;
/// The best of so many counts: what else the machine does, and a disk that stands still, is none of its cost.
const STARTS: usize = 10;
const IDLE_MIB: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_fast_and_is_small_while_idle() {
    let mut all = Vec::new();
    while all.last().is_none_or(|took: &Duration| took.as_millis() >= START_MS) {
        assert!(all.len() < STARTS, "start to first answer {all:?}");
        let stage = Stage::new();
        let begun = Instant::now();
        let process = Process::start(&stage, "deployments:\n  - name: echo\n    engine: echo\n").await;
        assert_eq!(process.client.get("/healthz").await.status, 200);
        all.push(begun.elapsed());
        let resident = own_mib(process.pid());
        println!("start to first answer {all:?}, memory of its own {resident} MiB");
        assert!(resident < IDLE_MIB, "{resident} MiB");
    }
}

/// Without the pages of the program itself, of which a developers' build has many.
fn own_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}
