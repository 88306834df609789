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
async fn a_project_is_made_changed_used_and_removed() {
    let room = Room::open().await;
    let body = r#"{"name":"team/red","limits":{"concurrency":3},"budget":{"tokens_per_day":1000,"usd_per_month":12.5}}"#;
    let made = room.ask("POST", "/api/v1/projects", body).await.expect(201);
    assert_eq!((&made["limits"], &made["budget"]["usd_per_month"]), (&json!({"concurrency": 3}), &json!(12.5)));
    assert_eq!(made["usage"]["budget"]["tokens_per_day"]["limit"], 1000);
    assert_eq!(room.ask("POST", "/api/v1/projects", body).await.expect(409)["code"], "conflict");
    let of_it = r#"{"name":"t","project":"team/red","budget":{"usd_per_hour":0.5}}"#;
    let token = room.ask("POST", "/api/v1/tokens", of_it).await.expect(201);
    assert_eq!((&token["budget"], &token["usage"]["running"]), (&json!({"usd_per_hour": 0.5}), &json!(0)));
    let path = "/api/v1/projects/team%2Fred";
    let used = room.ask("DELETE", path, "").await.expect(409);
    assert_eq!(used["detail"], "project `team/red` still has 1 token", "{used}");
    let changed = room.ask("PATCH", path, r#"{"description":"who paints","limits":{}}"#).await.expect(200);
    assert_eq!((&changed["limits"], &changed["budget"]["tokens_per_day"]), (&json!({}), &json!(1000)));
    assert_eq!(room.ask("PUT", path, r#"{"limits":{"tokens_per_minute":9}}"#).await.expect(200)["budget"], json!({}));
    room.ask("PUT", "/api/v1/projects/blue", r#"{"description":"who swims"}"#).await.expect(201);
    let listed = room.get("/api/v1/projects").await;
    let names: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["blue", "team/red"]);
    for (method, body) in [
        ("PUT", r#"{"name":"green"}"#),
        ("PUT", r#"{"budget":{"tokens_per_day":0}}"#),
        ("PATCH", r#"{"budget":{"usd_per_day":-1}}"#),
        ("PATCH", r#"{"limit":{}}"#),
    ] {
        room.ask(method, path, body).await.expect(400);
    }
    room.ask("DELETE", &format!("/api/v1/tokens/{}", token["id"].as_str().unwrap()), "").await.expect(204);
    room.ask("DELETE", path, "").await.expect(204);
    room.ask("GET", path, "").await.expect(404);
    let told = room.until("/api/v1/events", |answer| answer.text.contains("project_deleted")).await;
    assert!(told.text.contains("project `team/red` was removed"), "{}", told.text);
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
async fn a_master_key_for_which_the_disk_has_no_room_is_507_and_stays_as_it_is() {
    let room = Room::open().await;
    let (key, beside) = (room.dir.path().join("master-key"), room.dir.path().join("master-key.new"));
    let before = std::fs::read_to_string(&key).unwrap();
    std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
    let refused = room.ask("POST", "/api/v1/master-key/rotate", "").await.expect(507);
    assert!(refused["hint"].as_str().unwrap().contains("free some space"), "{refused}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), before);
    std::fs::remove_file(&beside).unwrap();
    room.ask("POST", "/api/v1/master-key/rotate", "").await.expect(200);
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
async fn memory_is_set_aside_counted_refused_with_the_numbers_and_given_back() {
    let room = Room::open().await;
    let nodes = room.get("/api/v1/nodes").await;
    let name = nodes["items"][0]["name"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/nodes/{name}/allocations");
    let answer = room.ask("POST", &path, r#"{"bytes":"3GiB","holder":"training","expires":"1h"}"#).await;
    let place = answer.header("location").to_owned();
    let made = answer.expect(201);
    assert_eq!((&made["device"], &made["bytes"], &made["holder"]), (&json!("ram"), &json!(3_u64 << 30), &json!("training")));
    assert_eq!(place, format!("{path}/{}", made["id"].as_str().unwrap()));
    assert_eq!(room.get(&path).await["items"], json!([made]));
    let more = room.ask("POST", &path, r#"{"bytes":2147483648,"holder":"more"}"#).await.expect(409);
    assert_eq!(
        (&more["code"], &more["detail"]),
        (&json!("no_room"), &json!("2.00 GiB are more than the 1.00 GiB that are free of `ram` now"))
    );
    let most = room.ask("POST", &path, r#"{"bytes":"5GiB","holder":"most"}"#).await.expect(507);
    assert_eq!(most["code"], "does_not_fit");
    for (path, body, status) in [
        ("/api/v1/nodes/nowhere/allocations", r#"{"bytes":1,"holder":"a"}"#, 404),
        (path.as_str(), r#"{"bytes":1,"holder":"a","device":"cuda:7"}"#, 404),
        (path.as_str(), r#"{"bytes":0,"holder":"a"}"#, 400),
        (path.as_str(), r#"{"bytes":1,"holder":" "}"#, 400),
        (path.as_str(), r#"{"bytes":1,"holder":"a","expires":"yesterday"}"#, 400),
        (path.as_str(), r#"{"bytes":1,"holder":"a","for":"b"}"#, 400),
    ] {
        room.ask("POST", path, body).await.expect(status);
    }
    let shown = room.until(&format!("/api/v1/nodes/{name}"), |answer| answer.text.contains("training")).await.expect(200);
    assert_eq!((&shown["devices"][0]["allocated"], &shown["devices"][0]["available"]), (&json!(3_u64 << 30), &json!(1_u64 << 30)));
    room.ask("DELETE", &place, "").await.expect(204);
    room.ask("DELETE", &place, "").await.expect(404);
    room.ask("POST", &path, r#"{"bytes":2147483648,"holder":"more","expires":"50ms"}"#).await.expect(201);
    room.until(&path, |answer| !answer.text.contains("more")).await;
    let told = room.until("/api/v1/events", |answer| answer.text.matches("allocation_released").count() == 2).await;
    assert!(told.text.contains("2.00 GiB of ram"), "{}", told.text);
}

fn call(id: &str, at: &str, ending: Ending) -> Usage {
    Usage {
        request_id: id.into(),
        at: at.parse::<Timestamp>().unwrap(),
        token: Some("t1".into()),
        project: Some("say \"hi\", all".into()),
        model: "a".into(),
        deployment: Some("a".into()),
        operation: "chat".into(),
        status: 200,
        ending,
        prompt_tokens: 10,
        cached_tokens: 4,
        completion_tokens: 5,
        cost: spec::Usd(1_500_000),
        duration_ms: 7,
        ..Usage::default()
    }
}

async fn room_with_calls() -> Room {
    let room = Room::open().await;
    let calls = [
        call("1", "2026-01-01T10:00:00Z", Ending::Completed),
        call("2", "2026-01-01T11:00:00Z", Ending::Cancelled),
        call("3", "2026-01-03T11:00:00Z", Ending::Completed),
    ];
    room.parts.store.book_calls(1, 0, &calls).await.unwrap();
    room
}

#[tokio::test]
async fn usage_is_summed_within_a_span_of_time() {
    let room = room_with_calls().await;
    let sums = room.get("/api/v1/usage?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&group_by=model").await;
    insta::assert_json_snapshot!(sums);
    assert_eq!(room.get("/api/v1/usage?from=2026-01-01&to=2026-01-02").await, sums, "days are times, and the model is the usual group");
    assert_eq!(room.get("/api/v1/usage").await, json!({"items": []}), "the last day by default");
    let all = room.get("/api/v1/usage?from=2026-01-01&group_by=").await;
    assert_eq!((&all["items"][0]["calls"], &all["items"][0]["cost_usd"]), (&json!(3), &json!(0.0045)));
}

#[tokio::test]
async fn usage_comes_as_csv_to_who_asks_for_it() {
    let room = room_with_calls().await;
    let path = "/api/v1/usage?from=2026-01-01&to=2026-01-04&group_by=day,project,ending";
    let told = room.ask("GET", &format!("{path}&format=csv"), "").await;
    assert_eq!(told.header("content-type"), "text/csv; charset=utf-8; header=present");
    insta::assert_snapshot!(told.text.replace("\r\n", "\n"));
    let accepts = room.ask_with(&[("accept", "text/csv;q=0.9, */*")], "GET", path, "").await;
    assert_eq!(accepts.text, told.text);
}

#[tokio::test]
async fn single_calls_are_listed_a_page_at_a_time() {
    let room = room_with_calls().await;
    let page = room.get("/api/v1/usage/calls?from=2026-01-01&limit=2").await;
    insta::assert_json_snapshot!(page["items"][0]);
    let next = page["next"].as_str().unwrap();
    let rest = room.get(&format!("/api/v1/usage/calls?from=2026-01-01&limit=2&after={next}")).await;
    assert_eq!((&rest["items"][0]["request_id"], &rest["next"]), (&json!("3"), &Value::Null));
    let one = room.get("/api/v1/usage/calls?from=2026-01-01&request_id=2").await;
    assert_eq!((one["items"].as_array().unwrap().len(), &one["items"][0]["ending"]), (1, &json!("cancelled")));
}
