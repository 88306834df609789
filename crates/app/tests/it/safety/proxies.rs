//! Who a request comes from, when a proxy brings it.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::ECHO;
use crate::client::Client;
use crate::stage::{Stage, stop, until};

/// The `client` of each line of the access log for a path with this word in its query.
async fn clients(config: &str, headers: &[(&str, &str)]) -> String {
    let stage = Stage::new();
    let house = stage.house(&format!("access_log: ./access.log\n{config}{ECHO}")).await;
    let client = stage.client(&house);
    let body = r#"{"model":"echo","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = client.ask_with(Method::POST, "/v1/chat/completions", headers, Bytes::from(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(client.ask_with(Method::GET, "/v1/models", headers, Bytes::new()).await.status, 200);
    let log = stage.folder().join("access.log");
    let lines = until("both are logged", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() >= 2).then_some(text)
    })
    .await;
    stop(house).await;
    let client = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["client"].as_str().expect("text").to_owned();
    let mut all: Vec<String> =
        lines.lines().map(client).map(|client| client.rsplit_once(':').map_or(client.clone(), |(host, _)| host.to_owned())).collect();
    all.dedup();
    all.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_counts_only_from_a_proxy_that_is_named() {
    let spoofed = [("x-forwarded-for", "6.6.6.6, 203.0.113.9"), ("forwarded", "for=7.7.7.7")];
    assert_eq!(clients("", &spoofed).await, "127.0.0.1");
    assert_eq!(clients("trusted_proxies: [10.0.0.0/8]\n", &spoofed).await, "127.0.0.1");
    assert_eq!(clients("trusted_proxies: [127.0.0.1]\n", &spoofed).await, "203.0.113.9");
    assert_eq!(clients("trusted_proxies: [127.0.0.0/8, 203.0.113.0/24]\n", &spoofed).await, "6.6.6.6");
    assert_eq!(clients("trusted_proxies: [127.0.0.1]\nforwarded_header: forwarded\n", &spoofed).await, "7.7.7.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_told_to_this_machine_and_to_others_only_by_a_token_that_may() {
    // What is set, and what somebody is answered: here without a token, elsewhere without one, elsewhere with one of a watcher, of a caller.
    let cases = [
        ("", [200, 401, 200, 403]),
        ("trusted_proxies: [127.0.0.1]\nmetrics: { access: loopback }\n", [200, 401, 200, 403]),
        ("metrics: { access: open }\n", [200, 200, 200, 200]),
        ("metrics: { access: token }\n", [401, 401, 200, 403]),
    ];
    for (set, expected) in cases {
        let stage = Stage::new();
        let house = stage.house(&format!("{set}{ECHO}")).await;
        let admin = stage.client(&house);
        let made = async |wanted: Value| admin.post("/api/v1/tokens", &wanted).await.json()["token"].as_str().map(str::to_owned);
        let watcher = made(json!({"name": "prometheus", "rights": {"server": ["get"]}})).await;
        let caller = made(json!({"name": "app"})).await;
        let brought = [("x-forwarded-for", "203.0.113.9")];
        let asked = async |token: Option<&str>, headers: &[(&str, &str)]| {
            admin.with_token(token).ask_with(Method::GET, "/metrics", headers, Bytes::new()).await
        };
        let far = asked(None, &brought).await;
        // A name that somebody makes lead to this machine, so that a page of theirs asks from here.
        for header in [("host", "evil.example"), ("host", "127.0.0.1.evil.example:8080")] {
            let answers = [asked(None, &[header]).await.status, asked(watcher.as_deref(), &[header]).await.status];
            assert_eq!(answers, [expected[1], 200], "{set}{header:?}");
        }
        let answers = [
            asked(None, &[]).await.status,
            far.status,
            asked(watcher.as_deref(), &brought).await.status,
            asked(caller.as_deref(), &brought).await.status,
        ];
        assert_eq!(answers, expected, "{set}");
        assert_eq!(far.status == 401, !far.text.contains("penstock_") && far.text.contains("metrics.access"), "{}", far.text);
        stop(house).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_counted_by_the_client_and_not_by_its_proxy() {
    let stage = Stage::new();
    let house = stage.house(&format!("trusted_proxies: [127.0.0.1]\n{ECHO}")).await;
    let right = stage.client(&house);
    let from = async |token: usize, address: &str| {
        let client = Client::new(house.address, Some(format!("psk_{token:064}")));
        client.ask_with(Method::GET, "/api/v1/deployments", &[("x-forwarded-for", address)], Bytes::new()).await.status
    };
    let mut slowed = false;
    for token in 0..200 {
        slowed |= from(token, "203.0.113.9").await == 429;
    }
    assert!(slowed, "one who guesses is slowed down");
    let told = until("it is told of", async || {
        let told = right.get("/api/v1/events?kind=tokens_guessed").await.json();
        told["items"].as_array().filter(|items| !items.is_empty()).cloned()
    })
    .await;
    assert_eq!(told.len(), 1, "a burst is told once: {told:?}");
    assert!(told[0]["message"].as_str().is_some_and(|words| words.contains("203.0.113.9") && !words.contains("psk_")), "{told:?}");
    assert_eq!(from(1000, "203.0.113.10").await, 401, "its neighbour is not");
    let answer = right.ask_with(Method::GET, "/api/v1/deployments", &[("x-forwarded-for", "203.0.113.11")], Bytes::new()).await;
    assert_eq!(answer.status, 200);
    stop(house).await;
}
