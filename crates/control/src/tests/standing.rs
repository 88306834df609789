//! Who listens is looked at again: what was taken back ends its streams.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::login::{NAME, NOBODY, csrf_token, entered};
use super::room::{Room, SOON};

/// A stream that somebody has begun.
struct Listener {
    body: Body,
    heard: String,
}

impl Listener {
    async fn open(room: &Room, path: &str, header: (&str, &str)) -> Self {
        let request = Request::builder().uri(path).header(header.0, header.1);
        let (parts, body) = room.send(request.body(Body::empty()).unwrap()).await.into_parts();
        assert_eq!(parts.status, 200, "{path}");
        Self { body, heard: String::new() }
    }

    async fn with(room: &Room, path: &str, token: &str) -> Self {
        Self::open(room, path, ("authorization", &format!("Bearer {token}"))).await
    }

    /// All until it ends.
    async fn until_it_ends(mut self) -> String {
        let all = async {
            while let Some(frame) = self.body.frame().await {
                self.heard.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
            }
        };
        tokio::time::timeout(SOON, all).await.expect("it ends");
        self.heard
    }

    /// Until it has said this.
    async fn until(&mut self, word: &str) {
        let said = async {
            while !self.heard.contains(word) {
                let frame = self.body.frame().await.expect("more").unwrap();
                self.heard.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
        };
        tokio::time::timeout(SOON, said).await.unwrap_or_else(|_| panic!("`{word}` did not come"));
    }
}

/// A new token; its path and its text.
async fn token(room: &Room, wanted: &Value) -> (String, String) {
    let made = room.ask("POST", "/api/v1/tokens", &wanted.to_string()).await.expect(201);
    (format!("/api/v1/tokens/{}", made["id"].as_str().unwrap()), made["token"].as_str().unwrap().to_owned())
}

async fn deploy(room: &Room, name: &str, project: Option<&str>) {
    let spec = json!({"engine": "echo", "project": project});
    room.ask("PUT", &format!("/api/v1/deployments/{name}"), &spec.to_string()).await.expect(202);
}

#[tokio::test]
async fn every_stream_of_a_token_ends_when_it_is_revoked_and_says_why() {
    let room = Room::open().await;
    deploy(&room, "a", None).await;
    room.ask("POST", "/api/v1/deployments/a/load", "").await.expect(202);
    let ready = room.until_state("a", "ready").await;
    let instance = ready["status"]["instances"][0].as_str().unwrap().to_owned();
    let (path, text) = token(&room, &json!({"name": "operator", "role": "operator"})).await;
    let mut streams = Vec::new();
    for place in ["deployments?watch=1", "instances?watch=1", "events?watch=1", "deployments/a/logs?follow=1"] {
        streams.push(Listener::with(&room, &format!("/api/v1/{place}"), &text).await);
    }
    streams.push(Listener::with(&room, &format!("/api/v1/instances/{instance}/logs?follow=1"), &text).await);
    streams[0].until("snapshot").await;
    let mut other = Listener::with(&room, "/api/v1/deployments?watch=1", &room.admin).await;
    room.ask("DELETE", &path, "").await.expect(204);
    for stream in streams {
        let heard = stream.until_it_ends().await;
        assert!(heard.contains("the token is not valid"), "{heard}");
    }
    deploy(&room, "b", None).await;
    other.until("\"b\"").await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_or_its_user_may_less() {
    let room = Room::open().await;
    let (path, text) = token(&room, &json!({"name": "viewer", "role": "viewer"})).await;
    let watch = Listener::with(&room, "/api/v1/deployments?watch=1", &text).await;
    room.ask("PATCH", &path, r#"{"role": null, "scopes": ["inference"]}"#).await.expect(200);
    let heard = watch.until_it_ends().await;
    assert!(heard.contains("may not list deployments"), "{heard}");

    for project in ["red", "blue"] {
        room.ask("POST", "/api/v1/projects", &json!({"name": project}).to_string()).await.expect(201);
    }
    let user = room
        .ask("POST", "/api/v1/users", r#"{"name": "ann", "projects": {"red": ["developer"], "blue": ["developer"]}}"#)
        .await
        .expect(201);
    let owned = json!({"name": "of ann", "scopes": ["admin"], "owner": user["id"]});
    let (_, text) = token(&room, &owned).await;
    deploy(&room, "reds", Some("red")).await;
    room.until_state("reds", "cold").await;
    let mut watch = Listener::with(&room, "/api/v1/deployments?watch=1", &text).await;
    let logs = Listener::with(&room, "/api/v1/deployments/reds/logs?follow=1", &text).await;
    watch.until("reds").await;
    let less =
        room.ask("PATCH", &format!("/api/v1/users/{}", user["id"].as_str().unwrap()), r#"{"projects": {"blue": ["developer"]}}"#).await;
    less.expect(200);
    let heard = watch.until_it_ends().await;
    assert!(heard.contains("what it may see has changed"), "they see another list now: {heard}");
    let heard = logs.until_it_ends().await;
    assert!(heard.contains("may not get logs"), "{heard}");
}

#[tokio::test]
async fn a_stream_of_a_browser_ends_with_its_session() {
    let room = Room::open().await;
    let held = entered(&room, &room.admin).await;
    let (csrf, cookie) = (csrf_token(&room, &held).await, format!("{NAME}={held}"));
    let watch = Listener::open(&room, "/api/v1/events?watch=1", ("cookie", &cookie)).await;
    let form = format!("csrf_token={csrf}");
    let headers = [("cookie", cookie.as_str()), NOBODY, ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(room.ask_with(&headers, "POST", "/auth/logout", &form).await.status, 303);
    let heard = watch.until_it_ends().await;
    assert!(heard.contains("the session is over"), "{heard}");
}
