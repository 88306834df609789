//! A caller who leaves costs nothing more.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::capital;
use crate::puppet::Puppet;
use crate::stage::{Stage, stop, until};

/// The promise is 50 ms; a test machine may be busy with something else.
const SOON: Duration = Duration::from_millis(500);
const FOR_EVER: usize = usize::MAX;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_in_mid_stream_closes_the_call_upstream() {
    let (stage, mut puppet) = (Stage::new(), Puppet::new(FOR_EVER).await);
    let house = stage.house(&puppet.deployment()).await;
    let client = stage.client(&house);
    let mut ask = capital("puppet");
    ask["stream"] = json!(true);
    let mut stream = client.stream("/v1/chat/completions", &ask).await;
    assert!(stream.next().await.is_some());
    drop(stream);
    let left = Instant::now();
    puppet.saw(|seen| seen.left == 1).await;
    assert!(left.elapsed() < SOON, "took {:?}", left.elapsed());
    until("its slot is free", async || (house.fleet().instances[0].in_flight == 0).then_some(())).await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_before_a_whole_answer_closes_the_call_upstream() {
    let (stage, mut puppet) = (Stage::new(), Puppet::new(FOR_EVER).await);
    let house = stage.house(&puppet.deployment()).await;
    let client = stage.client(&house);
    let asking = base::tasks::spawn("asks", async move { drop(client.capital("puppet").await) });
    puppet.saw(|seen| seen.calls == 1).await;
    drop(asking);
    let left = Instant::now();
    puppet.saw(|seen| seen.left == 1).await;
    assert!(left.elapsed() < SOON, "took {:?}", left.elapsed());
    stop(house).await;
}
