//! Lazy start, keep-alive, delete: instances come and go as they are wanted.

use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;

use crate::client::capital;
use crate::stage::{Stage, lazy, lives, stop, tiny, until};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_callers_of_a_cold_model_start_it_once() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&lazy()).await;
    assert!(house.fleet().instances.is_empty(), "nobody has asked yet");
    let client = stage.client(&house);
    let replies = join_all((0..20).map(|_| client.capital("tiny"))).await;
    for reply in replies {
        assert_eq!(reply.said(), "The capital of France is Paris.");
    }
    assert_eq!(house.fleet().counters.loads, 1);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_uses_is_unloaded_and_comes_back_when_asked_for() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("{}    replicas: {{ keep_alive: 200ms }}\n", lazy())).await;
    let client = stage.client(&house);
    let mut ask = capital("tiny");
    ask["stream"] = json!(true);
    let mut stream = client.stream("/v1/chat/completions", &ask).await;
    assert!(stream.next().await.is_some());
    // While it is called it stays.
    let pid = house.fleet().instances.first().and_then(|one| one.pid).expect("a process");
    assert_eq!(stream.events().await.last().map(String::as_str), Some("[DONE]"));
    until("it is unloaded", async || house.fleet().instances.is_empty().then_some(())).await;
    assert!(!lives(pid), "its process has ended");
    client.capital("tiny").await.said();
    assert_eq!(house.fleet().counters.loads, 2);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_made_through_the_api_serves_and_a_deleted_one_leaves_nothing() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house("").await;
    let client = stage.client(&house);
    let wish = json!({"name": "mine", "model": format!("file:{}", tiny()), "replicas": {"min": 1, "max": 1}});
    let made = client.post("/api/v1/deployments", &wish).await;
    assert_eq!(made.status, 202, "{}", made.text);
    until("it is on the list", async || (client.get("/v1/models/mine").await.status == 200).then_some(())).await;
    client.capital("mine").await.said();
    let pid = house.fleet().instances.first().and_then(|one| one.pid).expect("a process");
    let gone = client.ask(Method::DELETE, "/api/v1/deployments/mine", "".into()).await;
    assert!(gone.status < 300, "{}", gone.text);
    until("it is gone", async || (client.get("/api/v1/deployments/mine").await.status == 404).then_some(())).await;
    assert!(!lives(pid), "its process has ended");
    assert_eq!(std::fs::read_dir(stage.data_dir().join("instances")).expect("a folder").count(), 0, "its folder is gone");
    assert_eq!(client.capital("mine").await.status, 404);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_making_was_answered_is_known_to_the_very_next_call() {
    const MAKERS: usize = 6;
    const NAMES: usize = 20;
    let stage = Stage::new();
    let upstream = testkit::upstream::Upstream::open().await.expect("an engine");
    let house = stage.house("outbound: { allow: ['127.0.0.0/8'] }\n").await;
    let client = stage.client(&house);
    let (client, url) = (&client, upstream.url());
    let make = async |maker: usize| {
        for number in 0..NAMES {
            let (name, route) = (format!("m{maker}-{number}"), format!("r{maker}-{number}"));
            let wish = json!({"name": name, "url": url, "replicas": {"min": 0, "max": 1}});
            let made = match number % 2 {
                0 => client.post("/api/v1/deployments", &wish).await,
                _ => client.ask(Method::PUT, &format!("/api/v1/deployments/{name}"), wish.to_string().into()).await,
            };
            assert_eq!((made.status, client.capital(&name).await.status), (202, 200), "{name}: {}", made.text);
            let made = client.post("/api/v1/routes", &json!({"name": route, "targets": [{"deployment": name}]})).await;
            assert_eq!((made.status, client.capital(&route).await.status), (201, 200), "{route}: {}", made.text);
            let gone = client.ask(Method::DELETE, &format!("/api/v1/routes/{route}"), "".into()).await;
            assert_eq!((gone.status, client.capital(&route).await.status), (204, 404), "{route}");
            let gone = client.ask(Method::DELETE, &format!("/api/v1/deployments/{name}"), "".into()).await;
            assert_eq!((gone.status, client.capital(&name).await.status), (202, 404), "{name}");
        }
    };
    join_all((0..MAKERS).map(make)).await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_leaves_the_config_goes_and_a_new_one_comes_without_a_restart() {
    let stage = Stage::new();
    let mut house = stage.house("deployments:\n  - name: old\n    engine: echo\n").await;
    let client = stage.client(&house);
    client.capital("old").await.said();
    stage.write_config("deployments:\n  - name: new\n    engine: echo\n");
    house.reload(&app::config::Flags::default()).await.expect("a config");
    until("the old one is gone", async || (client.capital("old").await.status == 404).then_some(())).await;
    client.capital("new").await.said();
    stage.write_config("deployments:\n  - name: new\n    engin: echo\n");
    let refused = house.reload(&app::config::Flags::default()).await.expect_err("a fault");
    assert!(refused.to_string().contains("penstock.yaml:8"), "{refused}");
    client.capital("new").await.said();
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_appended_to_the_events_file() {
    let stage = Stage::new();
    let house = stage.house("events_file: ./events\ndeployments:\n  - name: echo\n    engine: echo\n").await;
    stage.client(&house).capital("echo").await.said();
    stop(house).await;
    let text = std::fs::read_to_string(stage.folder().join("events")).expect("the file");
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(events.iter().any(|event| event["phase"][1] == "ready" && event["deployment"] == "echo"), "{text}");
    assert!(events.iter().any(|event| event["kind"] == "stopping"), "{text}");
    // The first ones happen before there is anybody to listen.
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds[..2], ["deployment_created", "started"], "{text}");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["id"].as_u64()).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]) && numbers.len() == events.len(), "each of them once: {text}");
}
