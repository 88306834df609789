//! A graceful stop: streams finish, or end with an error they can see.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::capital;
use crate::process::Process;
use crate::puppet::Puppet;
use crate::stage::{Stage, stop, until};

const FOR_EVER: usize = usize::MAX;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_in_time_ends_well_while_new_callers_are_sent_away() {
    let (stage, mut puppet) = (Stage::new(), Puppet::new(100).await);
    let house = stage.house(&puppet.deployment()).await;
    let client = stage.client(&house);
    let mut ask = capital("puppet");
    ask["stream"] = json!(true);
    let stream = client.stream("/v1/chat/completions", &ask).await;
    puppet.saw(|seen| seen.calls == 1).await;
    let stopping = base::tasks::spawn("stop", stop(house));
    until("it is not ready", async || (client.get("/readyz").await.status == 503).then_some(())).await;
    let refused = client.capital("puppet").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let events = stream.events().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{events:?}");
    stopping.join().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_too_long_ends_with_an_error_and_no_done() {
    let (stage, mut puppet) = (Stage::new(), Puppet::new(FOR_EVER).await);
    let mut settings = stage.settings(&puppet.deployment());
    settings.config.shutdown_timeout = Duration::from_millis(200);
    let house = app::serve::House::start(settings).await.expect("a house");
    let client = stage.client(&house);
    let mut ask = capital("puppet");
    ask["stream"] = json!(true);
    let stream = client.stream("/v1/chat/completions", &ask).await;
    puppet.saw(|seen| seen.calls == 1).await;
    let stopping = base::tasks::spawn("stop", stop(house));
    let events = stream.events().await;
    let last: serde_json::Value = serde_json::from_str(events.last().expect("an event")).expect("JSON");
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("stopping")), "{last}");
    puppet.saw(|seen| seen.left == 1).await;
    stopping.join().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_a_hurry_waits_for_nobody() {
    let (stage, mut puppet) = (Stage::new(), Puppet::new(FOR_EVER).await);
    let house = stage.house(&puppet.deployment()).await;
    let client = stage.client(&house);
    let mut ask = capital("puppet");
    ask["stream"] = json!(true);
    let stream = client.stream("/v1/chat/completions", &ask).await;
    puppet.saw(|seen| seen.calls == 1).await;
    let (hurry, begun) = (CancellationToken::new(), Instant::now());
    hurry.cancel();
    let reader = base::tasks::spawn("reads", async move { drop(stream.events().await) });
    house.stop(&hurry).await;
    reader.join().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn term_ends_the_process_with_status_0_and_leaves_no_address() {
    let stage = Stage::new();
    let mut process = Process::start(&stage, "deployments:\n  - name: echo\n    engine: echo\n").await;
    process.client.capital("echo").await.said();
    process.signal(Signal::SIGHUP);
    until("it has read its config again", async || process.log().contains("were read again").then_some(())).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    assert!(!stage.data_dir().join("address").exists());
    assert_eq!(std::fs::read_dir(stage.data_dir().join("instances")).expect("a folder").count(), 0, "no engine is left");
}
