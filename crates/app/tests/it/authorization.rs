//! Every route of every face, asked by everybody: who may and who may not, and who changed what.

use std::collections::BTreeSet;
use std::path::Path;

use access::table::{self, Face, Need, ROWS, Row};
use app::config::Environment;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use spec::{Kind, Rights, Role, Verb};

use crate::client::Client;
use crate::stage::{Stage, stop, tiny, until};

/// Somebody who asks.
struct Who {
    name: &'static str,
    client: Client,
    /// Sent with each ask: of a session, its cookie.
    cookie: Option<String>,
    /// None: not known at all.
    rights: Option<Rights>,
    /// A user's, who may more with what is their own.
    own: Rights,
}

impl Who {
    fn known(name: &'static str, client: Client, rights: Rights) -> Self {
        Self { name, client, cookie: None, rights: Some(rights), own: Rights::NONE }
    }
    fn unknown(name: &'static str, client: Client) -> Self {
        Self { name, client, cookie: None, rights: None, own: Rights::NONE }
    }
    fn may(&self, need: Need) -> bool {
        let Some(rights) = self.rights else { return need == Need::Public };
        match need {
            Need::Public | Need::Caller => true,
            Need::Right(verb, kind) => rights.has(verb, kind),
            Need::Within(verb, kind) => rights.has(verb, kind) || (matches!(kind, Kind::Tokens | Kind::Usage) && self.own.has(verb, kind)),
        }
    }
}

/// Makes a token; its text.
async fn token(admin: &Client, wanted: Value) -> String {
    let made = admin.post("/api/v1/tokens", &wanted).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["token"].as_str().expect("a token").to_owned()
}

async fn user(admin: &Client, name: &str, roles: &[&str]) -> String {
    let made = admin.post("/api/v1/users", &json!({"name": name, "roles": roles})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["id"].as_str().expect("an id").to_owned()
}

/// Everybody who may come: from nobody to the admin.
async fn everybody(admin: &Client) -> Vec<Who> {
    let with = |text: &str| admin.with_token(Some(text));
    let mut all = vec![Who::unknown("nobody", admin.with_token(None)), Who::unknown("a wrong token", with("psk_wrong"))];
    let soon = base::Timestamp::now().plus(std::time::Duration::from_millis(50)).to_string();
    let expired = token(admin, json!({"name": "expired", "scopes": ["admin"], "expires_at": soon})).await;
    let revoked = admin.post("/api/v1/tokens", &json!({"name": "revoked", "scopes": ["admin"]})).await.json();
    assert_eq!(
        admin.ask(Method::DELETE, &format!("/api/v1/tokens/{}", revoked["id"].as_str().expect("an id")), Bytes::new()).await.status,
        204
    );
    all.push(Who::unknown("a revoked token", with(revoked["token"].as_str().expect("a token"))));
    let gone = user(admin, "gone", &["admin"]).await;
    let of_gone = token(admin, json!({"name": "of gone", "scopes": ["admin"], "owner": gone})).await;
    assert_eq!(admin.ask(Method::PATCH, &format!("/api/v1/users/{gone}"), r#"{"disabled":true}"#.into()).await.status, 200);
    all.push(Who::unknown("a token of a disabled user", with(&of_gone)));
    let inference = token(admin, json!({"name": "inference"})).await;
    let calls = Rights::NONE.with(Verb::Use, Kind::Calls);
    all.push(Who::known("the scope inference", with(&inference), calls));
    let reads = Rights::NONE.with_all(&[Verb::Get, Verb::List], &[Kind::Models]);
    let reader = token(admin, json!({"name": "reader", "rights": {"models": ["get", "list"]}})).await;
    all.push(Who::known("rights to read models", with(&reader), reads));
    for name in ["viewer", "developer", "operator", "admin"] {
        let rights = Role::built_in(name).expect("a role").rights;
        let of_role = token(admin, json!({"name": name, "role": name})).await;
        all.push(Who::known(name, with(&of_role), rights));
        let id = user(admin, name, &[name]).await;
        let owned = token(admin, json!({"name": name, "scopes": ["admin"], "owner": id})).await;
        all.push(Who { own: Rights::ALL, ..Who::known("a user's token", with(&owned), rights) });
        if name == "developer" {
            let form = format!("token={owned}");
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let entered = admin.with_token(None).ask_with(Method::POST, "/auth/enter", &headers, form).await;
            let cookie = entered.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
            assert!(!cookie.is_empty(), "{} {}", entered.status, entered.text);
            all.push(Who { cookie: Some(cookie), own: Rights::ALL, ..Who::known("a session", admin.with_token(None), rights) });
        }
    }
    all.push(Who::known("the admin token", admin.clone(), Rights::ALL));
    while admin.with_token(Some(&expired)).get("/api/v1/whoami").await.status != 401 {
        tokio::task::yield_now().await;
    }
    all.push(Who::unknown("an expired token", with(&expired)));
    all
}

/// A path of this row that leads to nothing that is there.
fn path(row: &Row) -> String {
    let word = |word: &str| if word.starts_with('{') { "none".to_owned() } else { word.to_owned() };
    row.path.split('/').map(word).collect::<Vec<_>>().join("/")
}

fn method(row: &Row) -> Method {
    if row.method == "*" { Method::POST } else { row.method.parse().expect("a method") }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_at_each_route_what_the_table_says_and_no_more() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - name: echo\n    engine: echo\n").await;
    let admin = stage.client(&house);
    let all = everybody(&admin).await;
    let (mut asked, mut wrong) = (0, Vec::new());
    for row in ROWS {
        for who in &all {
            // A session of a browser calls no model, and changes nothing without the word of a page of ours, which is tested with the pages.
            let of_pages = matches!(row.face, Face::Control | Face::Services | Face::Pages);
            if who.cookie.is_some() && (!of_pages || !method(row).is_safe()) {
                continue;
            }
            let cookie: Vec<(&str, &str)> = who.cookie.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
            let answer = who.client.ask_with(method(row), &path(row), &cookie, Bytes::new()).await;
            asked += 1;
            let is_right = match (who.may(row.need), who.rights) {
                // The pages of a login answer as they like.
                (true, _) if row.path.starts_with("/auth/") => answer.status < 500,
                (true, _) => !matches!(answer.status, 401 | 403 | 405),
                (false, None) => answer.status == 401,
                (false, Some(_)) => answer.status == 403,
            };
            if !is_right {
                wrong.push(format!("{} {} by {}: {} {}", row.method, row.path, who.name, answer.status, answer.text));
            }
        }
    }
    println!("authorization: {} routes x {} who ask = {asked} asks", ROWS.len(), all.len());
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 1_500, "{asked}");
    stop(house).await;
}

/// What stands in the text of a router as `.route("PATH", get(..).post(..))`.
fn routes_of(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split(".route(\"").skip(1) {
        let (path, rest) = part.split_once('"').expect("a path");
        let handlers = rest.split(".route(\"").next().unwrap_or_default().lines().next().unwrap_or_default();
        for method in ["get", "post", "put", "patch", "delete", "any"] {
            let word = format!("{method}(");
            if handlers.contains(&format!(" {word}")) || handlers.contains(&format!(".{word}")) {
                found.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

#[test]
fn a_route_that_stands_in_no_row_is_found() {
    let mut missing = Vec::new();
    let texts = [
        include_str!("../../../gateway/src/routes.rs"),
        include_str!("../../../control/src/lib.rs"),
        include_str!("../../../control/src/docs.rs"),
        include_str!("../../../control/src/pages.rs"),
        include_str!("../../../control/src/login.rs"),
        include_str!("../../../control/src/login/oauth.rs"),
    ];
    let routes: Vec<_> = texts.iter().flat_map(|text| routes_of(text)).collect();
    assert!(routes.len() > 40, "{routes:?}");
    for (method, path) in routes {
        let method = if method == "ANY" { "TRACE" } else { &method };
        if table::row(method, &path).is_none() {
            missing.push(format!("{method} {path}"));
        }
    }
    assert!(missing.is_empty(), "they need rows in access/src/table/rows.rs: {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_route_is_found() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let admin = stage.client(&house);
    for row in ROWS.iter().filter(|row| row.face == Face::Control && !row.path.contains("{*") && !matches!(row.method, "HEAD" | "OPTIONS"))
    {
        let answer = admin.ask(method(row), &path(row), Bytes::new()).await;
        assert!(!answer.text.contains("no_such_path") && answer.status != 405, "{} {}: {}", row.method, row.path, answer.text);
    }
    stop(house).await;
}

/// Changing routes whose change takes more than one ask; the models' own tests look at them.
const ELSEWHERE: [&str; 3] =
    ["/api/v1/models/{name}/versions/upload", "/api/v1/models/{name}/versions/upload/{digest}", "/api/v1/webhooks/{name}/resume"];

/// Each kind of change once, in an order in which each of them can be made.
fn changes(model: &str) -> Vec<(&'static str, String, Value)> {
    let go = |method: &'static str, path: &str, body: Value| (method, path.to_owned(), body);
    let echo = json!({"name": "d", "engine": "echo", "env": {"SECRET": "in-the-environment"}});
    vec![
        go("POST", "/api/v1/projects", json!({"name": "red"})),
        go("PUT", "/api/v1/projects/red", json!({"description": "all who paint"})),
        go("PATCH", "/api/v1/projects/red", json!({"limits": {"concurrency": 5}})),
        go("POST", "/api/v1/roles", json!({"name": "tester", "rights": {"calls": ["use"]}})),
        go("PATCH", "/api/v1/roles/tester", json!({"description": "tests"})),
        go("POST", "/api/v1/users", json!({"name": "ann"})),
        go("PATCH", "/api/v1/users/ann", json!({"roles": ["viewer"]})),
        go("POST", "/api/v1/tokens", json!({"name": "t"})),
        go("PATCH", "/api/v1/tokens/{token}", json!({"name": "u"})),
        go("POST", "/api/v1/secrets", json!({"name": "key", "value": "in-the-vault"})),
        go("POST", "/api/v1/master-key/rotate", json!({})),
        go("DELETE", "/api/v1/secrets/key", json!({})),
        go("POST", "/api/v1/models", json!({"name": "m", "source": format!("file:{model}")})),
        go("PATCH", "/api/v1/models/m", json!({"description": "small"})),
        go("PUT", "/api/v1/models/m/tags/prod", json!({"version": "{digest}"})),
        go("DELETE", "/api/v1/models/m/tags/prod", json!({})),
        go("PATCH", "/api/v1/models/m/versions/{digest}", json!({"note": "first"})),
        go("POST", "/api/v1/deployments", echo.clone()),
        go("PUT", "/api/v1/deployments/d", json!({"engine": "echo", "max_queue": 5})),
        go("PATCH", "/api/v1/deployments/d", json!({"max_queue": 6})),
        go("POST", "/api/v1/deployments/d/pin", json!({})),
        go("POST", "/api/v1/deployments/d/unpin", json!({})),
        go("POST", "/api/v1/deployments/d/load", json!({})),
        go("POST", "/api/v1/deployments/d/unload", json!({})),
        go("POST", "/api/v1/routes", json!({"name": "r", "targets": [{"deployment": "d"}]})),
        go("PUT", "/api/v1/routes/r", json!({"targets": [{"deployment": "d", "weight": 2}]})),
        go("DELETE", "/api/v1/routes/r", json!({})),
        go("DELETE", "/api/v1/deployments/d", json!({})),
        go("DELETE", "/api/v1/tokens/{token}", json!({})),
        go("DELETE", "/api/v1/users/ann", json!({})),
        go("DELETE", "/api/v1/roles/tester", json!({})),
        go("DELETE", "/api/v1/projects/red", json!({})),
        go("DELETE", "/api/v1/models/m", json!({})),
        go("POST", "/api/v1/blobs/prune", json!({})),
    ]
}

/// The row of a path that was asked.
fn row_of(asked: &str, path: &str) -> Option<&'static Row> {
    let fits = |row: &&Row| {
        let (have, want): (Vec<_>, Vec<_>) = (path.split('/').collect(), row.path.split('/').collect());
        have.len() == want.len() && have.iter().zip(&want).all(|(have, want)| want.starts_with('{') || have == want)
    };
    ROWS.iter().filter(|row| row.method == asked).find(fits)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_written_down_once_with_who_and_from_where_and_without_a_secret() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let admin = stage.client(&house);
    let model = stage.folder().join("tiny.gguf");
    std::fs::copy(tiny(), &model).expect("a copy");
    let (mut token, mut secret, mut digest) = (String::new(), String::new(), String::new());
    let mut made: Vec<(String, String)> = Vec::new();
    let mut covered = BTreeSet::new();
    for (number, (method, path, body)) in changes(&model.display().to_string()).into_iter().enumerate() {
        let fill = |text: &str| text.replace("{token}", &token).replace("{digest}", &digest);
        let (path, body, id) = (fill(&path), fill(&body.to_string()), format!("change-{number}"));
        let answer = admin.ask_with(method.parse().expect("a method"), &path, &[("x-request-id", &id)], body).await;
        let row = row_of(method, &path).unwrap_or_else(|| panic!("{method} {path} stands in no row"));
        if (200..300).contains(&answer.status) {
            covered.insert((row.method, row.path));
            made.push((id, format!("{method} {path}")));
        } else {
            println!("not made: {method} {path}: {} {}", answer.status, answer.text);
        }
        match path.as_str() {
            "/api/v1/tokens" => {
                let stored = answer.json();
                (token, secret) = (stored["id"].as_str().expect("an id").to_owned(), stored["token"].as_str().expect("a token").to_owned());
            }
            "/api/v1/models" => {
                digest = until("the model is there", async || {
                    let text = admin.get("/api/v1/models/m").await.text;
                    let found = text.split("sha256:").nth(1)?;
                    Some(format!("sha256:{}", found.chars().take_while(char::is_ascii_hexdigit).collect::<String>()))
                })
                .await;
            }
            _ => {}
        }
    }
    let audit = admin.get("/api/v1/events?kind=audit&limit=1000").await;
    assert_eq!(audit.status, 200, "{}", audit.text);
    let items = audit.json()["items"].as_array().cloned().unwrap_or_default();
    for (id, action) in &made {
        let told: Vec<&Value> = items.iter().filter(|item| item["audit"]["request_id"] == **id).collect();
        assert_eq!(told.len(), 1, "{action}");
        let (event, audit) = (told[0], &told[0]["audit"]);
        assert_eq!((audit["action"].as_str(), audit["address"].as_str()), (Some(action.as_str()), Some("127.0.0.1")), "{event}");
        assert_eq!((event["cause"]["kind"].as_str(), event["cause"]["token"].as_str()), (Some("api"), Some("admin")), "{event}");
    }
    assert_eq!(items.len(), made.len(), "nothing else is a change");
    for secret in [secret.as_str(), "in-the-environment", "in-the-vault", "psk_"] {
        let tells = audit.text.matches(secret).count();
        assert!(secret == "psk_" || tells == 0, "{secret}");
    }
    let patched = items.iter().find(|item| item["audit"]["action"] == "PATCH /api/v1/projects/red").expect("the change of the project");
    assert_eq!((&patched["audit"]["before"]["limits"], &patched["audit"]["after"]["limits"]["concurrency"]), (&json!({}), &json!(5)));
    let quiet = admin.get("/api/v1/events?limit=1000").await;
    assert!(!quiet.text.contains("\"audit\""), "the story is told without them");
    let rows = ROWS.iter().filter(|row| row.changes().is_some() && row.face == Face::Control && !ELSEWHERE.contains(&row.path));
    let uncovered: Vec<String> =
        rows.filter(|row| !covered.contains(&(row.method, row.path))).map(|row| format!("{} {}", row.method, row.path)).collect();
    println!("audit: {} kinds of changes made and written down; not made here: {uncovered:?}", covered.len());
    assert!(uncovered.iter().all(|route| NOT_SO_EASY.contains(&route.as_str())), "{uncovered:?}");
    stop(house).await;
}

/// What needs more of a house than this test has: a rollout under way, a second version, memory that is counted.
const NOT_SO_EASY: [&str; 9] = [
    "POST /api/v1/deployments/{name}/rollout/undo",
    "DELETE /api/v1/operations/{id}",
    "POST /api/v1/deployments/{name}/rollout/pause",
    "POST /api/v1/deployments/{name}/rollout/promote",
    "POST /api/v1/deployments/{name}/rollout/resume",
    "POST /api/v1/models/{name}/versions",
    "DELETE /api/v1/models/{name}/versions/{digest}",
    "POST /api/v1/nodes/{name}/allocations",
    "DELETE /api/v1/nodes/{name}/allocations/{id}",
];

#[test]
fn the_page_about_authorization_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/authorization.md");
    let page = table::page();
    if Environment::of_process().get("PENSTOCK_TEST_RENEW").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    let command = "PENSTOCK_TEST_RENEW=1 cargo test -p app --test it the_page_about_authorization";
    assert!(stands == page, "docs/reference/authorization.md is old: {command}");
}
