//! Who may come in, and what the door does to every answer.

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt as _;

use super::room::Room;
use crate::openapi;

/// Every documented operation, with something in place of its parameters.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut all = Vec::new();
    // Where tokens are given nobody has one yet.
    let guarded = document["paths"].as_object().unwrap().iter().filter(|(path, _)| !path.starts_with("/auth/"));
    for (path, item) in guarded {
        let path = path.replace("{name}", "a").replace("{id}", "a");
        all.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

#[tokio::test]
async fn nothing_of_the_api_answers_without_a_token() {
    let room = Room::open().await;
    for (method, path) in operations() {
        let request = Request::builder().method(method.as_str()).uri(&path).body(axum::body::Body::empty()).unwrap();
        let answer = room.send(request).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"penstock\"", "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_that_may_only_call_models_may_not_operate() {
    let room = Room::open().await;
    let user = format!("Bearer {}", room.user);
    for (method, path) in operations() {
        let answer = room.ask_with(&[("authorization", &user)], &method, &path, "").await;
        let wanted = if path == "/api/v1/whoami" { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.text);
    }
}

#[test]
fn every_documented_operation_stands_in_the_authorization_table() {
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let row = access::table::row(&method.to_uppercase(), path);
            assert!(row.is_some(), "{method} {path} needs a row in access/src/table/rows.rs");
        }
    }
}

#[tokio::test]
async fn a_token_may_come_as_an_api_key_too() {
    let room = Room::open().await;
    let admin = room.admin.clone();
    let answer = room.ask_with(&[("authorization", ""), ("x-api-key", &admin)], "GET", "/api/v1/status", "").await;
    assert_eq!(answer.expect(200)["version"], "1.2.3");
}

#[tokio::test]
async fn every_documented_operation_is_there() {
    let room = Room::open().await;
    for (method, path) in operations() {
        let answer = room.ask(&method, &path, "").await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(!answer.text.contains("no_such_path") && !answer.text.contains("there is nothing at"), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn pages_and_docs_need_no_token_and_no_other_host() {
    let room = Room::open().await;
    let nobody = [("authorization", "")];
    for path in ["/", "/console", "/docs/", "/api/v1/openapi.json", "/docs/swagger-initializer.js", "/docs/swagger-ui-bundle.js"] {
        let answer = room.ask_with(&nobody, "GET", path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let start = room.ask_with(&nobody, "GET", "/docs/swagger-initializer.js", "").await;
    assert!(start.text.contains("\"/api/v1/openapi.json\""), "{}", start.text);
    let page = room.ask_with(&nobody, "GET", "/docs/", "").await;
    assert!(!page.text.contains("src=\"http") && !page.text.contains("href=\"http"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    let moved = room.ask_with(&nobody, "GET", "/docs", "").await;
    assert_eq!((moved.status, moved.header("location")), (StatusCode::PERMANENT_REDIRECT, "/docs/"));
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let room = Room::open().await;
    let first = room.ask("GET", "/", "").await;
    assert!(first.header("content-type").starts_with("text/html"));
    let again = room.ask_with(&[("if-none-match", first.header("etag"))], "GET", "/console", "").await;
    assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let missing = room.ask("GET", "/console/no-such-file.js", "").await;
    assert_eq!(missing.expect(404)["code"], "no_such_path");
}

#[tokio::test]
async fn paths_of_other_rooms_stay_theirs() {
    let room = Room::open().await;
    let others = Router::new().route("/v1/models", get(async || "theirs")).fallback(async || (StatusCode::IM_A_TEAPOT, "their fallback"));
    let both = others.merge(room.app.clone());
    for (path, status) in [("/v1/models", 200), ("/v1/nothing", 418), ("/nothing", 418), ("/api/v1/nothing", 401), ("/", 200)] {
        let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        assert_eq!(both.clone().oneshot(request).await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test]
async fn the_request_id_is_the_clients_own_if_it_is_sane() {
    let room = Room::open().await;
    let answer = room.ask_with(&[("x-request-id", "my-id.7")], "GET", "/api/v1/nothing", "").await;
    assert_eq!(answer.header("x-request-id"), "my-id.7");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["request_id"], "my-id.7");
    let answer = room.ask_with(&[("x-request-id", "a b\t{}")], "GET", "/api/v1/status", "").await;
    assert_eq!(answer.header("x-request-id").len(), 16);
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let room = Room::open().await;
    let answer = room.ask("DELETE", "/api/v1/deployments", "").await;
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    assert_eq!(answer.expect(405)["code"], "method_not_allowed");
    let older = room.ask("PATCH", "/api/v1/modserv/list", "").await;
    assert_eq!(older.expect(405)["data"], json!(null));
}
