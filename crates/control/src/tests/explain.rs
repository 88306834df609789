//! Why things are as they are, and what would be.

use serde_json::{Value, json};

use super::room::Room;
use crate::view;

const MIB: u64 = 1 << 20;

async fn deploy(room: &Room, name: &str, more: Value) {
    let mut body = json!({"name": name, "model": format!("file:{}", room.model("tiny.gguf"))});
    crate::json::merge(&mut body, more);
    room.ask("POST", "/api/v1/deployments", &body.to_string()).await.expect(202);
}

#[tokio::test]
async fn one_that_nobody_asks_for_says_where_it_would_go_and_nothing_is_started_by_asking() {
    let room = Room::open().await;
    deploy(&room, "tiny", json!({})).await;
    let explained = room.until("/api/v1/deployments/tiny/explain", |answer| answer.json()["next"].is_object()).await.json();
    let next: view::Trial = serde_json::from_value(explained["next"].clone()).unwrap();
    assert_eq!((next.verdict.as_str(), next.leave.len(), next.grant.shares.len()), ("fits", 0, 1));
    assert_eq!(next.grant.shares.iter().map(|share| share.bytes).sum::<u64>(), next.memory);
    assert_eq!((explained["scaling"]["wanted"].as_u64(), explained["instances"].as_array().unwrap().len()), (Some(0), 0));
    let because = &explained["scaling"]["because"][0];
    assert_eq!((&because["code"], &because["message"]), (&json!("idle"), &json!("nobody has asked for it")), "{explained}");
    assert_eq!(room.get("/api/v1/instances").await["items"].as_array().unwrap().len(), 0);
    room.ask("POST", "/api/v1/deployments/tiny/load", "").await.expect(202);
    room.until_state("tiny", "ready").await;
    let explained = room.get("/api/v1/deployments/tiny/explain").await;
    assert_eq!(explained["instances"][0]["cause"], json!({"kind": "hand"}), "{explained}");
    let events = room.get("/api/v1/events?deployment=tiny").await;
    let of = |kind: &str| events["items"].as_array().unwrap().iter().find(|event| event["kind"] == kind).unwrap().clone();
    for kind in ["deployment_created", "load_asked"] {
        assert_eq!((of(kind)["cause"]["kind"].as_str(), of(kind)["cause"]["token"].as_str()), (Some("api"), Some("ops")), "{events}");
    }
}

#[tokio::test]
async fn what_would_fit_is_answered_for_files_for_deployments_and_for_what_is_wrong() {
    let room = Room::open().await;
    let file = format!("file:{}", room.model("tiny.gguf"));
    let small = room.ask("POST", "/api/v1/fit", &json!({"model": file, "context": 256}).to_string()).await.expect(200);
    let large = room.ask("POST", "/api/v1/fit", &json!({"model": file, "context": 256, "parallel": 64}).to_string()).await.expect(200);
    assert_eq!((small["verdict"].as_str(), small["measured"].as_bool()), (Some("fits"), Some(false)));
    assert!(large["memory"].as_u64() > small["memory"].as_u64(), "more calls at once take more: {large}");
    deploy(&room, "tiny", json!({"context": 256})).await;
    let same = room.ask("POST", "/api/v1/fit", &json!({"name": "tiny"}).to_string()).await.expect(200);
    assert_eq!(same["memory"], small["memory"]);
    let other = room.ask("POST", "/api/v1/fit", &json!({"name": "tiny", "parallel": 64}).to_string()).await.expect(200);
    assert_eq!(other["memory"], large["memory"]);
    for (body, status) in [(json!({"model": "file:/nowhere.gguf"}), 422), (json!({"model": file, "contxt": 1}), 400), (json!([]), 422)] {
        let refused = room.ask("POST", "/api/v1/fit", &body.to_string()).await;
        assert!(refused.status.is_client_error(), "{status}: {}", refused.text);
        assert!(refused.json()["hint"].is_string() || refused.json()["problems"].is_array(), "{}", refused.text);
    }
    assert_eq!(room.get("/api/v1/deployments").await["items"].as_array().unwrap().len(), 1, "nothing is stored");
    let too_much = room.ask("POST", "/api/v1/fit", &json!({"model": file, "context": 1_000_000, "parallel": 64}).to_string()).await;
    if too_much.status.is_success() {
        let never = too_much.json();
        assert_eq!(never["verdict"], "never", "{never}");
        assert!(never["reason"]["facts"]["need_bytes"].as_u64() > Some(4096 * MIB) && never["reason"]["remedy"].is_string(), "{never}");
    }
}
