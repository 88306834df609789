//! Models that sleep when nobody calls them: what they give back, and who wakes them.

use std::time::Duration;

use base::ByteSize;
use futures_util::future::join_all;
use serde_json::Value;

use super::depot::{Depot, Model, ONE, ask, hear, model, order};
use crate::client::Client;
use crate::stage::{Stage, lives, stop, tiny, until, within};

const SAID: &str = "m 1 2 3 4 5 6 7";

/// A model that sleeps after a second.
fn sleeper(name: &str) -> Model {
    model(name).with("replicas: { sleep_after: 1s }")
}

/// The instance of a model that has not failed.
async fn instance(client: &Client, model: &str) -> Value {
    let all = client.get("/api/v1/instances").await.json();
    let its = |one: &&Value| one["deployment"] == model && one["phase"] != "failed";
    all["items"].as_array().and_then(|items| items.iter().find(its)).cloned().unwrap_or_default()
}

/// It sleeps, and its memory is lent.
async fn until_asleep(client: &Client, model: &str, less_than: ByteSize) -> Value {
    until("it sleeps and has given back its memory", async || {
        let one = instance(client, model).await;
        (one["phase"] == "sleeping" && one["reserved"].as_u64()? < less_than.0).then_some(one)
    })
    .await
}

/// The edges of the life of all instances of a model, oldest first, without how they came up at first.
async fn edges(client: &Client, model: &str) -> Vec<String> {
    let events = client.get("/api/v1/events?limit=200").await.json();
    let items = events["items"].as_array().cloned().unwrap_or_default();
    let of_it = items.iter().filter(|event| event["deployment"] == model);
    let mut edges: Vec<String> =
        of_it.filter_map(|event| event["message"].as_str()?.split_once(": ").map(|(_, edge)| edge.to_owned())).collect();
    if edges.last().is_some_and(|edge| edge.contains("wanted")) {
        edges.reverse();
    }
    edges.into_iter().filter(|edge| edge.contains("sleeping")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_calls_sleeps_lends_its_memory_and_wakes_for_all_who_call_at_once() {
    let depot = Depot::with_room_for(2);
    let (house, client) = depot.house(&[sleeper("m").does("LOAD", "300ms")]).await;
    assert_eq!(ask(&client, "m").await.said(), SAID);
    let awake = instance(&client, "m").await;
    let asleep = until_asleep(&client, "m", ONE).await;
    assert!(depot.holders("m").is_empty() && lives(u32::try_from(asleep["pid"].as_u64().expect("a pid")).expect("a pid")));
    assert_eq!((&asleep["pid"], &asleep["reason"]["code"]), (&awake["pid"], &"asleep".into()));
    let explained = client.get("/api/v1/deployments/m/explain").await.text;
    assert!(explained.contains("no caller for 1s, so it sleeps"), "{explained}");
    let replies = join_all((0..20).map(|_| ask(&client, "m"))).await;
    assert!(replies.into_iter().all(|reply| reply.said() == SAID));
    let woken = instance(&client, "m").await;
    assert_eq!((&woken["phase"], &woken["pid"], &woken["reserved"]), (&"ready".into(), &awake["pid"], &awake["reserved"]));
    assert_eq!(depot.begun("m"), 1, "it was woken, and not started anew");
    assert_eq!(edges(&client, "m").await, ["ready -> sleeping", "sleeping -> loading"]);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sleeper_lent_serves_another_and_who_calls_the_sleeper_then_waits_as_for_a_start() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[sleeper("m"), model("other")]).await;
    assert_eq!(ask(&client, "m").await.said(), SAID);
    until_asleep(&client, "m", ONE).await;
    assert_eq!(ask(&client, "other").await.said(), "other 1 2 3 4 5 6 7");
    assert_eq!(house.fleet().counters.evictions, 0, "what the sleeper keeps leaves room for the other");
    // Its room is taken: another one comes in its place, as soon as the other has left.
    let heard = hear(&client, "m").await;
    assert!(heard.is_whole("m", 8), "{heard:?}");
    assert_eq!((depot.begun("m"), depot.begun("other"), house.fleet().counters.evictions), (2, 1, 1));
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_when_it_is_woken_is_started_anew_and_its_caller_is_served() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[sleeper("m").does("CRASH_WAKING", 1).does("FAULTY_LIVES", 1)]).await;
    assert_eq!(ask(&client, "m").await.said(), SAID);
    until_asleep(&client, "m", ONE).await;
    let heard = hear(&client, "m").await;
    assert!(heard.is_whole("m", 8), "{heard:?}");
    assert_eq!(depot.begun("m"), 2);
    let events = client.get("/api/v1/events?limit=200").await.text;
    assert!(events.contains("while it woke"), "{events}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_ends_when_its_keep_alive_is_over_and_is_woken_by_hand_before() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").with("replicas: { sleep_after: 1s, keep_alive: 4s }")]).await;
    order(&client, "m", "load").await;
    until_asleep(&client, "m", ONE).await;
    order(&client, "m", "load").await;
    until("it is awake", async || (instance(&client, "m").await["phase"] == "ready").then_some(())).await;
    until_asleep(&client, "m", ONE).await;
    depot.is_empty("its keep-alive is over").await;
    assert_eq!(depot.begun("m"), 1);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_sleeps_while_penstock_is_started_anew_sleeps_on_and_wakes() {
    let depot = Depot::with_room_for(1);
    let config = format!("adopt: true\n{}", depot.config(&[sleeper("m")]));
    let house = depot.stage.house(&config).await;
    let client = depot.stage.client(&house);
    assert_eq!(ask(&client, "m").await.said(), SAID);
    let before = until_asleep(&client, "m", ONE).await;
    stop(house).await;
    let house = depot.stage.house(&config).await;
    let client = depot.stage.client(&house);
    let after = until_asleep(&client, "m", ONE).await;
    assert_eq!(after["pid"], before["pid"]);
    assert_eq!(ask(&client, "m").await.said(), SAID);
    assert_eq!(depot.begun("m"), 1);
    order(&client, "m", "unload").await;
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_engine_sleeps_gives_back_memory_and_wakes_with_the_same_answer() {
    const WAKES_WITHIN: Duration = Duration::from_secs(10);
    let Some(stage) = Stage::with_engine() else { return };
    let deployment = format!("  - name: tiny\n    model: file:{}\n    context: 4096\n    replicas: {{ sleep_after: 1s }}\n", tiny());
    let house = stage.house(&format!("deployments:\n{deployment}")).await;
    let client = stage.client(&house);
    let right = client.capital("tiny").await.said();
    let awake = instance(&client, "tiny").await;
    let asleep = until("it sleeps", async || {
        let one = instance(&client, "tiny").await;
        let is_less = |what: &str| Some(one[what].as_u64()? < awake[what].as_u64()?);
        (one["phase"] == "sleeping" && is_less("memory")? && is_less("reserved")?).then_some(one)
    })
    .await;
    let bytes = |one: &Value, what: &str| ByteSize(one[what].as_u64().unwrap_or_default());
    println!("llama-server awake {} of {}; asleep {}", bytes(&awake, "memory"), bytes(&awake, "reserved"), bytes(&asleep, "memory"));
    let woken = within(WAKES_WITHIN, "it answers", async || Some(client.capital("tiny").await)).await;
    assert_eq!(woken.said(), right);
    let again = instance(&client, "tiny").await;
    assert_eq!((&again["pid"], &again["reserved"]), (&awake["pid"], &awake["reserved"]));
    stop(house).await;
}
