//! People log in with an identity provider, and programs bring its tokens.
//!
//! Life of such a test: a certified provider on loopback ([`people`]), a house whose config knows it, and a person with a real browser, or
//! a program that talks OAuth.

mod cases;
mod people;
mod scenario;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Client;
use crate::process::penstock;
use crate::stage::{PATIENCE, Stage, stop, until};

use people::{Browser, Provider, libraries};

/// Everything that a login needs.
struct Scene {
    stage: Stage,
    provider: Provider,
    house: app::serve::House,
    client: Client,
}

impl Scene {
    async fn open() -> Option<Self> {
        Self::open_on(Stage::new()).await
    }

    /// The same with what else there is on this stage.
    async fn open_on(stage: Stage) -> Option<Self> {
        let libraries = libraries()?;
        let provider = Provider::open(&stage, &libraries).await;
        let house = stage.house(&format!("{}deployments:\n  - {{ name: parrot, engine: echo }}\n", provider.config())).await;
        let client = stage.client(&house);
        Some(Self { stage, provider, house, client })
    }

    async fn browser(&self) -> Option<Browser> {
        Browser::open(&self.stage, &libraries()?, &self.house.url()).await
    }

    /// What was written down of such a change, as soon as it is: who, from where, before and after.
    async fn audited(&self, verb: &str, kind: &str, target: &str) -> Value {
        until("it is written down", async || {
            let told = self.client.get("/api/v1/events?kind=audit&limit=1000").await.json();
            let is_it = |event: &&Value| {
                let audit = &event["audit"];
                audit["verb"] == verb && audit["kind"] == kind && audit["target"] == target
            };
            let found = told["items"].as_array()?.iter().rev().find(is_it)?;
            assert_eq!(found["audit"]["address"], "127.0.0.1", "{found:#}");
            assert!(found["audit"]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{found:#}");
            assert!(!tells_a_token(&told.to_string()), "{told:#}");
            Some(found.clone())
        })
        .await
    }

    /// Asks without a token, by a cookie.
    async fn by_cookie(&self, path: &str, cookie: &str) -> u16 {
        self.client.with_token(None).ask_with(hyper::Method::GET, path, &[("cookie", cookie)], "").await.status
    }
}

/// Whether more of a token stands in it than its first characters, by which it is recognised.
fn tells_a_token(text: &str) -> bool {
    text.split("psk_").skip(1).any(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).count() > 12)
}

fn cookie(all: &[Value]) -> String {
    let ours: Vec<_> = all.iter().filter(|cookie| cookie["name"].as_str().is_some_and(|name| name.starts_with("penstock-"))).collect();
    assert_eq!(ours.len(), 1, "{all:?}");
    format!("{}={}", ours[0]["name"].as_str().expect("a name"), ours[0]["value"].as_str().expect("a value"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_with_a_browser_works_and_logs_out() {
    let Some(scene) = Scene::open().await else { return };
    let Some(mut ann) = scene.browser().await else { return };
    // A cookie that somebody else has put there means nothing, also after the login.
    let name = format!("penstock-{}", scene.house.address.port());
    ann.does(json!({"do": "add_cookie", "name": name, "value": "planted"})).await;
    let page = ann.does(json!({"do": "open", "path": "/auth/login?return_to=/console"})).await;
    assert_eq!(page["asked_outside"], json!([]), "the page is made of nothing from outside");
    assert_eq!(page["faults"], json!([]), "and breaks no policy of its own");
    assert!(page["headers"]["content-security-policy"].as_str().is_some_and(|policy| policy.contains("default-src 'none'")));
    let page = ann.does(json!({"do": "with_provider", "label": "Corporate login", "user": "ann"})).await;
    assert_eq!(page["url"], format!("{}/console", scene.house.url()));

    let cookies = ann.cookies().await;
    assert_eq!((&cookies[0]["httpOnly"], &cookies[0]["sameSite"]), (&json!(true), &json!("Lax")));
    let held = cookie(&cookies);
    assert_ne!(held, format!("{name}=planted"));
    assert_eq!(scene.by_cookie("/api/v1/deployments", &format!("{name}=planted")).await, 401, "nobody's session was taken over");

    let inside = ann.does(json!({"do": "fetch", "path": "/auth/session"})).await;
    let inside: Value = serde_json::from_str(inside["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!((&inside["name"], &inside["provider"]), (&json!("ann"), &json!("corp")));
    let csrf = inside["csrf_token"].as_str().expect("a token");
    let entered = scene.audited("create", "sessions", "ann").await;
    assert_eq!((&entered["audit"]["action"], &entered["audit"]["after"]["provider"]), (&json!("GET /auth/callback"), &json!("corp")));
    let made = scene.audited("create", "users", "ann").await;
    assert_eq!((&made["audit"]["before"], &made["audit"]["after"]["mapped"]["roles"]), (&Value::Null, &json!(["admin"])), "{made:#}");
    assert_eq!(ann.does(json!({"do": "fetch", "path": "/api/v1/deployments"})).await["status"], 200);
    let bare = json!({"do": "fetch", "method": "POST", "path": "/api/v1/deployments/parrot/load"});
    assert_eq!(ann.does(bare.clone()).await["status"], 403, "a change needs what only our pages know");
    let mut meant = bare.clone();
    meant["csrf"] = json!(csrf);
    assert_eq!(ann.does(meant).await["status"], 202);

    let forged = ann.does(json!({"do": "forge", "path": "/api/v1/deployments/parrot/unload"})).await;
    assert!(forged["status"].as_u64().is_some_and(|status| status == 401 || status == 403), "{forged:#}");
    assert_ne!(forged["scripted"], 202);
    assert_ne!(forged["scripted"], 200);

    let left = ann.does(json!({"do": "log_out"})).await;
    assert!(left["way"].as_str().is_some_and(|way| way.starts_with(&scene.provider.issuer)), "logged out at the provider too: {left:#}");
    assert!(left["text"].as_str().is_some_and(|text| text.contains("Log in with a token")), "{left:#}");
    assert_eq!(scene.by_cookie("/api/v1/deployments", &held).await, 401, "what the cookie held opens nothing any more");
    let left = scene.audited("delete", "sessions", "ann").await;
    assert_eq!((&left["audit"]["action"], &left["audit"]["user"]), (&json!("POST /auth/logout"), &made["audit"]["after"]["id"]));
    ann.leave().await;
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_group_has_lost_its_role_with_the_next_login() {
    let Some(mut scene) = Scene::open().await else { return };
    let Some(mut ann) = scene.browser().await else { return };
    let log_in = json!({"do": "with_provider", "label": "Corporate login", "user": "ann"});
    ann.does(json!({"do": "open", "path": "/auth/login?return_to=/docs/"})).await;
    ann.does(log_in).await;
    let before = cookie(&ann.cookies().await);
    assert_eq!(scene.by_cookie("/api/v1/users", &before).await, 200);
    let users = scene.client.get("/api/v1/users").await.json();
    let of_ann = users["items"].as_array().expect("a list").iter().find(|user| user["name"] == "ann").expect("ann").clone();
    assert_eq!(of_ann["mapped"]["roles"], json!(["admin"]));
    let own = scene.client.post("/api/v1/tokens", &json!({"name": "of ann", "owner": of_ann["id"], "scopes": ["admin"]})).await.json();
    let own = scene.client.with_token(own["token"].as_str());
    assert_eq!(own.get("/api/v1/users").await.status, 200);

    scene.provider.groups("ann", &["staff"]).await;
    let again = async |ann: &mut Browser| {
        ann.does(json!({"do": "open", "path": "/auth/login?provider=corp"})).await;
        ann.does(json!({"do": "go_on", "user": "ann"})).await
    };
    again(&mut ann).await;
    assert_eq!(own.get("/api/v1/users").await.status, 403, "what a group gave is gone, also for tokens");
    let moved = scene.audited("update", "users", "ann").await;
    let roles = |when: &str| moved["audit"][when]["mapped"]["roles"].clone();
    assert_eq!((roles("before"), roles("after")), (json!(["admin"]), json!(["developer"])), "{moved:#}");
    assert_eq!(scene.by_cookie("/api/v1/deployments", &before).await, 401, "who logs in again has one session");
    assert_eq!(own.get("/v1/models").await.status, 200, "what the other group gives stays");

    scene.provider.groups("ann", &[]).await;
    let page = again(&mut ann).await;
    assert_eq!(page["status"], 403, "{page:#}");
    assert!(page["text"].as_str().is_some_and(|text| text.contains("has no role here")), "{page:#}");
    let ask = json!({"model": "parrot", "messages": [{"role": "user", "content": "hello"}]});
    assert_eq!(own.post("/v1/chat/completions", &ask).await.status, 403, "nothing is left");
    ann.leave().await;
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_provider_answers_a_token_logs_a_browser_in() {
    let Some(libraries) = libraries() else { return };
    let stage = Stage::new();
    let provider = Provider::open(&stage, &libraries).await;
    let config = provider.config();
    drop(provider); // it is away before we start
    let house = stage.house(&config).await;
    let Some(mut browser) = Browser::open(&stage, &libraries, &house.url()).await else { return };
    let page = browser.does(json!({"do": "open", "path": "/auth/login"})).await;
    assert!(page["text"].as_str().is_some_and(|text| text.contains("does not answer now")), "{page:#}");
    let page = browser.does(json!({"do": "open", "path": "/auth/login?provider=corp"})).await;
    assert_eq!(page["status"], 503, "{page:#}");
    let page = browser.does(json!({"do": "with_token", "token": "psk_wrong"})).await;
    assert!(page["text"].as_str().is_some_and(|text| text.contains("the token is not valid")), "{page:#}");
    browser.does(json!({"do": "with_token", "token": stage.token()})).await;
    assert_eq!(browser.does(json!({"do": "fetch", "path": "/api/v1/tokens"})).await["status"], 200);
    browser.leave().await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_logs_its_person_in_by_a_code_and_out_again() {
    let Some(scene) = Scene::open().await else { return };
    let Some(mut bob) = scene.browser().await else { return };
    let url = scene.house.url();
    // Elsewhere than the server: nothing of its folder is found.
    let away = Stage::new();
    let verb = |words: &[&str]| {
        let mut command = Command::from(penstock(&away));
        command.args(words).kill_on_drop(true).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let mut login = verb(&["login", "--server", &url, "-o", "json"]).spawn().expect("penstock");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(login.stdout.take().expect("its output")));
    let shown = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("its output").expect("a line");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert!(shown["device_code"].is_null(), "what the program asks with is shown to nobody");
    let page = bob.does(json!({"do": "confirm_device", "url": shown["verification_uri_complete"], "user": "bob"})).await;
    assert!(page["text"].as_str().is_some_and(|text| text.contains("Sign-in Success")));
    let ended = tokio::time::timeout(PATIENCE, login.wait()).await.expect("in time").expect("its end");
    assert!(ended.success());

    let file = away.folder().join(".config/penstock/credentials");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("credentials").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let said = |output: std::process::Output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
    let (status, me) = said(verb(&["whoami", "-o", "json"]).output().await.expect("penstock"));
    let me: Value = serde_json::from_str(&me).expect("JSON");
    assert_eq!((status, &me["user"]["name"]), (Some(0), &json!("bob")), "{me:#}");
    let token = until("the token is told of", async || {
        let told = scene.client.get("/api/v1/events?kind=token_created").await.json();
        Some(told["items"][0]["message"].as_str()?.split('`').nth(1)?.to_owned())
    })
    .await;
    let made = scene.audited("create", "tokens", &token).await;
    assert_eq!((&made["audit"]["user"], &made["audit"]["action"]), (&me["user"]["id"], &json!("POST /auth/token")), "{made:#}");
    assert_eq!(said(verb(&["list"]).output().await.expect("penstock")).0, Some(0), "other verbs use what is stored");
    assert_eq!(said(verb(&["user", "list"]).output().await.expect("penstock")).0, Some(4), "and may no more than bob");
    assert_eq!(said(verb(&["logout"]).output().await.expect("penstock")).0, Some(0));
    assert_eq!(said(verb(&["whoami", "--server", &url]).output().await.expect("penstock")).0, Some(4));
    let tokens = scene.client.get("/api/v1/tokens").await.json();
    assert!(!tokens.to_string().contains("login on"), "the token is taken back: {tokens:#}");
    bob.leave().await;
    stop(scene.house).await;
}
