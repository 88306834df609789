//! The headers that keep answers from being misused, on every route there is.

use bytes::Bytes;
use hyper::Method;

use super::ECHO;
use crate::client::Reply;
use crate::stage::{Stage, stop};
use crate::wire::soon;

/// Every method and path of the operators' document, with a word in the place of each name.
fn routes(document: &serde_json::Value) -> Vec<(Method, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let filled = |path: &str| path.split('/').map(|part| if part.starts_with('{') { "none" } else { part }).collect::<Vec<_>>().join("/");
    let of = |(path, item): (&String, &serde_json::Value)| {
        let methods = item.as_object().expect("an item").keys().filter_map(|method| method.to_uppercase().parse().ok());
        let known = [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
        methods.filter(|method| known.contains(method)).map(|method| (method, filled(path))).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn check(asked: &str, answer: &Reply) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{asked}");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src '") && policy.contains("frame-ancestors 'none'"), "{asked}: {policy}");
    assert!(!policy.contains("script-src 'unsafe") && !policy.contains('*'), "{asked}: {policy}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{asked}");
    assert!(answer.header("strict-transport-security").is_empty(), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_every_face_has_them() {
    let stage = Stage::new();
    let house = stage.house(ECHO).await;
    let client = stage.client(&house);
    let nobody = client.with_token(None);
    let routes = routes(&client.get("/api/v1/openapi.json").await.json());
    assert!(routes.len() > 50, "{}", routes.len());
    for (method, path) in &routes {
        for client in [&client, &nobody] {
            let answer = soon(client.ask(method.clone(), path, Bytes::new())).await;
            let asked = format!("{method} {path} {}", answer.status);
            check(&asked, &answer);
            assert!(answer.header("cache-control").contains("no-store"), "{asked}: {:?}", answer.headers);
        }
    }
    let others = [
        "/",
        "/console",
        "/console/console.js",
        "/docs/",
        "/docs/nothing",
        "/nothing",
        "/healthz",
        "/readyz",
        "/metrics",
        "/status",
        "/models",
        "/v1/models",
        "/v1/nothing",
        "/api/nothing",
    ];
    for path in others {
        let answer = soon(client.get(path)).await;
        check(path, &answer);
        if answer.header("content-type").starts_with("text/html") {
            assert!(answer.header("content-security-policy").contains("'self'") && answer.header("x-frame-options") == "DENY", "{path}");
            assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        }
    }
    // The calls that come most are answered without a framework: no browser shows what they say.
    for body in [r#"{"model":"echo","messages":[{"role":"user","content":"hi"}]}"#, "rubbish"] {
        let answer = soon(client.ask(Method::POST, "/v1/chat/completions", Bytes::from(body))).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{body}");
    }
    stop(house).await;
}
