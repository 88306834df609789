//! Graphics cards, shared memory, strangers, and a machine that vanishes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base::{ByteSize, tasks};
use futures_util::future::join_all;
use serde_json::Value;
use spec::DeviceKind;
use testkit::device_ledger::{Book, FakeDevice};

use super::depot::{Depot, ask, model, order, reason, until_reason};
use crate::client::Client;
use crate::stage::until;

const GIB: ByteSize = ByteSize::mib(1024);
/// What every model here takes, less its buffers.
const EACH: ByteSize = ByteSize::mib(4 * 1024);
/// What leaves so little of each card that another model does not fit on all that is left of them together.
const NEARLY_ALL: ByteSize = ByteSize::mib(5 * 1024);
/// With its buffers more than half of a card.
const NEARLY_HALF: ByteSize = ByteSize::mib(2868);
/// A card that holds one model, and not two.
const CARD: ByteSize = ByteSize::mib(6 * 1024);
const CARDS: usize = 8;

fn cards(count: usize) -> Vec<FakeDevice> {
    let ram = FakeDevice::ram(ByteSize(32 * GIB.0));
    (0..count).map(|index| FakeDevice::cuda(index, CARD)).chain([ram]).collect()
}

/// Devices on which somebody holds memory.
fn used(book: &Book) -> BTreeSet<String> {
    book.holds.iter().map(|hold| hold.device.clone()).collect()
}

async fn nodes(client: &Client) -> Value {
    let reply = client.get("/api/v1/nodes").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_models_on_eight_cards_have_a_card_each_and_a_ninth_takes_the_place_of_one() {
    let depot = Depot::on(cards(CARDS), NEARLY_ALL);
    let names: Vec<String> = (0..=CARDS).map(|number| format!("m{number}")).collect();
    let models: Vec<_> = names.iter().map(|name| model(name)).collect();
    let (house, client) = depot.house(&models).await;
    let replies = join_all(names[..CARDS].iter().map(|name| ask(&client, name))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    let book = depot.book();
    let expected: BTreeSet<String> = (0..CARDS).map(|index| format!("cuda:GPU-{index}")).collect();
    assert!(used(&book).is_superset(&expected), "{:?}", used(&book));
    assert_eq!(house.fleet().counters.evictions, 0);
    let seen = nodes(&client).await;
    let devices = seen["items"][0]["devices"].as_array().or(seen["items"][0]["status"]["devices"].as_array()).expect("devices");
    assert_eq!(devices.iter().filter(|device| device["kind"] == "cuda").count(), CARDS, "{seen}");

    ask(&client, &names[CARDS]).await.said();
    assert_eq!(house.fleet().counters.evictions, 1);
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fits_no_card_is_spread_over_two() {
    let devices = vec![FakeDevice::cuda(0, CARD).busy(40), FakeDevice::cuda(1, CARD), FakeDevice::ram(ByteSize(32 * GIB.0))];
    let depot = Depot::on(devices, ByteSize(8 * GIB.0));
    let (house, client) = depot.house(&[model("wide")]).await;
    let metrics = client.get("/metrics").await.text;
    let busy: Vec<&str> = metrics.lines().filter(|line| line.starts_with("penstock_device_utilization_ratio")).collect();
    assert_eq!(busy, ["penstock_device_utilization_ratio{device=\"cuda:GPU-0\"} 0.4"], "of those that do not tell nothing is said");
    assert_eq!(nodes(&client).await["items"][0]["devices"][0]["utilization"], 40);
    ask(&client, "wide").await.said();
    let book = depot.book();
    let on_cards: ByteSize = ["cuda:GPU-0", "cuda:GPU-1"].iter().map(|card| book.held(card)).sum();
    assert!(book.held("cuda:GPU-0") > GIB && book.held("cuda:GPU-1") > GIB, "{:?}", book.holds);
    assert!(on_cards >= ByteSize(8 * GIB.0) && book.refused.is_empty(), "{:?}", book.holds);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fits_on_what_is_left_of_several_cards_drives_nobody_away() {
    let depot = Depot::on(cards(2), NEARLY_HALF);
    let (house, client) = depot.house(&["a", "b", "c"].map(model)).await;
    // The first two have a card each; no card has room for another one, and both together have.
    for name in ["a", "b", "c", "a", "b"] {
        ask(&client, name).await.said();
    }
    assert_eq!(["a", "b", "c"].map(|name| depot.begun(name)), [1, 1, 1]);
    assert_eq!(house.fleet().counters.evictions, 0);
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_packed_share_a_card_and_those_that_are_spread_have_one_each() {
    for (placement, expected) in [("pack", 1), ("spread", 2)] {
        let depot = Depot::on(cards(2), GIB).with_memory(&format!("placement: {placement}"));
        let (house, client) = depot.house(&["a", "b"].map(model)).await;
        for name in ["a", "b"] {
            ask(&client, name).await.said();
        }
        let cards = used(&depot.book()).into_iter().filter(|device| device.starts_with("cuda:")).count();
        assert_eq!((cards, house.fleet().counters.evictions), (expected, 0), "{placement}: {:?}", depot.book().holds);
        depot.close(house).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_cards_is_computed_by_the_processor_in_part() {
    let depot = Depot::on(cards(1), ByteSize(8 * GIB.0));
    let (house, client) = depot.house(&[model("large").does("FILL", 0)]).await;
    ask(&client, "large").await.said();
    let book = depot.book();
    assert!(book.held("cuda:GPU-0") > ByteSize(3 * GIB.0) && book.held("ram") > GIB && book.refused.is_empty(), "{:?}", book.holds);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_returns_late_is_not_given_away_before_it_is_back() {
    const LATE: Duration = Duration::from_secs(1);
    let depot = Depot::on(vec![FakeDevice::cuda(0, CARD), FakeDevice::ram(ByteSize(GIB.0 * 2))], EACH);
    let (house, client) = depot.house(&[model("late").does("MEMORY_LATE", "1s"), model("next")]).await;
    ask(&client, "late").await.said();
    let begun = Instant::now();
    ask(&client, "next").await.said();
    assert!(begun.elapsed() >= LATE, "{:?}", begun.elapsed());
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_hold_counts_and_what_they_give_back_is_used() {
    let depot = Depot::on(vec![FakeDevice::cuda(0, CARD), FakeDevice::ram(ByteSize(GIB.0))], EACH);
    depot.ledger.set_foreign("cuda:GPU-0", ByteSize(4 * GIB.0)).expect("a stranger");
    let (house, client) = depot.house(&[model("m")]).await;
    let waits = {
        let client = client.clone();
        tasks::spawn("waits", async move { drop(ask(&client, "m").await.said()) })
    };
    let why = until_reason(&client, "m", "no_room").await;
    assert!(why["message"].is_string(), "{why}");
    assert_eq!(depot.begun("m"), 0, "nothing is started that would not fit");
    depot.ledger.set_foreign("cuda:GPU-0", ByteSize(0)).expect("no stranger");
    waits.join().await;
    until("it is ready", async || (reason(&client, "m").await == Value::Null).then_some(())).await;
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_is_one_pool_for_cards_and_processor() {
    let depot = Depot::on(vec![FakeDevice::unified(ByteSize(10 * GIB.0))], EACH);
    let (house, client) = depot.house(&["a", "b", "c"].map(model)).await;
    for name in ["a", "b", "c"] {
        ask(&client, name).await.said();
    }
    let book = depot.book();
    assert!(book.stock[0].kind == DeviceKind::Unified && book.peak["unified"] >= ByteSize(8 * GIB.0), "{:?}", book.peak);
    assert_eq!(house.fleet().counters.evictions, 1, "two at a time");
    assert!(book.refused.is_empty(), "{:?}", book.refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_devices_vanish_serves_on_and_starts_nothing_until_they_are_back() {
    let depot = Depot::on(cards(1), EACH);
    let (house, client) = depot.house(&[model("there"), model("next")]).await;
    ask(&client, "there").await.said();
    depot.ledger.set_gone(true).expect("gone");
    until("it is noticed", async || (!nodes(&client).await.to_string().contains("cuda:GPU-0")).then_some(())).await;
    ask(&client, "there").await.said();
    assert_eq!(depot.begun("there"), 1, "it was not started anew");
    depot.ledger.set_gone(false).expect("back");
    until("it is noticed", async || nodes(&client).await.to_string().contains("cuda:GPU-0").then_some(())).await;
    ask(&client, "next").await.said();
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    order(&client, "next", "unload").await;
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_took_of_a_card_is_what_the_next_one_is_given_of_it() {
    const NEAR: u64 = 50; // two percent
    let depot = Depot::on(cards(1), EACH);
    // Its call takes longer than a driver may be behind.
    let (house, client) = depot.house(&[model("m").does("TOKENS_PER_SECOND", 3)]).await;
    let card = async || {
        let seen = nodes(&client).await;
        let devices = seen["items"][0]["devices"].as_array().cloned().unwrap_or_default();
        devices.into_iter().find(|device| device["id"] == "cuda:GPU-0").unwrap_or_default()
    };
    let held = async || card().await["held"]["m"].as_u64();
    ask(&client, "m").await.said();
    let really = depot.book().held("cuda:GPU-0").0;
    let estimated = until("it holds the card", held).await;
    assert!(estimated > really + really / NEAR, "the estimate leaves room for a driver's own: {estimated} of {really}");
    let footprint = async || client.get("/api/v1/instances").await.json()["items"][0]["footprint"].as_u64();
    assert_eq!(until("what it takes is known", footprint).await, really);
    order(&client, "m", "unload").await;
    until("it has left", async || (card().await["available"].as_u64()? > EACH.0 + GIB.0).then_some(())).await;
    ask(&client, "m").await.said();
    let measured = until("it holds the card", held).await;
    assert!(measured <= really + really / NEAR, "{measured} of {really}");
    println!("of the card: {really} really, {estimated} estimated, {measured} from the footprint");
    assert!(measured >= really && depot.book().refused.is_empty(), "{measured} of {really}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_returns_late_drives_nobody_else_away() {
    let depot = Depot::on(cards(CARDS), NEARLY_ALL);
    let names: Vec<String> = (0..=CARDS).map(|number| format!("m{number}")).collect();
    let models: Vec<_> = names.iter().map(|name| model(name).does("MEMORY_LATE", "1s")).collect();
    let (house, client) = depot.house(&models).await;
    join_all(names[..CARDS].iter().map(|name| ask(&client, name))).await;
    ask(&client, &names[CARDS]).await.said();
    assert_eq!(house.fleet().counters.evictions, 1, "one card is enough");
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}
