//! Every route of every face, asked by everybody: who may and who may not.

use std::path::Path;

use access::login::csrf_token;
use access::table::{self, Face, Need, ROWS, Row};
use app::config::Environment;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use spec::{Kind, Rights, Role, Verb};

use crate::client::{Client, Reply};
use crate::stage::{Stage, stop, tiny};

/// Somebody who asks.
struct Who {
    name: &'static str,
    client: Client,
    /// Sent with each ask: of a session, its cookie, and what pages of ours send besides.
    headers: Vec<(&'static str, String)>,
    /// None: not known at all.
    rights: Option<Rights>,
    /// A user's, who may more with what is their own.
    own: Rights,
    /// What they may within a project.
    within: Rights,
}

impl Who {
    fn known(name: &'static str, client: Client, rights: Rights) -> Self {
        Self { name, client, headers: Vec::new(), rights: Some(rights), own: Rights::NONE, within: Rights::NONE }
    }
    fn unknown(name: &'static str, client: Client) -> Self {
        Self { name, client, headers: Vec::new(), rights: None, own: Rights::NONE, within: Rights::NONE }
    }

    /// A browser that somebody has logged in with this token; `meant` when its changes come from a page of ours.
    async fn session(name: &'static str, token: &str, meant: bool, of: Self) -> Self {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let nobody = of.client.with_token(None);
        let entered = nobody.ask_with(Method::POST, "/auth/enter", &headers, format!("token={token}")).await;
        let cookie = entered.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let (_, held) = cookie.split_once('=').unwrap_or_else(|| panic!("{} {}", entered.status, entered.text));
        let csrf = meant.then(|| ("x-csrf-token", csrf_token(held)));
        let headers = [("cookie", cookie.clone())].into_iter().chain(csrf).collect();
        Self { name, client: nobody, headers, ..of }
    }

    fn is_session(&self) -> bool {
        !self.headers.is_empty()
    }

    /// As this row is asked by them: a session calls no model and is nobody there, and whose change no page of ours has sent may nothing by it.
    fn at(&self, row: &Row) -> (Option<Rights>, bool) {
        let of_pages = matches!(row.face, Face::Control | Face::Services | Face::Pages);
        let known = self.rights.filter(|_| of_pages || !self.is_session());
        let forged = self.is_session() && of_pages && self.headers.len() == 1 && !method(row).is_safe();
        (known, row.need == Need::Public || matches!(row.need, Need::Near(..)) || (!forged && known.is_some() && self.may(row.need)))
    }

    async fn ask(&self, method: Method, path: &str, body: &'static str) -> Reply {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.client.ask_with(method, path, &headers, body).await
    }
    fn may(&self, need: Need) -> bool {
        let Some(rights) = self.rights else { return matches!(need, Need::Public | Need::Near(..)) };
        match need {
            // All who ask here are on this machine.
            Need::Public | Need::Caller | Need::Near(..) => true,
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

/// Somebody with a role that was made here.
async fn clerk(admin: &Client) -> Who {
    let made = admin.post("/api/v1/roles", &json!({"name": "clerk", "rights": {"users": ["get", "list"], "routes": ["update"]}})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let clerk = user(admin, "clerk", &["clerk"]).await;
    let owned = token(admin, json!({"name": "of clerk", "scopes": ["admin"], "owner": clerk})).await;
    let rights = Rights::NONE.with_all(&[Verb::Get, Verb::List], &[Kind::Users]).with(Verb::Update, Kind::Routes);
    Who { own: Rights::ALL, ..Who::known("a user's token, of a role that was made", admin.with_token(Some(&owned)), rights) }
}

/// Everybody who may come: from nobody to the admin.
async fn everybody(admin: &Client) -> Vec<Who> {
    let with = |text: &str| admin.with_token(Some(text));
    let mut all = vec![Who::unknown("nobody", admin.with_token(None)), Who::unknown("a wrong token", with("psk_wrong"))];
    // Not before the others have been made: an end in the past is refused.
    let soon = base::Timestamp::now().plus(std::time::Duration::from_secs(2)).to_string();
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
            for (what, meant) in [("a session of a page of ours", true), ("a session without the word of a page of ours", false)] {
                let who = Who { own: Rights::ALL, ..Who::known("a user's token", with(&owned), rights) };
                all.push(Who::session(what, &owned, meant, who).await);
            }
        }
    }
    all.push(clerk(admin).await);
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
            let answer = who.ask(method(row), &path(row), "").await;
            asked += 1;
            let (known, may) = who.at(row);
            let is_right = match (may, known) {
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
    assert!(asked > 2_500, "{asked}");
    stop(house).await;
}

/// A thing that is there, where this row is about one.
fn real(row: &Row, ids: &[(&str, String)]) -> Option<String> {
    let (_, id) =
        ids.iter().find(|(nouns, _)| row.path.strip_prefix("/api/v1/").is_some_and(|rest| rest.split('/').next() == Some(*nouns)))?;
    let word = |word: &str| if word.starts_with('{') { id.clone() } else { word.to_owned() };
    // What has more than one name in it is of the thing of the first one, and is tested with it; an upload is of nothing that is there, and a log
    // of what runs at the moment.
    let is_other = row.path.matches('{').count() > 1 || ["/upload", "/logs"].iter().any(|end| row.path.ends_with(end));
    (!is_other && row.path.contains('{')).then(|| row.path.split('/').map(word).collect::<Vec<_>>().join("/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_read_by_who_may_and_changed_by_nobody_else() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - name: echo\n    engine: echo\n").await;
    let admin = stage.client(&house);
    let all = everybody(&admin).await;
    let id = |made: Reply| made.json()["id"].as_str().expect("an id").to_owned();
    admin.post("/api/v1/projects", &json!({"name": "blue"})).await;
    admin.post("/api/v1/routes", &json!({"name": "way", "targets": [{"deployment": "echo"}]})).await;
    admin.post("/api/v1/models", &json!({"name": "tiny", "source": format!("file:{}", tiny())})).await;
    let ids = [
        ("deployments", "echo".to_owned()),
        ("routes", "way".to_owned()),
        ("models", "tiny".to_owned()),
        ("projects", "blue".to_owned()),
        ("roles", "clerk".to_owned()),
        ("users", id(admin.post("/api/v1/users", &json!({"name": "somebody"})).await)),
        ("tokens", id(admin.post("/api/v1/tokens", &json!({"name": "somebody's"})).await)),
    ];
    let before = seen(&admin, &ids).await;
    let (mut asked, mut wrong) = (0, Vec::new());
    for (row, path) in ROWS.iter().filter_map(|row| Some((row, real(row, &ids)?))) {
        let (Need::Right(verb, kind) | Need::Within(verb, kind)) = row.need else { panic!("{row:?}") };
        for who in &all {
            let (known, may) = who.at(row);
            let everywhere = may && known.is_some_and(|rights| rights.has(verb, kind));
            if everywhere && !method(row).is_safe() {
                continue; // a change that is made is written down in another test
            }
            let answer = who.ask(method(row), &path, "{}").await;
            asked += 1;
            let is_right = match (everywhere, known) {
                (true, _) => (200..300).contains(&answer.status),
                (false, None) => answer.status == 401,
                // Who may with what is theirs is not told that this is there; a body that says nothing is told first.
                (false, Some(_)) => matches!((may, answer.status), (_, 403) | (true, 400 | 404 | 422)),
            };
            if !is_right {
                wrong.push(format!("{} {path} by {}: {} {}", row.method, who.name, answer.status, answer.text));
            }
        }
    }
    assert!(wrong.is_empty() && asked > 500, "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen(&admin, &ids).await, before, "nobody who may not has changed any of it");
    stop(house).await;
}

/// Each of them as it is stored, without how it stands this moment.
async fn seen(admin: &Client, ids: &[(&str, String)]) -> Vec<Value> {
    let mut all = Vec::new();
    for (nouns, id) in ids {
        let mut shown = admin.get(&format!("/api/v1/{nouns}/{id}")).await.json();
        let fields = shown.as_object_mut().expect("an object");
        fields.remove("status");
        fields.remove("usage");
        all.push(shown);
    }
    all
}

/// The text of each file of a room's program, without its tests.
fn texts(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_test {
            texts(&path, found);
        } else if !is_test && path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a file");
            found.push(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned());
        }
    }
}

/// A path that stands between quotes, or is the value of a constant of the same file.
fn path_of<'a>(words: &'a str, text: &'a str) -> Option<&'a str> {
    let word = words.trim();
    let quoted = match word.strip_prefix('"') {
        Some(rest) => rest,
        None => text.split_once(&format!("const {word}: &str = \""))?.1,
    };
    quoted.split('"').next()
}

/// Each call of `.route(PATH, HANDLERS)` on a router: its methods and its path. What is written in another way is told too, so that it is looked at.
fn routes_of(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split(".route(").skip(1) {
        let Some((words, rest)) = part.split_once(',') else { continue };
        if words.contains(';') || words.matches(')').count() > words.matches('(').count() {
            continue; // it has one argument, so it is about something else
        }
        let handlers = format!(" {}", rest.split(".route(").next().unwrap_or_default().trim_start().lines().next().unwrap_or_default());
        let methods = ["get", "post", "put", "patch", "delete", "head", "options", "any", "on"];
        let is_there = |method: &&str| handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}("));
        let methods: Vec<&str> = methods.into_iter().filter(is_there).collect();
        let path = path_of(words, text);
        match (path, methods.is_empty()) {
            (Some(path), false) => found.extend(methods.iter().map(|method| (method.to_uppercase(), path.to_owned()))),
            (None, true) => {} // a method of something else that is called so
            _ => found.push(("?".to_owned(), words.trim().to_owned())),
        }
    }
    found
}

#[test]
fn a_route_that_stands_in_no_row_is_found() {
    let (mut missing, mut all) = (Vec::new(), Vec::new());
    for room in ["gateway", "control"] {
        texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("src"), &mut all);
    }
    assert!(all.len() > 100, "{}", all.len());
    // The others stand in the document of the API, which the room of operators holds against the table.
    let mut routes: Vec<_> = all.iter().flat_map(|text| routes_of(text)).collect();
    let unread: Vec<&str> = routes.iter().filter(|(method, _)| method == "?").map(|(_, words)| words.as_str()).collect();
    assert_eq!(unread, ["path"], "those of the list that is read next, and no other one that cannot be read");
    routes.retain(|(method, _)| method != "?");
    let straight = all.iter().flat_map(|text| text.split("Straight { path: \"").skip(1)).filter_map(|rest| rest.split('"').next());
    routes.extend(straight.map(|path| ("POST".to_owned(), path.to_owned())));
    assert!(routes.len() > 40, "{routes:?}");
    for (method, path) in routes {
        let method = if method == "ANY" { "TRACE" } else { &method };
        if table::row(method, &path).is_none() {
            missing.push(format!("{method} {path}"));
        }
    }
    assert!(missing.is_empty(), "they need rows in access/src/table/rows.rs: {missing:?}");
    // A router that is put in as a whole would hide its paths.
    let hidden = [".nest(", ".nest_service(", ".route_service(", ".fallback_service("];
    assert!(!all.iter().any(|text| hidden.iter().any(|word| text.contains(word))));
}

#[test]
fn a_route_is_found_however_it_is_written() {
    let text = "const D: &str = \"/d\";\nRouter::new().route(\"/a\", get(x).post(y)).route(D, any(z)).route(path, post(w))\nmetrics.route(\"/x\");";
    let wanted = [("GET", "/a"), ("POST", "/a"), ("ANY", "/d"), ("?", "path")];
    assert_eq!(routes_of(text), wanted.map(|(method, path)| (method.to_owned(), path.to_owned())));
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
