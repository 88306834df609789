//! Routes through the front door of the operators: stored, published, refused.

use serde_json::json;

use super::room::Room;

async fn with_two() -> Room {
    let room = Room::open().await;
    for name in ["tiny", "tiny-b"] {
        room.ask("PUT", &format!("/api/v1/deployments/{name}"), r#"{"engine":"echo","replicas":{"min":1}}"#).await.expect(202);
        room.until_state(name, "ready").await;
    }
    room
}

#[tokio::test]
async fn a_route_is_stored_published_changed_and_deleted() {
    let room = with_two().await;
    let body = r#"{"name":"team/chat","targets":[{"deployment":"tiny","weight":9},{"deployment":"tiny-b"}],"fallback":["tiny"]}"#;
    let made = room.ask("POST", "/api/v1/routes", body).await;
    assert_eq!((made.header("etag"), made.header("location")), ("\"1\"", "/api/v1/routes/team%2Fchat"));
    let made = made.expect(201);
    assert_eq!(made["spec"]["affinity"], "none");
    let target = json!({"deployment": "tiny-b", "state": "ready", "share": 0.1, "ejected": false});
    assert_eq!((&made["status"]["targets"][1], &made["status"]["origin"]), (&target, &json!("api")));
    assert!(room.parts.board.find("team/chat").is_some(), "a call right after the answer finds it");
    let path = "/api/v1/routes/team%2Fchat";
    assert_eq!(room.ask("POST", "/api/v1/routes", body).await.expect(409)["code"], "name_taken");
    let changed = r#"{"targets":[{"deployment":"tiny"}],"affinity":"session"}"#;
    let stale = room.ask_with(&[("if-match", "\"7\"")], "PUT", path, changed).await.expect(412);
    assert_eq!(stale["code"], "stale_generation");
    let changed = room.ask_with(&[("if-match", "\"1\"")], "PUT", path, changed).await.expect(200);
    assert_eq!((&changed["generation"], &changed["spec"]["affinity"]), (&json!(2), &json!("session")));
    assert_eq!(room.get("/api/v1/routes").await["items"][0]["name"], "team/chat");
    let used = room.ask("DELETE", "/api/v1/deployments/tiny", "").await.expect(409);
    assert!(used["detail"].as_str().unwrap().contains("`team/chat`"), "{used}");
    room.ask("DELETE", path, "").await.expect(204);
    assert!(room.parts.board.find("team/chat").is_none());
    assert_eq!(room.ask("GET", path, "").await.expect(404)["hint"], "GET /api/v1/routes lists what there is");
    let told = room.until("/api/v1/events", |answer| answer.text.contains("route_deleted")).await;
    assert!(told.text.contains("route `team/chat` was created by token `ops`"), "{}", told.text);
}

#[tokio::test]
async fn a_route_that_cannot_be_is_refused_with_what_to_do() {
    let room = with_two().await;
    room.ask("PUT", "/api/v1/routes/chat", r#"{"targets":[{"deployment":"tiny"}]}"#).await.expect(200);
    for (body, what, hint) in [
        (r#"{"name":"x","targets":[{"deployment":"tinny"}]}"#, "there is no deployment `tinny`", "did you mean `tiny`?"),
        (r#"{"name":"x","targets":[]}"#, "a route needs a deployment", "add targets"),
        (r#"{"name":"tiny","targets":[{"deployment":"tiny"}]}"#, "`tiny` is the name of a deployment", "a name of its own"),
        (r#"{"name":"x","targets":[{"deployment":"chat"}]}"#, "`chat` is a route", "a fallback may be a route"),
        (r#"{"name":"chat","targets":[{"deployment":"tiny"}],"fallback":["chat"]}"#, "cannot stand in for itself", "out of its own"),
        (r#"{"name":"x","target":"tiny"}"#, "unknown field `target`", "did you mean `targets`?"),
    ] {
        let refused = room.ask("POST", "/api/v1/routes", body).await.expect(400);
        let text = refused.to_string();
        assert!(text.contains(what) && text.contains(hint), "{body}: {text}");
    }
    let back = r#"{"engine":"echo","fallback":["chat"]}"#;
    let circle = room.ask("PUT", "/api/v1/deployments/tiny", back).await.expect(400);
    assert!(circle["detail"].as_str().unwrap().contains("`chat` leads back to `tiny`"), "{circle}");
    let taken = room.ask("PUT", "/api/v1/deployments/chat", r#"{"engine":"echo"}"#).await.expect(400);
    assert!(taken["detail"].as_str().unwrap().contains("name of a route"), "{taken}");
}
