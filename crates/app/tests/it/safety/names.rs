//! A name may come to mean another model. Nobody takes over what another project's name means, and no name becomes a way to another
//! project's model.

use app::serve::House;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::stage::{Stage, stop, tiny, until};

const CONFIG: &str = "models_dir: ./models\ndeployments:\n  - { name: waits, model: later, replicas: { min: 1 } }\n";

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Reply {
    client.ask(method, &format!("/api/v1/{path}"), body.to_string().into()).await
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    serde_json::from_str(&reply.text).unwrap_or_default()
}

/// The admin, a developer of project `red`, one of project `blue`; in the folder of models lies `tiny.gguf`, beside it two others.
async fn opened(stage: &Stage) -> (House, Client, [Client; 2]) {
    let folder = stage.folder().join("models");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (number, name) in ["models/tiny.gguf", "models/of-red.gguf", "models/of-blue.gguf"].iter().enumerate() {
        let mut bytes = std::fs::read(tiny()).expect("the small model");
        bytes.resize(bytes.len() + 32 * number, 0);
        std::fs::write(stage.folder().join(name), bytes).expect("a model");
    }
    let house = stage.house(CONFIG).await;
    let admin = stage.client(&house);
    let mut people = Vec::new();
    for (name, project) in [("rita", "red"), ("bob", "blue")] {
        done(admin.post("/api/v1/projects", &json!({"name": project})).await, 201);
        let user = json!({"name": name, "projects": {project: ["developer"]}});
        let made = done(admin.post("/api/v1/users", &user).await, 201);
        let token = json!({"name": name, "scopes": ["admin"], "owner": made["id"]});
        people.push(admin.with_token(done(admin.post("/api/v1/tokens", &token).await, 201)["token"].as_str()));
    }
    (house, admin, people.try_into().expect("two"))
}

/// A model of this project, of its file.
fn model(name: &str, project: &str, tags: &[&str]) -> Value {
    json!({"name": name, "source": format!("file:models/of-{project}.gguf"), "project": project, "tags": tags})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_others_answer_to_is_taken_by_who_runs_the_server() {
    let stage = Stage::new();
    let (house, admin, [rita, bob]) = opened(&stage).await;
    for made in [model("foo:v1", "red", &[]), model("bar", "red", &["v1"])] {
        done(rita.post("/api/v1/models", &made).await, 201);
    }
    let refused = |reply: Reply| {
        let said = done(reply, 409);
        assert!(said["hint"].as_str().is_some_and(|hint| hint.contains("another name")), "{said}");
    };
    for name in ["foo", "bar:v1", "bar:v2", "tiny", "tiny.gguf", "tiny:latest"] {
        refused(bob.post("/api/v1/models", &model(name, "blue", &["v1"])).await);
        let sent = json!({"files": [{"name": "m.gguf", "digest": registry::Digest::of(b"").to_string()}], "card": {"project": "blue"}});
        refused(bob.post(&format!("/api/v1/models/{name}/versions"), &sent).await);
    }
    for name in ["food", "bart:v2", "tiny:v1"] {
        done(bob.post("/api/v1/models", &model(name, "blue", &[])).await, 201);
    }
    done(admin.post("/api/v1/models", &model("bar:v2", "blue", &[])).await, 201);
    refused(rita.post("/api/v1/models", &model("bar", "red", &["v2"])).await);
    let target = json!({"version": "v1"});
    refused(ask(&rita, Method::PUT, "models/bar/tags/v2", &target).await);
    done(ask(&rita, Method::PUT, "models/bar/tags/v3", &target).await, 200);
    done(ask(&admin, Method::PUT, "models/bar/tags/v2", &target).await, 200);
    stop(house).await;
}

/// The digests of a deployment's revisions, the newest first, once it has one.
async fn digests(client: &Client, name: &str) -> Vec<String> {
    until("it is frozen", async || {
        let listed = client.get(&format!("/api/v1/deployments/{name}/revisions")).await.json();
        let all: Vec<String> = listed["items"].as_array()?.iter().filter_map(|one| Some(one["digest"].as_str()?.to_owned())).collect();
        (!all.is_empty()).then_some(all)
    })
    .await
}

/// Why it is as it is.
async fn reason(client: &Client, name: &str) -> Value {
    client.get(&format!("/api/v1/deployments/{name}")).await.json()["status"]["reason"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_does_not_follow_its_name_to_the_model_of_another_project() {
    let stage = Stage::new();
    let (house, admin, [rita, bob]) = opened(&stage).await;
    done(rita.post("/api/v1/models", &model("foo:v1", "red", &[])).await, 201);
    done(rita.post("/api/v1/models", &model("lent", "red", &[])).await, 201);
    done(bob.post("/api/v1/models", &model("secret:prod", "blue", &[])).await, 201);
    let wishes = [(&rita, "first", "foo:v1", "red"), (&rita, "file", "tiny", "red"), (&bob, "spy", "secret:prod", "blue")];
    let mut before = Vec::new();
    for (who, name, model, project) in wishes {
        done(ask(who, Method::POST, "deployments", &json!({"name": name, "model": model, "project": project})).await, 202);
        before.push(digests(&admin, name).await);
    }
    done(admin.post("/api/v1/deployments", &json!({"name": "guest", "model": "lent", "project": "blue"})).await, 202);
    digests(&admin, "guest").await;

    for taken in [model("foo", "blue", &["v1"]), model("tiny", "blue", &[]), model("secret", "red", &["prod"]), model("later", "blue", &[])]
    {
        done(admin.post("/api/v1/models", &taken).await, 201);
    }
    for (number, (who, name, model, _)) in wishes.into_iter().enumerate() {
        let told = async || admin.get("/api/v1/events").await.text.contains(&format!("`{name}` stays at revision 1")).then_some(());
        until("it is told", told).await;
        let rollout = admin.get(&format!("/api/v1/deployments/{name}/rollout")).await.json();
        assert!(rollout["reason"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("another model")), "{rollout}");
        let change = ask(who, Method::PATCH, &format!("deployments/{name}"), &json!({"max_queue": 7})).await;
        assert_eq!(change.status, 404, "{model}: {}", change.text);
        assert_eq!(digests(&admin, name).await, before[number], "{model}");
    }
    let is_told = async || reason(&admin, "waits").await["message"].as_str()?.contains("of another project").then_some(());
    until("its first meaning is not let to it", is_told).await;
    done(rita.post("/api/v1/models", &json!({"name": "lent", "source": "file:tiny.gguf"})).await, 201);
    until("what is let to it is followed", async || (digests(&admin, "guest").await.len() == 2).then_some(())).await;

    stop(house).await;
    let house = stage.house(CONFIG).await;
    let admin = stage.client(&house);
    for (number, (_, name, ..)) in wishes.into_iter().enumerate() {
        until("it is found again", async || (reason(&admin, name).await["code"] == "idle").then_some(())).await;
        assert_eq!(digests(&admin, name).await, before[number], "{name}");
    }
    stop(house).await;
}
