//! A graceful stop: streams finish, or end with an error they can see.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::upstream::{Gate, Script, Step};
use tokio_util::sync::CancellationToken;

use crate::process::Process;
use crate::stage::{PATIENCE, Stage, stop, until};
use crate::wire::{CHAT, DONE, Door, HI, ROLE, STOP, chat, soon};

const STREAM: &str = r#","stream":true"#;
const BEAT: Duration = Duration::from_millis(5);

/// A model that never comes to an end.
fn for_ever() -> Script {
    Script::events([ROLE]).then(Step::Forever(format!("data: {HI}\n\n").into(), BEAT))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_in_time_ends_well_while_new_callers_are_sent_away() {
    let door = Door::with_grace(PATIENCE, &[("m", "")]).await;
    let gate = Gate::new();
    let words = (0..20).fold(Script::events([ROLE]).then(Step::Wait(gate.clone())), |script, _| script.event(HI).then(Step::Pause(BEAT)));
    door.upstream.plays("m", words.event(STOP).event(DONE));
    let stream = door.open_stream(CHAT, &chat("m", STREAM)).await;
    let stopping = base::tasks::spawn("stop", stop(door.house));
    until("it is not ready", async || (door.client.get("/readyz").await.status == 503).then_some(())).await;
    let refused = door.client.capital("m").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    gate.open();
    let events = stream.events().await;
    assert_eq!(events.last().map(String::as_str), Some(DONE), "{events:?}");
    stopping.join().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_too_long_ends_with_an_error_and_no_done() {
    let door = Door::with_grace(Duration::from_millis(200), &[("m", "")]).await;
    door.upstream.plays("m", for_ever());
    let stream = door.open_stream(CHAT, &chat("m", STREAM)).await;
    let stopping = base::tasks::spawn("stop", stop(door.house));
    let events = stream.events().await;
    let last: serde_json::Value = serde_json::from_str(events.last().expect("an event")).expect("JSON");
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("stopping")), "{last}");
    soon(door.upstream.saw(|asks| asks[0].left.is_some())).await;
    stopping.join().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_a_hurry_waits_for_nobody() {
    let door = Door::with_grace(2 * PATIENCE, &[("m", "")]).await;
    door.upstream.plays("m", for_ever());
    let stream = door.open_stream(CHAT, &chat("m", STREAM)).await;
    let (hurry, begun) = (CancellationToken::new(), Instant::now());
    hurry.cancel();
    let reader = base::tasks::spawn("reads", async move { drop(stream.events().await) });
    door.house.stop(&hurry).await;
    reader.join().await;
    assert!(begun.elapsed() < PATIENCE, "took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn term_ends_the_process_with_status_0_and_leaves_no_address() {
    let stage = Stage::new();
    let mut process = Process::start(&stage, "deployments:\n  - name: echo\n    engine: echo\n").await;
    process.client.capital("echo").await.said();
    process.signal(Signal::SIGHUP);
    until("it has read its config again", async || process.log().contains("were read again").then_some(())).await;
    assert!(!process.log().contains("only from the next start"), "{}", process.log());
    stage.write_config("memory: { budget: 1GiB }\ndeployments:\n  - name: echo\n    engine: echo\n");
    process.signal(Signal::SIGHUP);
    until("it says what it cannot change now", async || process.log().contains("only from the next start").then_some(())).await;
    assert!(process.log().lines().any(|line| line.contains("only from the next start") && line.contains("memory")), "{}", process.log());
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    assert!(!stage.data_dir().join("address").exists());
    assert_eq!(std::fs::read_dir(stage.data_dir().join("instances")).expect("a folder").count(), 0, "no engine is left");
}
