//! URLs that somebody gave through the API, and where they may not lead.

use serde_json::json;
use testkit::upstream::{Script, Upstream};

use crate::client::Client;
use crate::stage::{Stage, stop, until};
use crate::wire::{CHAT, chat, soon, whole};

async fn deployed(client: &Client, name: &str, url: &str) -> (u16, String) {
    let answer = client.post("/api/v1/deployments", &json!({"name": name, "url": url})).await;
    (answer.status, answer.text)
}

async fn called(client: &Client, model: &str) -> (u16, String) {
    let answer = soon(client.post(CHAT, &serde_json::from_str(&chat(model, "")).expect("JSON"))).await;
    (answer.status, answer.text)
}

async fn upstream() -> Upstream {
    let upstream = Upstream::open().await.expect("an engine");
    for model in ["own", "given", "named"] {
        upstream.plays(model, Script::json(200, whole(model).to_string()));
    }
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_given_through_the_api_leads_nowhere_inside_and_one_of_the_config_may() {
    let (upstream, other) = (upstream().await, upstream().await);
    let stage = Stage::new();
    let house = stage.house(&format!("deployments:\n  - name: own\n    url: {}\n", upstream.url())).await;
    let client = stage.client(&house);
    assert_eq!(called(&client, "own").await.0, 200, "the operator's own word");
    let port = other.url().rsplit_once(':').map(|(_, rest)| rest.trim_end_matches("/v1").to_owned()).expect("a port");
    let inside = [
        format!("http://127.0.0.1:{port}/v1"),
        format!("http://localhost:{port}/v1"),
        format!("http://127.1.2.3:{port}/v1"),
        format!("http://[::1]:{port}/v1"),
        format!("http://[::ffff:127.0.0.1]:{port}/v1"),
        format!("http://[::ffff:7f00:1]:{port}/v1"),
        format!("http://0.0.0.0:{port}/v1"),
        "http://10.0.0.1/v1".to_owned(),
        "http://192.168.1.1/v1".to_owned(),
        "http://[fd00::1]/v1".to_owned(),
        "http://[fe80::1]/v1".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
    ];
    for url in &inside {
        let (status, text) = deployed(&client, "given", url).await;
        assert_eq!(status, 400, "{url}: {text}");
        assert!(text.contains("outbound.allow") && text.contains("\"url\""), "{text}");
    }
    // Names and other ways to write an address are known only when they are looked up, so that is when they are refused.
    for url in [format!("http://2130706433:{port}/v1"), format!("http://0x7f.1:{port}/v1"), format!("http://127.1:{port}/v1")] {
        let (status, text) = deployed(&client, "given", &url).await;
        assert_eq!(status, 202, "{url}: {text}");
        let (status, text) = called(&client, "given").await;
        assert!(status >= 500, "{url}: {status} {text}");
        let why = until("it is known why", async || {
            let shown = client.get("/api/v1/deployments/given").await.text;
            shown.contains("is not called").then_some(shown)
        })
        .await;
        assert!(why.contains("loopback"), "{why}");
        let gone = client.ask(hyper::Method::DELETE, "/api/v1/deployments/given", bytes::Bytes::new()).await;
        assert_eq!(gone.status, 202);
        until("it is gone", async || (client.get("/api/v1/deployments/given").await.status == 404).then_some(())).await;
    }
    assert!(other.asks().is_empty() && other.connections() == 0, "nobody has connected");
    // The same host and port as in the config is the same server.
    assert_eq!(deployed(&client, "given", &upstream.url()).await.0, 202);
    assert_eq!(called(&client, "given").await.0, 200);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_config_allows_is_called() {
    let upstream = upstream().await;
    for allow in ["127.0.0.1", "127.0.0.0/8", "localhost"] {
        let stage = Stage::new();
        let house = stage.house(&format!("outbound: {{ allow: [{allow}] }}\n")).await;
        let client = stage.client(&house);
        let url = if allow == "localhost" { upstream.url().replace("127.0.0.1", "localhost") } else { upstream.url() };
        let (status, text) = deployed(&client, "named", &url).await;
        assert_eq!(status, 202, "{allow}: {text}");
        assert_eq!(called(&client, "named").await.0, 200, "{allow}");
        stop(house).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_nowhere() {
    let (upstream, inner) = (upstream().await, upstream().await);
    let stage = Stage::new();
    let house = stage.house(&format!("deployments:\n  - name: own\n    url: {}\n", upstream.url())).await;
    let client = stage.client(&house);
    upstream.plays("own", Script::json(307, "{}").header("location", &format!("{}/chat/completions", inner.url())));
    let (status, text) = called(&client, "own").await;
    assert!(status >= 300, "{status} {text}");
    assert!(inner.asks().is_empty() && inner.connections() == 0);
    stop(house).await;
}
