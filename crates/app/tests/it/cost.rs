//! What it costs to have Penstock around: time to start, memory while idle.

use std::time::Instant;

use crate::process::Process;
use crate::stage::Stage;

/// For a developers' build on a busy machine; a release takes a fraction of it.
const START_MS: u128 = 3_000;
const IDLE_MIB: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_fast_and_is_small_while_idle() {
    let stage = Stage::new();
    let begun = Instant::now();
    let process = Process::start(&stage, "deployments:\n  - name: echo\n    engine: echo\n").await;
    assert_eq!(process.client.get("/healthz").await.status, 200);
    let (took, resident) = (begun.elapsed(), own_mib(process.pid()));
    println!("start to first answer {took:?}, memory of its own {resident} MiB");
    assert!(took.as_millis() < START_MS, "start to first answer {took:?}");
    assert!(resident < IDLE_MIB, "{resident} MiB");
}

/// Without the pages of the program itself, of which a developers' build has many.
fn own_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
}
