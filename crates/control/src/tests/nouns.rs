//! Models, tokens, nodes, usage: the smaller nouns.

use base::Timestamp;
use serde_json::{Value, json};
use spec::{Ending, Usage};

use super::room::Room;

#[tokio::test]
async fn a_model_is_registered_read_and_forgotten() {
    let room = Room::open().await;
    let path = room.model("tiny.gguf");
    let body = json!({"name": "org/tiny", "source": format!("file:{path}")}).to_string();
    let answer = room.ask("POST", "/api/v1/models", &body).await;
    assert_eq!(answer.header("location"), "/api/v1/models/org%2Ftiny");
    let made = answer.expect(201);
    assert_eq!(made["spec"]["source"], format!("file:{path}"));
    assert_eq!(made["status"]["versions"][0]["architecture"], "llama");
    assert_eq!(made["status"]["tags"]["latest"], made["status"]["versions"][0]["digest"]);
    assert_eq!(room.get("/api/v1/models/org%2Ftiny").await, made);
    assert_eq!(room.get("/api/v1/models").await["items"], json!([made]));
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"org/tiny"}"#).await.expect(202);
    let used = room.ask("DELETE", "/api/v1/models/org%2Ftiny", "").await.expect(409);
    assert_eq!((&used["code"], &used["detail"]), (&json!("in_use"), &json!("model `org/tiny` is used by `a`")));
    room.ask("DELETE", "/api/v1/deployments/a", "").await.expect(202);
    room.until("/api/v1/deployments/a", |answer| answer.status == 404).await;
    room.ask("DELETE", "/api/v1/models/org%2Ftiny", "").await.expect(204);
    room.ask("GET", "/api/v1/models/org%2Ftiny", "").await.expect(404);
}

#[tokio::test]
async fn a_token_is_shown_once_works_at_once_and_can_be_taken_back() {
    let room = Room::open().await;
    let body = r#"{"name":"second","project":"p","scopes":["admin"],"limits":{"concurrency":3}}"#;
    let answer = room.ask("POST", "/api/v1/tokens", body).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let made = answer.expect(201);
    let secret = made["token"].as_str().unwrap().to_owned();
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("psk_") && secret.starts_with(made["prefix"].as_str().unwrap()));
    let bearer = format!("Bearer {secret}");
    let with_it = room.ask_with(&[("authorization", &bearer)], "GET", "/api/v1/tokens", "").await;
    assert!(!with_it.text.contains(&secret) && !with_it.text.contains("hash"), "{}", with_it.text);
    assert_eq!(with_it.expect(200)["items"].as_array().unwrap().len(), 3);
    let path = format!("/api/v1/tokens/{id}");
    let changed = room.ask("PATCH", &path, r#"{"project":null,"scopes":["inference"]}"#).await.expect(200);
    assert_eq!(
        (&changed["project"], &changed["scopes"], &changed["limits"]),
        (&Value::Null, &json!(["inference"]), &json!({"concurrency": 3}))
    );
    room.ask_with(&[("authorization", &bearer)], "GET", "/api/v1/tokens", "").await.expect(403);
    room.ask("DELETE", &path, "").await.expect(204);
    room.ask_with(&[("authorization", &bearer)], "GET", "/api/v1/tokens", "").await.expect(401);
    room.ask("GET", &path, "").await.expect(404);
}

#[tokio::test]
async fn the_last_token_that_may_operate_stays() {
    let room = Room::open().await;
    let tokens = room.get("/api/v1/tokens").await;
    let admin = tokens["items"].as_array().unwrap().iter().find(|token| token["scopes"] == json!(["admin"])).unwrap();
    let refused = room.ask("DELETE", &format!("/api/v1/tokens/{}", admin["id"].as_str().unwrap()), "").await.expect(409);
    assert!(refused["hint"].as_str().unwrap().contains("admin"), "{refused}");
}

#[tokio::test]
async fn no_answer_and_no_event_shows_a_secret() {
    let room = Room::open().await;
    let made = room.ask("POST", "/api/v1/tokens", r#"{"name":"t","scopes":["inference"]}"#).await.expect(201);
    let secret = made["token"].as_str().unwrap();
    let told = room.until("/api/v1/events", |answer| answer.text.contains("token_created")).await;
    assert!(!told.text.contains(secret));
}

#[tokio::test]
async fn nodes_and_status_tell_what_is_held() {
    let room = Room::open().await;
    room.ask("PUT", "/api/v1/deployments/a", r#"{"engine":"echo","replicas":{"min":1}}"#).await.expect(202);
    room.until_state("a", "ready").await;
    let nodes = room.get("/api/v1/nodes").await;
    assert_eq!(nodes["items"][0]["devices"][0]["total"], 4_u64 << 30);
    let status = room.get("/api/v1/status").await;
    assert_eq!(
        (&status["deployments"], &status["ready"], &status["instances"], &status["loads_total"]),
        (&json!(1), &json!(1), &json!(1), &json!(1))
    );
    assert_eq!(status["memory_used"], nodes["items"][0]["used"]);
}

#[tokio::test]
async fn usage_is_summed_within_a_span_of_time() {
    let room = Room::open().await;
    let row = |id: &str, at: &str, ending| Usage {
        request_id: id.into(),
        at: at.parse::<Timestamp>().unwrap(),
        token: None,
        project: None,
        model: "a".into(),
        operation: "chat".into(),
        status: 200,
        ending,
        prompt_tokens: 10,
        completion_tokens: 5,
        estimated: false,
        duration_ms: 1,
        first_byte_ms: None,
    };
    let rows = [
        row("1", "2026-01-01T10:00:00Z", Ending::Completed),
        row("2", "2026-01-01T11:00:00Z", Ending::Cancelled),
        row("3", "2026-01-03T11:00:00Z", Ending::Completed),
    ];
    room.parts.store.append_usage(&rows).await.unwrap();
    let sums = room.get("/api/v1/usage?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&group_by=model").await;
    assert_eq!(sums, json!({"items": [{"model": "a", "calls": 2, "completed": 1, "prompt_tokens": 20, "completion_tokens": 10}]}));
    assert_eq!(room.get("/api/v1/usage").await, json!({"items": []}), "the last day by default");
}
