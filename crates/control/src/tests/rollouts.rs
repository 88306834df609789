//! Rollouts through the front door of the operators: followed, paused, undone, refused.

use serde_json::{Value, json};
use testkit::Script;

use super::room::Room;

const PATH: &str = "/api/v1/deployments/a";

async fn served() -> Room {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","engine":"echo","replicas":{"min":1}}"#).await.expect(202);
    reaches(&room, "complete", 1).await;
    room
}

async fn reaches(room: &Room, state: &str, revision: u64) -> Value {
    let is = |status: &Value| status["state"] == state && status["to"] == revision;
    room.until(&format!("{PATH}/rollout"), |answer| is(&answer.json())).await.json()
}

#[tokio::test]
async fn a_rollout_is_followed_paused_resumed_and_undone() {
    let room = served().await;
    let paused = room.ask("POST", &format!("{PATH}/rollout/pause"), "{}").await.expect(202);
    assert_eq!((&paused["paused"], &paused["state"]), (&json!(true), &json!("complete")), "nothing moves; what comes next will not");
    room.ask("PATCH", PATH, r#"{"parallel":2}"#).await.expect(202);
    let status = reaches(&room, "paused", 2).await;
    assert_eq!((&status["from"], &status["strategy"], &status["ready"]), (&json!(1), &json!("rolling"), &json!(0)));
    assert_eq!((&status["reason"]["code"], &room.get(PATH).await["status"]["rollout"]["state"]), (&json!("paused"), &json!("paused")));
    room.ask("POST", &format!("{PATH}/rollout/resume"), "{}").await.expect(202);
    reaches(&room, "complete", 2).await;
    let undone = room.ask("POST", &format!("{PATH}/rollout/undo"), "{}").await;
    assert_eq!(undone.header("etag"), "\"3\"");
    assert_eq!(undone.expect(202)["spec"]["parallel"], Value::Null);
    reaches(&room, "complete", 3).await;
    room.ask("POST", &format!("{PATH}/rollout/undo"), r#"{"to":2}"#).await.expect(202);
    reaches(&room, "complete", 4).await;
    let path = format!("{PATH}/revisions");
    let revisions = room.until(&path, |answer| answer.json()["items"][0]["status"] == "serving").await.json();
    let told: Vec<_> = revisions["items"].as_array().unwrap().iter().map(|one| (one["number"].as_u64(), one["cause"].as_str())).collect();
    assert_eq!(told[0], (Some(4), Some("an undo to revision 2 by token `ops`")));
    assert_eq!((told[2], told[3].0), ((Some(2), Some("a change by token `ops`")), Some(1)));
    let told = room.get(&format!("{PATH}/explain")).await;
    assert_eq!((&told["rollout"]["to"], &told["scaling"]["wanted"], &told["scaling"]["has"]), (&json!(4), &json!(1), &json!(1)));
}

#[tokio::test]
async fn what_cannot_be_done_to_a_rollout_is_refused_with_what_to_do() {
    let room = served().await;
    for (path, body, status, code) in [
        ("rollout/resume", "{}", 409, "conflict"),
        ("rollout/promote", "{}", 409, "conflict"),
        ("rollout/undo", "{}", 404, "no_revision"),
        ("rollout/undo", r#"{"to":7}"#, 404, "no_revision"),
        ("rollout/undo", r#"{"number":7}"#, 400, "bad_field"),
    ] {
        let refused = room.ask("POST", &format!("{PATH}/{path}"), body).await.expect(status);
        assert_eq!(refused["code"], code, "{path} {body}: {refused}");
        assert!(refused["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{refused}");
    }
    for path in ["rollout", "revisions"] {
        room.ask("GET", &format!("/api/v1/deployments/nobody/{path}"), "").await.expect(404);
    }
    room.ask("POST", "/api/v1/deployments/nobody/rollout/pause", "{}").await.expect(404);
    for (spec, field) in [
        (json!({"rollout": {"max_surge": 0}}), "rollout.max_surge"),
        (json!({"rollout": {"canary": {"weights": [50, 20]}}}), "rollout.canary.weights"),
        (json!({"replicas": {"target": {"concurrency": 0}}}), "replicas.target.concurrency"),
        (json!({"replicas": {"schedule": [{"from": "08:00", "to": "09:00"}]}}), "replicas.schedule[0]"),
    ] {
        let refused = room.ask("PATCH", PATH, &spec.to_string()).await.expect(400);
        assert!(refused.to_string().contains(field), "{refused}");
    }
    let refused = room.ask("PATCH", PATH, r#"{"rollout":{"strategy":"bluegreen"}}"#).await.expect(400);
    assert!(refused.to_string().contains("bluegreen"), "{refused}");
}

#[tokio::test]
async fn a_revision_that_went_back_says_why_and_can_be_tried_again() {
    let room = served().await;
    room.runtime.script(Script { refuse: Some((1, "error: bad word".into())), ..Script::default() });
    room.ask("PATCH", PATH, r#"{"context":128}"#).await.expect(202);
    let status = reaches(&room, "rolled_back", 2).await;
    assert_eq!((&status["failures"], &status["reason"]["code"]), (&json!(3), &json!("revision_failed")));
    assert!(status["reason"]["message"].as_str().unwrap().contains("bad word"), "{status}");
    let shown = room.get(PATH).await;
    assert_eq!((&shown["status"]["state"], &shown["status"]["revision"]), (&json!("ready"), &json!(1)));
    room.runtime.script(Script::default());
    room.ask("POST", &format!("{PATH}/rollout/resume"), "{}").await.expect(202);
    reaches(&room, "complete", 2).await;
}
