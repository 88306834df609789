//! The day of a user: logs in at the identity provider, makes a token, calls the model, meets the limit, sees what was used; and an
//! administrator takes the token back. Once by the API with a browser, of a model that the administrator has brought in the same house before; once
//! from a terminal.

use std::process::Stdio;

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::Scene;
use crate::client::Client;
use crate::process::penstock;
use crate::stage::{PATIENCE, Stage, stop, tiny, until};

const WORDS: &str = "one two three";

/// From a file to a route: a model with what is said of it, a look at the devices, a service of that version with its limits, and the name that callers use.
async fn administrator_brings_a_model(admin: &Client) {
    let done = async |path: &str, body: Value, status: u16| {
        let reply = admin.post(path, &body).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
    };
    let card = json!({"name": "capitals", "source": format!("file:{}", tiny()), "tags": ["v1"], "licence": "Apache-2.0", "labels": {"team": "geo"}});
    done("/api/v1/models", card, 201).await;
    let nodes = admin.get("/api/v1/nodes").await.json();
    assert!(nodes["items"][0]["devices"].as_array().is_some_and(|devices| !devices.is_empty()), "{nodes}");
    let service = json!({"name": "capitals", "model": "capitals:v1", "gpu_layers": 0, "threads": 1, "context": 256, "replicas": {"min": 1},
        "limits": {"concurrency": 2, "requests_per_minute": 100}});
    done("/api/v1/deployments", service, 202).await;
    done("/api/v1/routes", json!({"name": "geo", "targets": [{"deployment": "capitals"}]}), 201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_calls_until_the_limit_and_is_refused_when_the_token_is_taken_back_by_the_api() {
    let Some(stage) = Stage::with_engine() else { return };
    let Some(scene) = Scene::open_on(stage).await else { return };
    administrator_brings_a_model(&scene.client).await;
    let Some(mut bob) = scene.browser().await else { return };
    bob.does(json!({"do": "open", "path": "/auth/login?return_to=/docs/"})).await;
    bob.does(json!({"do": "with_provider", "label": "Corporate login", "user": "bob"})).await;
    let fetched = |answer: Value| -> Value { serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON") };
    let inside = fetched(bob.does(json!({"do": "fetch", "path": "/auth/session"})).await);
    let wanted = json!({"name": "of bob", "models": ["geo"], "limits": {"requests_per_minute": 2}});
    let made =
        bob.does(json!({"do": "fetch", "method": "POST", "path": "/api/v1/tokens", "csrf": inside["csrf_token"], "body": wanted})).await;
    assert_eq!(made["status"], 201, "{made:#}");
    let made = fetched(made);
    let user = scene.client.with_token(made["token"].as_str());
    until("the gateway has the route", async || user.get("/v1/models").await.text.contains("\"geo\"").then_some(())).await;
    let mut answered = 0;
    for _ in 0..2 {
        let reply = user.capital("geo").await;
        assert!(reply.said().contains("Paris"), "{}", reply.text);
        answered += reply.json()["usage"]["completion_tokens"].as_u64().expect("a number");
    }
    let limited = user.capital("geo").await;
    assert_eq!(limited.status, 429, "{}", limited.text);
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=60).contains(&wait)), "{:?}", limited.headers);
    assert!(limited.text.contains("limit of 2 requests per minute"), "{}", limited.text);
    until("bob sees what was used", async || {
        let used = fetched(bob.does(json!({"do": "fetch", "path": "/api/v1/usage?group_by=token,ending"})).await);
        let calls = used["items"].as_array()?.iter().find(|sum| sum["ending"] == "completed")?;
        (calls["token"] == made["id"] && calls["calls"] == 2 && calls["completion_tokens"] == answered).then_some(())
    })
    .await;
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(scene.client.ask(Method::DELETE, &path, "".into()).await.status, 204);
    assert_eq!(user.capital("geo").await.status, 401, "the next call is refused");
    bob.leave().await;
    stop(scene.house).await;
}

/// A terminal of somebody, elsewhere than the server.
struct Terminal {
    away: Stage,
}

impl Terminal {
    fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::from(penstock(&self.away));
        command.args(words).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// How it ended, and all that it said.
    async fn says(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = tokio::time::timeout(PATIENCE, self.verb(words).output()).await.expect("in time").expect("penstock");
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    }

    async fn does(&self, words: &[&str]) -> String {
        let (status, text) = self.says(words).await;
        assert_eq!(status, Some(0), "{words:?}: {text}");
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_calls_until_the_limit_and_is_refused_when_the_token_is_taken_back_from_a_terminal() {
    let Some(scene) = Scene::open().await else { return };
    let Some(mut bob) = scene.browser().await else { return };
    let url = scene.house.url();
    let user = Terminal { away: Stage::new() };
    let mut login = user.verb(&["login", "--server", &url, "-o", "json"]).spawn().expect("penstock");
    let mut lines = BufReader::new(login.stdout.take().expect("its output")).lines();
    let shown = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("its output").expect("a line");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    bob.does(json!({"do": "confirm_device", "url": shown["verification_uri_complete"], "user": "bob"})).await;
    assert!(tokio::time::timeout(PATIENCE, login.wait()).await.expect("in time").expect("its end").success());

    let made: Value = serde_json::from_str(&user.does(&["token", "create", "mine", "--rpm", "2", "-o", "json"]).await).expect("JSON");
    let token = made["token"].as_str().expect("a token");
    let call = ["run", "parrot", WORDS, "--token", token];
    for _ in 0..2 {
        assert!(user.does(&call).await.contains("three"));
    }
    let (status, limited) = user.says(&call).await;
    assert!(status != Some(0) && limited.contains("limit of 2 requests per minute"), "{status:?}: {limited}");
    until("bob sees what was used", async || {
        let used = user.does(&["usage", "--by", "token,ending", "-o", "json"]).await;
        let used: Value = serde_json::from_str(&used).ok()?;
        let calls = used["items"].as_array()?.iter().find(|sum| sum["ending"] == "completed")?;
        (calls["token"] == made["id"] && calls["calls"] == 2).then_some(())
    })
    .await;
    let admin = scene.stage.token().expect("a token");
    let id = made["id"].as_str().expect("an id");
    user.does(&["token", "revoke", id, "--token", &admin]).await;
    let (status, refused) = user.says(&call).await;
    assert!(status == Some(4) && refused.contains("the token is not valid"), "{status:?}: {refused}");
    user.does(&["logout"]).await;
    bob.leave().await;
    stop(scene.house).await;
}
