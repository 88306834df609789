//! Streams: what changes, as it changes; and their end.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::room::{Room, SOON};

/// Reads server-sent events one by one.
struct Reader {
    body: Body,
    rest: String,
    headers: HeaderMap,
}

#[derive(Debug)]
struct Told {
    event: String,
    id: Option<u64>,
    data: Value,
}

impl Reader {
    async fn open(room: &Room, path: &str, last: Option<u64>) -> Self {
        let mut request = Request::builder().uri(path).header("authorization", format!("Bearer {}", room.admin));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let (parts, body) = room.send(request.body(Body::empty()).unwrap()).await.into_parts();
        assert_eq!(parts.status, 200);
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        Self { body, rest: String::new(), headers: parts.headers }
    }

    /// The next event; none at the end of the stream.
    async fn next(&mut self) -> Option<Told> {
        let until = Instant::now() + SOON;
        loop {
            if let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let told = read(frame);
                self.rest = rest.to_owned();
                if told.event.is_empty() {
                    continue; // a comment that keeps the stream alive
                }
                return Some(told);
            }
            let frame = tokio::time::timeout_at(until, self.body.frame()).await.expect("an event in time")?;
            self.rest.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(SOON, async {
            loop {
                let told = self.next().await?;
                if wanted(&told) {
                    return Some(told);
                }
                seen.push(told);
            }
        });
        match found.await {
            Ok(Some(told)) => told,
            Ok(None) | Err(_) => panic!("it did not come; what came: {seen:#?}"),
        }
    }
}

fn read(frame: &str) -> Told {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Told {
        event: field("event:").unwrap_or_default().to_owned(),
        id: field("id:").map(|id| id.parse().unwrap()),
        data: serde_json::from_str(field("data:").unwrap_or("null")).unwrap(),
    }
}

async fn deploy(room: &Room, name: &str) {
    room.ask("PUT", &format!("/api/v1/deployments/{name}"), r#"{"engine":"echo"}"#).await.expect(202);
}

#[tokio::test]
async fn a_watcher_sees_the_list_and_then_each_change() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    room.until_state("a", "cold").await;
    let mut reader = Reader::open(&room, "/api/v1/deployments?watch=1", None).await;
    assert_eq!(reader.headers["x-accel-buffering"], "no");
    let first = reader.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["items"][0]["name"]), ("snapshot", &json!("a")));
    deploy(&room, "b").await;
    let added = reader.until(|told| told.event == "added").await;
    assert_eq!(added.data["name"], "b");
    room.ask("POST", "/api/v1/deployments/a/load", "").await.expect(202);
    reader.until(|told| told.event == "changed" && told.data["name"] == "a" && told.data["status"]["state"] == "ready").await;
    room.ask("DELETE", "/api/v1/deployments/b", "").await.expect(202);
    let removed = reader.until(|told| told.event == "removed").await;
    assert_eq!(removed.data["name"], "b");
}

#[tokio::test]
async fn instances_can_be_watched_too() {
    let room = Room::open().await;
    // Longer than changes are gathered for, so that the start is seen in two steps.
    room.runtime.script(testkit::Script { load: Duration::from_secs(1), ..testkit::Script::default() });
    let mut reader = Reader::open(&room, "/api/v1/instances?watch=true", None).await;
    assert_eq!(reader.next().await.unwrap().data, json!({"items": []}));
    deploy(&room, "a").await;
    room.ask("POST", "/api/v1/deployments/a/load", "").await.expect(202);
    let added = reader.until(|told| told.event == "added").await;
    assert_eq!(added.data["deployment"], "a");
    // On a machine that stood still meanwhile, both steps are told as one.
    if added.data["phase"] != "ready" {
        reader.until(|told| told.event == "changed" && told.data["phase"] == "ready").await;
    }
}

#[tokio::test]
async fn an_operation_is_told_until_it_is_over_and_then_the_stream_ends() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    room.runtime.script(testkit::Script { load: Duration::from_secs(1), ..testkit::Script::default() });
    let operation = room.ask("POST", "/api/v1/deployments/a/load", "").await.expect(202);
    let path = format!("/api/v1/operations/{}?watch=1", operation["id"].as_str().unwrap());
    let mut reader = Reader::open(&room, &path, None).await;
    let mut states = Vec::new();
    while let Some(told) = reader.next().await {
        states.push(told.data["state"].as_str().unwrap().to_owned());
    }
    assert_eq!(states.first().map(String::as_str), Some("running"));
    assert_eq!(states.last().map(String::as_str), Some("succeeded"));
}

#[tokio::test]
async fn the_story_goes_on_where_its_reader_left_off() {
    let room = Room::open().await;
    let mut live = Reader::open(&room, "/api/v1/events?watch=1", None).await;
    deploy(&room, "a").await;
    let made = live.until(|told| told.data["kind"] == "deployment_created").await;
    assert_eq!((made.id, &made.data["deployment"]), (made.data["id"].as_u64(), &json!("a")));
    assert!(made.data["message"].as_str().unwrap().contains("token `ops`"), "{}", made.data);
    drop(live);
    deploy(&room, "b").await;
    let mut again = Reader::open(&room, "/api/v1/events?watch=1", made.id).await;
    let next = again.next().await.unwrap();
    assert!(next.id > made.id, "who changed what has a place between them, and is told to who asks for it");
    assert_eq!(next.data["deployment"], "b");
}

#[tokio::test]
async fn who_read_further_than_the_story_goes_hears_what_comes_next() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    let mut live = Reader::open(&room, "/api/v1/events?watch=1", Some(1_000_000)).await;
    deploy(&room, "b").await;
    live.until(|told| told.data["kind"] == "deployment_created" && told.data["deployment"] == "b").await;
}

#[tokio::test]
async fn a_watcher_of_one_deployment_sees_only_its_events() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    deploy(&room, "b").await;
    let mut reader = Reader::open(&room, "/api/v1/events?watch=1&after=0&deployment=b", None).await;
    assert_eq!(reader.next().await.unwrap().data["deployment"], "b");
    let mut newest = Reader::open(&room, "/api/v1/events?watch=1&limit=1&deployment=a", None).await;
    assert_eq!(newest.next().await.unwrap().data["deployment"], "a");
}

#[tokio::test]
async fn the_story_can_be_read_in_pages() {
    let room = Room::open().await;
    for name in ["a", "b", "c"] {
        deploy(&room, name).await;
    }
    let told = |answer: &super::room::Answer| answer.json()["items"].as_array().unwrap().len() >= 4;
    room.until("/api/v1/events", told).await;
    let first = room.get("/api/v1/events?after=0&limit=2").await;
    let next: u64 = first["next"].as_str().unwrap().parse().unwrap();
    assert_eq!(first["items"][1]["id"], next);
    let second = room.get(&format!("/api/v1/events?after={next}&limit=2")).await;
    assert!(second["items"][0]["id"].as_u64() > Some(next));
    let newest = room.get("/api/v1/events?limit=1").await;
    assert_eq!(newest["items"][0]["deployment"], "c");
}

#[tokio::test]
async fn a_followed_log_waits_for_an_instance_to_start() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    let request = Request::builder().uri("/api/v1/deployments/a/logs?follow=1").header("authorization", format!("Bearer {}", room.admin));
    let answer = room.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    room.ask("POST", "/api/v1/deployments/a/load", "").await.expect(202);
    let mut body = answer.into_body();
    let frame = tokio::time::timeout(SOON, body.frame()).await.expect("a line in time").unwrap().unwrap();
    assert!(frame.into_data().unwrap().starts_with(b"log of "));
}

#[tokio::test]
async fn every_stream_ends_when_the_server_stops() {
    let room = Room::open().await;
    deploy(&room, "a").await;
    let mut readers = Vec::new();
    for path in ["/api/v1/deployments?watch=1", "/api/v1/instances?watch=1", "/api/v1/events?watch=1"] {
        readers.push(Reader::open(&room, path, None).await);
    }
    room.closing.send(true).unwrap();
    for reader in &mut readers {
        while reader.next().await.is_some() {}
    }
    let log = room.ask("GET", "/api/v1/deployments/a/logs?follow=1", "").await;
    assert_eq!((log.status.as_u16(), log.text.as_str()), (200, ""));
}
