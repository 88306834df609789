//! Every route of every face, asked by everybody: who may and who may not.

use std::path::Path;

use access::table::{self, Face, Need, ROWS, Row};
use app::config::Environment;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use spec::{Kind, Rights, Role, Verb};

use crate::client::Client;
use crate::stage::{Stage, stop};

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
    /// What they may within a project.
    within: Rights,
}

impl Who {
    fn known(name: &'static str, client: Client, rights: Rights) -> Self {
        Self { name, client, cookie: None, rights: Some(rights), own: Rights::NONE, within: Rights::NONE }
    }
    fn unknown(name: &'static str, client: Client) -> Self {
        Self { name, client, cookie: None, rights: None, own: Rights::NONE, within: Rights::NONE }
    }
    fn may(&self, need: Need) -> bool {
        let Some(rights) = self.rights else { return need == Need::Public };
        match need {
            Need::Public | Need::Caller => true,
            Need::Right(verb, kind) => rights.has(verb, kind),
            Need::Within(verb, kind) => {
                let own = matches!(kind, Kind::Tokens | Kind::Usage) && self.own.has(verb, kind);
                rights.has(verb, kind) || self.within.has(verb, kind) || own
            }
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
    let made = admin.post("/api/v1/users", &json!({"name": "nightly", "service": true, "roles": ["developer"]})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let of_service = token(admin, json!({"name": "nightly", "scopes": ["admin"], "owner": made.json()["id"]})).await;
    let rights = Role::built_in("developer").expect("a role").rights;
    all.push(Who { own: Rights::ALL, ..Who::known("a service account's token", with(&of_service), rights) });
    for role in ["viewer", "developer", "operator"] {
        let name = format!("{role}-of-red");
        let made = admin.post("/api/v1/users", &json!({"name": name, "projects": {"red": [role]}})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let owned = token(admin, json!({"name": name, "scopes": ["admin"], "owner": made.json()["id"]})).await;
        let within = Role::built_in(role).expect("a role").rights;
        all.push(Who { own: Rights::ALL, within, ..Who::known("a user's token, of a project", with(&owned), Rights::NONE) });
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
        // The others stand in the document of the API, which the room of operators holds against the table.
    ];
    let routes: Vec<_> = texts.iter().flat_map(|text| routes_of(text)).collect();
    assert!(routes.len() > 30, "{routes:?}");
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
