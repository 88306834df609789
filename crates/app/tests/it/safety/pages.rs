//! A house that asks nobody for a token, and the pages that a person's browser has open.

use hyper::Method;
use serde_json::json;

use super::ECHO;
use crate::client::capital;
use crate::stage::{Stage, stop};

const HERE: (&str, &str) = ("content-type", "application/json");
/// What a page may send without asking first.
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test(flavor = "multi_thread")]
async fn where_no_token_is_needed_no_page_of_another_site_operates_the_server() {
    let stage = Stage::new();
    let house = stage.house(&format!("auth: {{ mode: open }}\n{ECHO}")).await;
    let client = stage.client(&house).with_token(None);
    let own = format!("http://{}", client.address());
    let wish = json!({"name": "new", "engine": "echo"}).to_string();
    let calls = [
        ("/api/v1/deployments", wish),
        ("/v1/chat/completions", capital("echo").to_string()),
        ("/infer", json!({"model": "echo", "prompt": "a"}).to_string()),
        ("/api/generate", json!({"model": "echo", "prompt": "a"}).to_string()),
    ];
    let foreign = [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "null"), FORM],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), FORM],
        &[("sec-fetch-site", "cross-site"), ("content-type", "")],
        &[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
        &[("host", "evil.example")],
        &[("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
    ];
    for (path, body) in &calls {
        for headers in foreign {
            let reply = client.ask_with(Method::POST, path, headers, body.clone()).await;
            assert_eq!(reply.status, 403, "{path} {headers:?}: {}", reply.text);
            assert!(reply.text.contains("auth.mode: token"), "{}", reply.text);
        }
    }
    for path in ["/v1/models", "/api/v1/deployments", "/console", "/status"] {
        assert_eq!(client.ask_with(Method::GET, path, &[("host", "evil.example")], "").await.status, 403, "a name that leads here: {path}");
    }
    assert_eq!(client.ask_with(Method::DELETE, "/api/v1/deployments/echo", &[("origin", "https://evil.example")], "").await.status, 403);
    assert_eq!(client.get("/api/v1/deployments/new").await.status, 404, "nothing of it was done");

    for headers in
        [&[HERE][..], &[("host", "localhost:8080")], &[("origin", &*own), ("sec-fetch-site", "same-origin")], &[("origin", &*own)]]
    {
        for (path, body) in &calls[1..] {
            let reply = client.ask_with(Method::POST, path, headers, body.clone()).await;
            assert_eq!(reply.status, 200, "{path} {headers:?}: {}", reply.text);
        }
    }
    let (path, body) = &calls[3];
    assert_eq!(client.ask_with(Method::POST, path, &[FORM], body.clone()).await.status, 200, "as `curl -d` sends it");
    assert_eq!(client.ask_with(Method::POST, calls[0].0, &[], calls[0].1.clone()).await.status, 202);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_the_config_lets_in_call_models_and_nothing_else() {
    let stage = Stage::new();
    let cors = "cors_enabled: true\ncors_origins: [https://app.example]\n";
    let house = stage.house(&format!("auth: {{ mode: open, public_url: https://models.example }}\n{cors}{ECHO}")).await;
    let client = stage.client(&house).with_token(None);
    let app = [("origin", "https://app.example"), ("sec-fetch-site", "cross-site")];
    let call = capital("echo").to_string();
    let reply = client.ask_with(Method::POST, "/v1/chat/completions", &app, call.clone()).await;
    assert_eq!((reply.status, &reply.headers["access-control-allow-origin"].to_str().ok()), (200, &Some("https://app.example")));
    let other = [("origin", "https://other.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(client.ask_with(Method::POST, "/v1/chat/completions", &other, call.clone()).await.status, 403);
    let wish = json!({"name": "new", "engine": "echo"}).to_string();
    assert_eq!(client.ask_with(Method::POST, "/api/v1/deployments", &app, wish).await.status, 403);
    let numbers = client.ask_with(Method::GET, "/metrics", &app, "").await;
    assert_eq!(numbers.headers.get("access-control-allow-origin"), None, "they name the models of all projects");
    let preflight = [app[0], ("access-control-request-method", "GET"), ("access-control-request-headers", "authorization")];
    assert_eq!(client.ask_with(Method::OPTIONS, "/metrics", &preflight, "").await.headers.get("access-control-allow-origin"), None);
    let named = [("host", "models.example"), ("origin", "https://models.example")];
    assert_eq!(client.ask_with(Method::POST, "/v1/chat/completions", &named, call).await.status, 200, "its public name");
    stop(house).await;
}
