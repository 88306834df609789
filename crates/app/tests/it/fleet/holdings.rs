//! Who holds what of the machine, as operators see it; and what is set aside for others.

use base::ByteSize;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::device_ledger::FakeDevice;

use super::depot::{Depot, ask, model, order, until_reason};
use crate::client::Client;
use crate::stage::{stop, until};

const GIB: ByteSize = ByteSize::mib(1024);
const EACH: ByteSize = ByteSize::mib(4 * 1024);

/// A machine with one card for one model.
fn machine() -> Depot {
    Depot::on(vec![FakeDevice::cuda(0, ByteSize::mib(6 * 1024)), FakeDevice::ram(ByteSize(4 * GIB.0))], EACH)
}

async fn node(client: &Client) -> Value {
    client.get("/api/v1/nodes").await.json()["items"][0].clone()
}

fn device<'a>(node: &'a Value, id: &str) -> &'a Value {
    let devices = node["devices"].as_array().expect("devices");
    devices.iter().find(|device| device["id"] == id).unwrap_or_else(|| panic!("no {id}: {node}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_what_of_each_device_is_seen_by_the_api_and_by_the_metrics() {
    let depot = machine();
    depot.ledger.set_foreign("cuda:GPU-0", ByteSize::mib(300)).expect("a stranger");
    let (house, client) = depot.house(&[model("m")]).await;
    ask(&client, "m").await.said();
    let node = until("the card shows it", async || {
        let node = node(&client).await;
        let card = device(&node, "cuda:GPU-0");
        let is_shown = card["free"].as_u64()? < 6 * GIB.0 - EACH.0;
        (is_shown && card["promised"] == 0 && card["held"]["m"].is_u64()).then_some(node)
    })
    .await;
    let card = device(&node, "cuda:GPU-0");
    let (held, free) = (card["held"]["m"].as_u64().expect("bytes"), card["free"].as_u64().expect("bytes"));
    assert!(held >= EACH.0 && card["total"] == 6 * GIB.0, "{card}");
    let really = depot.book().held("cuda:GPU-0").0;
    assert!(really <= held && free == 6 * GIB.0 - really - (300 << 20), "{really}: {card}");
    assert!(card["foreign"].as_u64().is_some_and(|foreign| foreign <= 300 << 20), "{card}");
    assert!(device(&node, "ram")["held"]["m"].as_u64().is_some_and(|held| held > 0), "its process is in main memory: {node}");

    let metrics = client.get("/metrics").await.text;
    let line = format!("penstock_device_memory_bytes{{device=\"cuda:GPU-0\",holder=\"m\"}} {held}");
    assert!(metrics.lines().any(|one| one.starts_with(&line)), "{line}\n{metrics}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_for_others_is_not_given_to_models_until_it_is_given_back() {
    let depot = machine();
    let (house, client) = depot.house(&[model("m").with("gpu_layers: 33")]).await;
    let name = node(&client).await["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/v1/nodes/{name}/allocations");
    let refused = client.post(&path, &json!({"device": "cuda:GPU-0", "bytes": 7 * GIB.0, "holder": "training"})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("does_not_fit")), "{}", refused.text);
    let made = client.post(&path, &json!({"device": "cuda:GPU-0", "bytes": 3 * GIB.0, "holder": "training"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    order(&client, "m", "load").await;
    until_reason(&client, "m", "no_room").await;
    assert_eq!(depot.begun("m"), 0);
    // Whoever set it aside takes it: it counts once.
    depot.ledger.set_foreign("cuda:GPU-0", ByteSize(3 * GIB.0)).expect("the training");
    until("it counts once", async || (device(&node(&client).await, "cuda:GPU-0")["available"] == 3 * GIB.0).then_some(())).await;
    depot.ledger.set_foreign("cuda:GPU-0", ByteSize(0)).expect("its end");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(client.ask(Method::DELETE, &format!("{path}/{id}"), Bytes::new()).await.status, 204);
    until("it is loaded", async || (depot.begun("m") == 1).then_some(())).await;
    ask(&client, "m").await.said();
    let refused = client.post(&path, &json!({"device": "cuda:GPU-0", "bytes": 3 * GIB.0, "holder": "training"})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("no_room")), "{}", refused.text);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_were_given_and_memory_that_was_set_aside_survive_a_restart() {
    let depot = machine();
    let config = format!("adopt: true\n{}", depot.config(&[model("m")]));
    let house = depot.stage.house(&config).await;
    let client = depot.stage.client(&house);
    ask(&client, "m").await.said();
    let name = node(&client).await["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/v1/nodes/{name}/allocations");
    assert_eq!(client.post(&path, &json!({"bytes": GIB.0, "holder": "notebook", "expires": "1h"})).await.status, 201);
    let before = device(&node(&client).await, "cuda:GPU-0")["held"].clone();
    stop(house).await;
    let house = depot.stage.house(&config).await;
    let client = depot.stage.client(&house);
    let after = node(&client).await;
    assert_eq!(device(&after, "cuda:GPU-0")["held"], before, "{after}");
    assert_eq!((&after["allocations"][0]["holder"], &device(&after, "ram")["allocated"]), (&json!("notebook"), &json!(GIB.0)));
    ask(&client, "m").await.said();
    assert_eq!(depot.begun("m"), 1, "it was found again");
    order(&client, "m", "unload").await;
    until("it has left", async || depot.holders("m").is_empty().then_some(())).await;
    depot.close(house).await;
}
