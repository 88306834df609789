//! Penstock goes and comes back: what ran is found again, what was wished for is remembered.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::process::Process;
use crate::stage::{Stage, lazy, lives, stop, tiny, until};

fn engine(instances: &Value) -> Option<u64> {
    instances["items"].as_array()?.iter().find(|one| one["phase"] == "ready" || one["status"]["phase"] == "ready").and_then(pid)
}

fn pid(instance: &Value) -> Option<u64> {
    instance["pid"].as_u64().or(instance["status"]["pid"].as_u64())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_adopt_an_engine_outlives_a_stop_and_serves_on_after_the_next_start() {
    let Some(stage) = Stage::with_engine() else { return };
    let config = format!("adopt: true\n{}", lazy());
    let house = stage.house(&config).await;
    stage.client(&house).capital("tiny").await.said();
    let before = house.fleet().instances.first().and_then(|one| one.pid).expect("a process");
    stop(house).await;
    assert!(lives(before));
    let house = stage.house(&config.replace("adopt: true", "adopt: false")).await;
    stage.client(&house).capital("tiny").await.said();
    assert_eq!(house.fleet().instances.first().and_then(|one| one.pid), Some(before), "the same process");
    assert_eq!(house.fleet().instances.len(), 1);
    stop(house).await;
    assert!(!lives(before), "without adopt it ends with the house");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_penstock_finds_its_engine_again() {
    let Some(stage) = Stage::with_engine() else { return };
    let mut first = Process::start(&stage, &lazy()).await;
    first.client.capital("tiny").await.said();
    let before = engine(&first.client.get("/api/v1/instances").await.json()).expect("an engine");
    first.signal(Signal::SIGKILL);
    first.ended().await;
    let mut second = Process::start(&stage, &lazy()).await;
    let client = second.client.clone();
    let after = until("the engine is ready again", async || engine(&client.get("/api/v1/instances").await.json())).await;
    assert_eq!(after, before);
    client.capital("tiny").await.said();
    assert_eq!(engine(&client.get("/api/v1/instances").await.json()), Some(before), "nothing was started twice");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await.code(), Some(0), "{}", second.log());
    assert!(!lives(u32::try_from(before).expect("a pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_and_tokens_made_through_the_api_survive_a_restart() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let made = client.post("/api/v1/deployments", &json!({"name": "kept", "engine": "echo"})).await;
    assert_eq!(made.status, 202, "{}", made.text);
    let token = client.post("/api/v1/tokens", &json!({"name": "somebody", "scopes": ["inference"]})).await;
    let token = token.json()["token"].as_str().expect("a token").to_owned();
    stop(house).await;
    let house = stage.house("").await;
    let somebody = stage.client(&house).with_token(Some(&token));
    assert_eq!(somebody.capital("kept").await.said(), "What is the capital of France?");
    assert_eq!(somebody.get("/api/v1/deployments").await.status, 403, "it may call, not operate");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_does_not_take_over_what_came_through_the_api() {
    let stage = Stage::new();
    let house = stage.house("").await;
    stage.client(&house).post("/api/v1/deployments", &json!({"name": "tiny", "model": format!("file:{}", tiny())})).await;
    stop(house).await;
    let error = app::serve::House::start(stage.settings(&lazy())).await.expect_err("it is somebody else's");
    insta::assert_snapshot!(format!("{error}\n{}", base::Fault::hint(&error).unwrap_or_default()));
}
