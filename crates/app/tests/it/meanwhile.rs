//! Pulls take hours, and the world goes on: a name is taken, a model is spoken of anew. What was allowed when a pull began is held against what is
//! there when it ends.

use hyper::Method;
use serde_json::{Value, json};
use testkit::FileHost;

use crate::client::{Client, Reply};
use crate::pulls::{cdn, config, hub};
use crate::stage::{Stage, stop, tiny, until};

/// So slow that whatever happens meanwhile has happened long before its end, and not so slow that the line is given up.
pub(crate) const HARDLY: u64 = 48 << 10;

#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    reply.json()
}

/// Begins a pull and waits until bytes come; the path of its operation.
async fn begun(client: &Client, wanted: &Value) -> String {
    let begun = done(client.post("/api/v1/models", wanted).await, 202);
    let path = format!("/api/v1/operations/{}", begun["id"].as_str().expect("an id"));
    until("bytes come", async || (client.get(&path).await.json()["transfer"]["done"].as_u64() > Some(0)).then_some(())).await;
    path
}

/// What has happened was meanwhile: the rest comes at once.
fn hurry(host: &FileHost) {
    host.change(&cdn(), |file| file.rate = None);
}

async fn ended(client: &Client, path: &str) -> Value {
    until("the pull has ended", async || {
        let operation = client.get(path).await.json();
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_of_one_project_brings_nothing_to_a_name_that_another_has_taken_meanwhile() {
    let stage = Stage::new();
    let host = hub(Some(HARDLY)).await;
    let house = stage.house(&config(&host)).await;
    let admin = stage.client(&house);
    for name in ["a", "b"] {
        done(admin.post("/api/v1/projects", &json!({"name": name})).await, 201);
    }
    let made = done(admin.post("/api/v1/users", &json!({"name": "ann", "projects": {"a": ["developer"]}})).await, 201);
    let token = done(admin.post("/api/v1/tokens", &json!({"name": "ann", "scopes": ["admin"], "owner": made["id"]})).await, 201);
    let ann = admin.with_token(token["token"].as_str());
    let pull = begun(&ann, &json!({"name": "m", "source": "hf:me/capitals-GGUF", "project": "a"})).await;
    let theirs = json!({"name": "m", "source": format!("file:{}", tiny()), "project": "b", "licence": "ours"});
    done(admin.post("/api/v1/models", &theirs).await, 201);
    hurry(&host);
    let operation = ended(&admin, &pull).await;
    assert_eq!((&operation["state"], &operation["reason"]["code"]), (&json!("failed"), &json!("superseded")), "{operation}");
    assert!(operation["reason"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("another name")), "{operation}");
    let model = done(admin.get("/api/v1/models/m").await, 200);
    assert_eq!((&model["spec"]["project"], &model["spec"]["licence"]), (&json!("b"), &json!("ours")), "{model}");
    assert_eq!(model["status"]["versions"].as_array().map(Vec::len), Some(1), "{model}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_pull_that_runs_is_given_it_or_told_that_something_else_is_said_of_it() {
    let stage = Stage::new();
    let host = hub(Some(HARDLY)).await;
    let house = stage.house(&config(&host)).await;
    let client = stage.client(&house);
    let wanted = json!({"name": "m", "source": "hf:me/capitals-GGUF", "tags": ["v1"], "licence": "mit"});
    let with = |key: &str, value: Value| {
        let mut other = wanted.clone();
        other[key] = value;
        other
    };
    let pull = begun(&client, &wanted).await;
    let again = done(client.post("/api/v1/models", &wanted).await, 202);
    assert!(pull.ends_with(again["id"].as_str().expect("an id")), "{pull}: {again}");
    let others =
        [with("tags", json!(["v1", "v2"])), with("licence", json!("bsd")), with("note", json!("mine")), with("format", json!("gguf"))];
    for other in &others {
        let refused = done(client.post("/api/v1/models", other).await, 409);
        let id = pull.rsplit('/').next().expect("an id");
        assert!(refused.to_string().contains(id), "which one it is about: {refused}");
    }
    hurry(&host);
    assert_eq!(ended(&client, &pull).await["state"], "succeeded");
    let next = done(client.post("/api/v1/models", &others[0]).await, 202);
    let next = format!("/api/v1/operations/{}", next["id"].as_str().expect("an id"));
    assert_eq!(ended(&client, &next).await["state"], "succeeded", "its turn");
    let model = done(client.get("/api/v1/models/m").await, 200);
    assert!(model["status"]["tags"]["v1"].is_string() && model["status"]["tags"]["v2"].is_string(), "{model}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pulls_much_leaves_room_for_others() {
    let stage = Stage::new();
    let host = hub(None).await;
    // None of them comes to its end.
    host.change(&cdn(), |file| file.rate = Some(HARDLY));
    let house = stage.house(&config(&host)).await;
    let admin = stage.client(&house);
    let made = done(admin.post("/api/v1/users", &json!({"name": "ann", "roles": ["developer"]})).await, 201);
    let tokens = [
        json!({"name": "one", "scopes": ["admin"], "owner": made["id"]}),
        json!({"name": "two", "scopes": ["admin"], "owner": made["id"]}),
    ];
    let mut anns = Vec::new();
    for token in &tokens {
        anns.push(admin.with_token(done(admin.post("/api/v1/tokens", token).await, 201)["token"].as_str()));
    }
    let wanted = |number: usize| json!({"name": format!("m{number}"), "source": "hf:me/capitals-GGUF"});
    for number in 0..8 {
        done(anns[number % 2].post("/api/v1/models", &wanted(number)).await, 202);
    }
    for ann in &anns {
        let refused = done(ann.post("/api/v1/models", &wanted(8)).await, 429);
        assert!(refused["detail"].as_str().is_some_and(|words| words.contains("8 pulls")), "{refused}");
    }
    done(anns[0].post("/api/v1/models", &wanted(0)).await, 202); // the one that runs
    done(admin.post("/api/v1/models", &wanted(9)).await, 202);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_of_a_model_while_a_version_is_pulled_stays_changed() {
    let stage = Stage::new();
    let host = hub(Some(HARDLY)).await;
    let house = stage.house(&config(&host)).await;
    let client = stage.client(&house);
    done(client.post("/api/v1/models", &json!({"name": "m", "source": format!("file:{}", tiny()), "description": "first"})).await, 201);
    let pull = begun(&client, &json!({"name": "m", "source": "hf:me/capitals-GGUF", "licence": "mit"})).await;
    done(client.ask(Method::PATCH, "/api/v1/models/m", json!({"description": "second"}).to_string().into()).await, 200);
    hurry(&host);
    assert_eq!(ended(&client, &pull).await["state"], "succeeded");
    let spec = done(client.get("/api/v1/models/m").await, 200)["spec"].clone();
    assert_eq!((&spec["description"], &spec["licence"]), (&json!("second"), &json!("mit")), "{spec}");
    assert_eq!(spec["source"], "hf:me/capitals-GGUF", "{spec}");
    stop(house).await;
}
