//! The life of a deployment, as its operator sees it.

use serde_json::{Value, json};

use super::room::Room;

const ECHO: &str = r#"{"name":"a","engine":"echo"}"#;

#[tokio::test]
async fn a_deployment_is_stored_and_answered_before_it_runs() {
    let room = Room::open().await;
    room.model("tiny.gguf");
    let body = r#"{"name":"qwen/tiny:1b","model":"file:tiny.gguf","context":512}"#;
    let answer = room.ask("POST", "/api/v1/deployments", body).await;
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("location"), "/api/v1/deployments/qwen%2Ftiny:1b");
    let made = answer.expect(202);
    assert_eq!(made["name"], "qwen/tiny:1b");
    assert_eq!(made["spec"]["context"], 512);
    assert_eq!(made["spec"]["replicas"], json!({"min": 0, "max": 1, "keep_alive": "5m"}));
    assert_eq!((&made["generation"], &made["status"]["origin"]), (&json!(1), &json!("api")));
    assert_eq!(made["created_at"], made["updated_at"]);
    let read = room.until_state("qwen%2Ftiny:1b", "cold").await;
    assert_eq!(read["spec"], made["spec"]);
    assert!(room.runtime.launches().is_empty(), "nothing was asked to start");
    let list = room.get("/api/v1/deployments").await;
    assert_eq!(list["items"][0]["name"], "qwen/tiny:1b");
}

#[tokio::test]
async fn the_generation_rises_with_the_wish_and_guards_it() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", ECHO).await.expect(202);
    let path = "/api/v1/deployments/a";
    let same = room.ask("PUT", path, ECHO).await;
    assert_eq!(same.header("etag"), "\"1\"", "the same wish again changes nothing");
    let changed = room.ask_with(&[("if-match", "\"1\"")], "PUT", path, r#"{"engine":"echo","parallel":2}"#).await;
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(changed.expect(202)["spec"]["parallel"], 2);
    let late = room.ask_with(&[("if-match", "\"1\"")], "PUT", path, ECHO).await;
    assert_eq!(late.expect(412)["code"], "stale_generation");
    let weak = room.ask_with(&[("if-match", "W/\"2\"")], "PUT", path, ECHO).await;
    assert_eq!(weak.expect(412)["code"], "stale_generation");
    room.ask_with(&[("if-match", "\"1\", \"2\"")], "PUT", path, ECHO).await.expect(202);
    let late = room.ask_with(&[("if-match", "\"2\"")], "DELETE", path, "").await;
    assert_eq!(late.expect(412)["code"], "stale_generation");
    let other = room.ask_with(&[("if-none-match", "*")], "PUT", "/api/v1/deployments/b", r#"{"engine":"echo"}"#).await;
    assert_eq!(other.expect(202)["name"], "b");
}

#[tokio::test]
async fn a_patch_merges_and_null_goes_back_to_the_default() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","engine":"echo","max_queue":7,"labels":{"team":"x","tier":"1"}}"#)
        .await
        .expect(202);
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = r#"{"replicas":{"max":3},"max_queue":null,"labels":{"tier":null}}"#;
    let changed = room.ask_with(&merge, "PATCH", "/api/v1/deployments/a", patch).await.expect(202);
    assert_eq!(changed["spec"]["replicas"], json!({"min": 0, "max": 3, "keep_alive": "5m"}));
    assert_eq!(changed["spec"]["max_queue"], 512);
    assert_eq!(changed["spec"]["labels"], json!({"team": "x"}));
    let refused = room.ask("PATCH", "/api/v1/deployments/a", r#"{"replicas":{"min":9}}"#).await.expect(400);
    assert_eq!(refused["problems"][0]["field"], "replicas");
    assert_eq!(room.get("/api/v1/deployments/a").await["generation"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_all_arrive() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", ECHO).await.expect(202);
    let bodies: Vec<String> = (0..50).map(|n| format!(r#"{{"labels":{{"n{n}":"x"}}}}"#)).collect();
    let asks = bodies.iter().map(|body| room.ask("PATCH", "/api/v1/deployments/a", body));
    for answer in futures_util::future::join_all(asks).await {
        answer.expect(202);
    }
    let read = room.get("/api/v1/deployments/a").await;
    assert_eq!(read["spec"]["labels"].as_object().unwrap().len(), 50);
    assert_eq!(read["generation"], 51);
}

#[tokio::test]
async fn load_unload_and_pin_are_operations() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", ECHO).await.expect(202);
    let answer = room.ask("POST", "/api/v1/deployments/a/load", "").await;
    let place = answer.header("location").to_owned();
    let operation = answer.expect(202);
    assert_eq!((&operation["kind"], &operation["target"]), (&json!("load"), &json!("a")));
    let over = room.until(&place, |answer| answer.json()["state"] != "running").await.json();
    assert_eq!(over["state"], "succeeded", "{over}");
    let ready = room.until_state("a", "ready").await;
    assert_eq!(ready["status"]["ready"], 1);
    let instance = room.get(&format!("/api/v1/instances/{}", ready["status"]["instances"][0].as_str().unwrap())).await;
    assert_eq!((&instance["deployment"], &instance["phase"]), (&json!("a"), &json!("ready")));
    let pinned = room.ask("POST", "/api/v1/deployments/a/pin", "").await.expect(202);
    assert_eq!((&pinned["kind"], &pinned["state"]), (&json!("pin"), &json!("succeeded")));
    assert_eq!(room.get("/api/v1/deployments/a").await["spec"]["pinned"], true);
    room.ask("POST", "/api/v1/deployments/a/unpin", "").await.expect(202);
    assert_eq!(room.get("/api/v1/deployments/a").await["spec"]["pinned"], false);
    room.ask("POST", "/api/v1/deployments/a/unload", "").await.expect(202);
    room.until_state("a", "cold").await;
    let all = room.get("/api/v1/operations").await;
    let kinds: Vec<&Value> = all["items"].as_array().unwrap().iter().map(|operation| &operation["kind"]).collect();
    assert_eq!(kinds, ["unload", "unpin", "pin", "load"]);
}

#[tokio::test]
async fn a_deleted_deployment_drains_and_is_gone() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","engine":"echo","replicas":{"min":1}}"#).await.expect(202);
    room.until_state("a", "ready").await;
    let going = room.ask("DELETE", "/api/v1/deployments/a", "").await.expect(202);
    assert_eq!(going["status"]["state"], "deleting");
    room.until("/api/v1/deployments/a", |answer| answer.status == 404).await;
    assert_eq!(room.runtime.alive(), 0);
    assert_eq!(room.get("/api/v1/deployments").await, json!({"items": []}));
    room.ask("POST", "/api/v1/deployments", ECHO).await.expect(202);
}

#[tokio::test]
async fn explain_and_revisions_tell_why_and_what_it_was() {
    let room = Room::open().await;
    room.model("tiny.gguf");
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"file:tiny.gguf"}"#).await.expect(202);
    room.until_state("a", "cold").await;
    let told = room.get("/api/v1/deployments/a/explain").await;
    assert_eq!((&told["state"], &told["reason"]["code"]), (&json!("cold"), &json!("idle")));
    let steps: Vec<(&str, &str)> =
        told["steps"].as_array().unwrap().iter().map(|step| (step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect();
    assert_eq!(steps[..5], [("resolve", "done"), ("fetch", "done"), ("verify", "done"), ("estimate", "done"), ("place", "open")]);
    assert!(told["memory"].as_u64().unwrap() > 0);
    room.ask("PATCH", "/api/v1/deployments/a", r#"{"context":256}"#).await.expect(202);
    let path = "/api/v1/deployments/a/revisions";
    let revisions = room.until(path, |answer| answer.json()["items"].as_array().unwrap().len() == 2).await.json();
    assert_eq!((&revisions["items"][0]["number"], &revisions["items"][0]["spec"]["context"]), (&json!(2), &json!(256)));
    assert_eq!(revisions["items"][1]["version"]["architecture"], "llama");
}

#[tokio::test]
async fn logs_come_as_text_or_as_events() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","engine":"echo","replicas":{"min":2,"max":2}}"#).await.expect(202);
    let path = "/api/v1/deployments/a";
    let both = room.until(path, |answer| answer.json()["status"]["ready"] == 2).await.json();
    let id = both["status"]["instances"][0].as_str().unwrap();
    let one = room.ask("GET", &format!("/api/v1/instances/{id}/logs?tail=5"), "").await;
    assert_eq!((one.header("content-type"), &one.text), ("text/plain; charset=utf-8", &format!("log of {id}\n")));
    let all = room.ask("GET", "/api/v1/deployments/a/logs", "").await.text;
    assert!(all.contains(&format!("{} | log of {id}\n", &id[..8])), "{all}");
    assert_eq!(all.lines().count(), 2);
    let events = room.ask_with(&[("accept", "text/event-stream")], "GET", &format!("/api/v1/instances/{id}/logs"), "").await;
    assert_eq!(events.text, format!("event: line\ndata: log of {id}\n\n"));
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let room = Room::open().await;
    for name in ["c", "a", "b"] {
        room.ask("PUT", &format!("/api/v1/deployments/{name}"), r#"{"engine":"echo"}"#).await.expect(202);
    }
    let names = |page: &Value| page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    let first = room.get("/api/v1/deployments?limit=2").await;
    assert_eq!((names(&first), &first["next"]), (vec![json!("a"), json!("b")], &json!("b")));
    let last = room.get("/api/v1/deployments?limit=2&after=b").await;
    assert_eq!((names(&last), &last["next"]), (vec![json!("c")], &Value::Null));
}

#[tokio::test]
async fn an_entry_of_the_config_stays_one_when_it_is_changed_here() {
    let room = Room::open().await;
    let spec: spec::Deployment = serde_json::from_str(ECHO).unwrap();
    room.parts.store.put_deployment(&spec, spec::deployment::Origin::Config, None).await.unwrap();
    let changed = room.ask("PATCH", "/api/v1/deployments/a", r#"{"parallel":2}"#).await.expect(202);
    assert_eq!((&changed["generation"], &changed["status"]["origin"]), (&json!(2), &json!("config")));
}

#[tokio::test]
async fn a_call_right_after_the_answer_finds_its_model() {
    let room = Room::open().await;
    room.ask("POST", "/api/v1/deployments", ECHO).await.expect(202);
    assert!(room.parts.board.table().deployments.contains_key("a"));
}
