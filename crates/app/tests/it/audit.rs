//! Every route that changes something is asked once, and each change stands in the story: who, what, from where, before and after, and
//! no secret. The list of routes is the authorization table: a row that nobody says here how to ask fails the test.

use access::table::{ROWS, Row};
use hyper::Method;
use serde_json::{Value, json};
use spec::Verb;
use testkit::FileHost;
use testkit::upstream::Upstream;

use crate::client::Client;
use crate::pulls;
use crate::rollouts::reaches;
use crate::stage::{Stage, stop, tiny, until};

/// What must never be told, wherever it was given.
const SECRETS: [&str; 3] = ["in-the-environment", "in-the-vault", "in-the-address"];
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

/// A house in which each change can be made.
struct Scene {
    stage: Stage,
    admin: Client,
    upstream: Upstream,
    _host: FileHost,
    made: usize,
}

/// One change, ready to be made.
struct Ask {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn ask(path: impl Into<String>) -> Ask {
    with(path, &json!({}))
}

fn with(path: impl Into<String>, body: &Value) -> Ask {
    Ask { path: path.into(), headers: Vec::new(), body: body.to_string().into() }
}

impl Scene {
    /// What is asked to set something up has to succeed.
    async fn done(&self, method: Method, path: &str, body: &Value) -> Value {
        let reply = self.admin.ask(method.clone(), path, body.to_string().into()).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.text);
        serde_json::from_str(&reply.text).unwrap_or_default()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.done(Method::POST, path, body).await
    }

    /// A name that nothing has.
    fn name(&mut self) -> String {
        self.made += 1;
        format!("n{}", self.made)
    }

    /// One more of a noun.
    async fn one(&mut self, nouns: &str, more: Value) -> String {
        let name = self.name();
        let mut body = json!({"name": name});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.post(&format!("/api/v1/{nouns}"), &body).await;
        format!("/api/v1/{nouns}/{name}")
    }

    async fn deployment(&mut self) -> String {
        self.one("deployments", json!({"engine": "echo", "env": {"SECRET": SECRETS[0]}})).await
    }

    async fn route(&mut self) -> String {
        let target = self.deployment().await;
        self.one("routes", json!({"targets": [{"deployment": target.rsplit('/').next()}]})).await
    }

    /// Another file that is a model.
    fn file(&mut self) -> (String, Vec<u8>) {
        let mut bytes = std::fs::read(tiny()).expect("the small model");
        bytes.extend([0; 32].repeat(self.made + 1));
        let name = self.name();
        let path = self.stage.folder().join(format!("{name}.gguf"));
        std::fs::write(&path, &bytes).expect("a copy");
        (path.display().to_string(), bytes)
    }

    /// A model with two versions, and the digest of the first.
    async fn model(&mut self) -> (String, String) {
        let (first, second) = (self.file().0, self.file().0);
        let path = self.one("models", json!({"source": format!("file:{first}"), "keep": "copy"})).await;
        let name = path.rsplit('/').next().expect("a name").to_owned();
        let digest = |model: &Value| model["status"]["tags"]["latest"].as_str().expect("a digest").to_owned();
        let old = digest(&self.done(Method::GET, &path, &json!({})).await);
        self.post("/api/v1/models", &json!({"name": name, "source": format!("file:{second}"), "keep": "copy"})).await;
        (path, old)
    }

    /// A file that is on its way here, or whole: where its bytes go, and they.
    async fn upload(&mut self, send: bool) -> (String, Vec<u8>, String) {
        let (_, bytes) = self.file();
        let digest = registry::Digest::of(&bytes);
        let begin = begin_upload(&bytes, send);
        let headers: Vec<(&str, &str)> = begin.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = self.admin.ask_with(Method::POST, &begin.path, &headers, begin.body).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        (format!("{UPLOADS}/{}", digest.hex()), bytes, digest.to_string())
    }

    /// A deployment in the middle of a canary.
    async fn canary(&mut self) -> String {
        let rollout = json!({"strategy": "canary", "canary": {"weights": [10], "hold": "1h", "max_latency_ratio": 100}});
        let path = self
            .one("deployments", json!({"url": self.upstream.url(), "upstream_model": "old", "replicas": {"min": 1}, "rollout": rollout}))
            .await;
        let name = path.rsplit('/').next().expect("a name").to_owned();
        reaches(&self.admin, &name, "complete", 1).await;
        self.done(Method::PATCH, &path, &json!({"upstream_model": "new"})).await;
        until("both serve", async || (self.admin.get(&format!("{path}/rollout")).await.json()["ready"] == 1).then_some(())).await;
        path
    }

    async fn node(&self) -> String {
        let nodes = self.admin.get("/api/v1/nodes").await.json();
        format!("/api/v1/nodes/{}/allocations", nodes["items"][0]["name"].as_str().expect("a node"))
    }

    fn service(&mut self) -> Value {
        let file = self.file().0;
        json!({"modelName": self.name(), "modelFileDir": file, "env": [{"key": "SECRET", "value": SECRETS[0]}],
            "resourceRequirements": {"acceleratorType": "cpu", "acceleratorCount": 0}})
    }

    /// How this row is asked so that something changes.
    async fn change(&mut self, row: &Row) -> Ask {
        let noun = row.path.strip_prefix("/api/v1/").and_then(|path| path.split('/').next()).unwrap_or_default();
        match (noun, row.method) {
            ("deployments", method) => self.change_deployment(row, method).await,
            ("models", method) => self.change_model(row, method).await,
            ("routes", "POST") => {
                let target = self.deployment().await;
                let name = self.name();
                with("/api/v1/routes", &json!({"name": name, "targets": [{"deployment": target.rsplit('/').next()}]}))
            }
            ("routes", "PUT") => {
                let route = self.route().await;
                let target = self.deployment().await;
                with(route, &json!({"targets": [{"deployment": target.rsplit('/').next(), "weight": 2}]}))
            }
            ("routes", "DELETE") => ask(self.route().await),
            ("nodes", "POST") => with(self.node().await, &json!({"bytes": 4096, "holder": "a batch"})),
            ("nodes", "DELETE") => {
                let path = self.node().await;
                let made = self.post(&path, &json!({"bytes": 4096, "holder": "a batch"})).await;
                ask(format!("{path}/{}", made["id"].as_str().expect("an id")))
            }
            ("operations", "DELETE") => {
                let body = json!({"name": self.name(), "source": "hf:me/capitals-GGUF"});
                let begun = self.post("/api/v1/models", &body).await;
                ask(format!("/api/v1/operations/{}", begun["id"].as_str().expect("an id")))
            }
            ("blobs" | "master-key", "POST") => ask(row.path),
            ("webhooks", "POST") => ask("/api/v1/webhooks/pager/resume"),
            ("modserv", method) => self.change_service(row, method).await,
            _ => self.change_of_people(row, noun).await,
        }
    }

    async fn change_deployment(&mut self, row: &Row, method: &str) -> Ask {
        match (method, row.path.rsplit('/').next().unwrap_or_default()) {
            ("POST", "deployments") => with(row.path, &json!({"name": self.name(), "engine": "echo", "env": {"SECRET": SECRETS[0]}})),
            ("POST", verb @ ("pause" | "promote" | "undo")) => ask(format!("{}/rollout/{verb}", self.canary().await)),
            ("POST", "resume") => {
                let path = self.canary().await;
                self.post(&format!("{path}/rollout/pause"), &json!({})).await;
                ask(format!("{path}/rollout/resume"))
            }
            ("POST", verb) => ask(format!("{}/{verb}", self.deployment().await)),
            ("DELETE", _) => ask(self.deployment().await),
            _ => with(self.deployment().await, &json!({"engine": "echo", "max_queue": 5})),
        }
    }

    async fn change_model(&mut self, row: &Row, method: &str) -> Ask {
        let rest = row.path.strip_prefix("/api/v1/models").unwrap_or_default();
        match (method, rest) {
            ("POST", "") => {
                let file = self.file().0;
                with(row.path, &json!({"name": self.name(), "source": format!("file:{file}")}))
            }
            ("PATCH", "/{name}") => with(self.model().await.0, &json!({"description": "small"})),
            ("DELETE", "/{name}") => ask(self.model().await.0),
            ("PUT", "/{name}/tags/{tag}") => {
                let (path, digest) = self.model().await;
                with(format!("{path}/tags/prod"), &json!({"version": digest}))
            }
            ("DELETE", "/{name}/tags/{tag}") => {
                let (path, digest) = self.model().await;
                self.done(Method::PUT, &format!("{path}/tags/prod"), &json!({"version": digest})).await;
                ask(format!("{path}/tags/prod"))
            }
            ("POST", "/{name}/versions") => {
                let (_, _, digest) = self.upload(true).await;
                with(format!("/api/v1/models/{}/versions", self.name()), &json!({"files": [{"name": "m.gguf", "digest": digest}]}))
            }
            ("PATCH", "/{name}/versions/{digest}") => {
                let (path, digest) = self.model().await;
                with(format!("{path}/versions/{digest}"), &json!({"note": "the first"}))
            }
            ("DELETE", "/{name}/versions/{digest}") => {
                let (path, digest) = self.model().await;
                ask(format!("{path}/versions/{digest}"))
            }
            ("POST", "/{name}/versions/upload") => begin_upload(&self.file().1, false),
            ("PATCH", "/{name}/versions/upload/{digest}") => {
                let (path, body, _) = self.upload(false).await;
                let headers = [TUS, ("upload-offset", "0"), ("content-type", "application/offset+octet-stream")];
                Ask { path, headers: headers.map(|(name, value)| (name, value.to_owned())).into(), body }
            }
            ("DELETE", "/{name}/versions/upload/{digest}") => {
                let (path, ..) = self.upload(false).await;
                Ask { path, headers: vec![(TUS.0, TUS.1.to_owned())], body: Vec::new() }
            }
            _ => nobody_says(row),
        }
    }

    async fn change_service(&mut self, row: &Row, method: &str) -> Ask {
        let service = self.service();
        if method == "POST" {
            return with(row.path, &service);
        }
        let made = self.post("/api/v1/modserv/deploy", &service).await;
        let path = format!("/api/v1/modserv/{}", made["data"]["serviceId"].as_str().expect("an id"));
        let more = json!({"replicaCount": 2});
        let mut changed = service;
        changed.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        with(path, &changed)
    }

    async fn change_of_people(&mut self, row: &Row, nouns: &str) -> Ask {
        let (new, patch) = match nouns {
            "projects" => (json!({}), json!({"limits": {"concurrency": 5}})),
            "roles" => (json!({"rights": {"calls": ["use"]}}), json!({"description": "tests"})),
            "users" => (json!({}), json!({"roles": ["viewer"]})),
            "tokens" => (json!({"scopes": ["inference"]}), json!({"models": ["m"]})),
            "secrets" => (json!({"value": SECRETS[1]}), json!({})),
            _ => nobody_says(row),
        };
        let name = self.name();
        let mut body = json!({"name": name});
        body.as_object_mut().expect("an object").extend(new.as_object().expect("an object").clone());
        if row.method == "POST" {
            return with(row.path, &body);
        }
        let made = self.post(&format!("/api/v1/{nouns}"), &body).await;
        let id = made["id"].as_str().unwrap_or(&name);
        with(format!("/api/v1/{nouns}/{id}"), &patch)
    }
}

const UPLOADS: &str = "/api/v1/models/sent/versions/upload";

fn begin_upload(bytes: &[u8], send: bool) -> Ask {
    use base64::Engine as _;
    let digest = base64::prelude::BASE64_STANDARD.encode(registry::Digest::of(bytes).hex());
    let mut headers =
        vec![(TUS.0, TUS.1.to_owned()), ("upload-length", bytes.len().to_string()), ("upload-metadata", format!("sha256 {digest}"))];
    if send {
        headers.push(("content-type", "application/offset+octet-stream".to_owned()));
    }
    Ask { path: UPLOADS.to_owned(), headers, body: if send { bytes.to_vec() } else { Vec::new() } }
}

fn nobody_says(row: &Row) -> ! {
    panic!("{} {} changes something: say here how it is asked, and what it was before and after in its handler", row.method, row.path)
}

/// A hub whose one model never gets here, and a receiver of events that nobody listens for.
async fn scene() -> (app::serve::House, Scene) {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    let host = pulls::hub(Some(64)).await;
    std::fs::write(stage.folder().join("hook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a file");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let config = format!(
        "webhooks:\n  - {{ name: pager, url: 'http://{closed}/{}', secret_file: hook.secret }}\noutbound: {{ allow: [127.0.0.0/8] }}\n{}",
        SECRETS[2],
        pulls::config(&host)
    );
    let house = stage.house(&config).await;
    let admin = stage.client(&house);
    (house, Scene { stage, admin, upstream, _host: host, made: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_that_changes_something_is_written_down_once_with_before_and_after_and_without_a_secret() {
    let (house, mut scene) = scene().await;
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.changes().is_some()).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let Ask { path, headers, body } = scene.change(row).await;
        let id = format!("change-{number}");
        let mut all: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(("x-request-id", &id));
        let before = scene.admin.get("/api/v1/events?kind=audit&limit=1000").await.json()["items"].as_array().map_or(0, Vec::len);
        let answer = scene.admin.ask_with(row.method.parse().expect("a method"), &path, &all, body).await;
        assert!((200..300).contains(&answer.status), "{} {path}: {} {}", row.method, answer.status, answer.text);
        let told = scene.admin.get("/api/v1/events?kind=audit&limit=1000").await;
        let items = told.json()["items"].as_array().cloned().unwrap_or_default();
        assert_eq!(items.len(), before + 1, "{} {path}: one change is one event", row.method);
        let event = items.iter().find(|item| item["audit"]["request_id"] == id.as_str()).unwrap_or_else(|| panic!("{} {path}", row.method));
        check(row, &path, event);
        text = told.text;
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(
        !text.contains("psk_") || !text.split("psk_").skip(1).any(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).count() > 12)
    );
    let quiet = scene.admin.get("/api/v1/events?limit=1000").await;
    assert!(!quiet.text.contains("\"audit\""), "the story is told without them");
    println!("audit: {} rows change something, and each was made and written down", rows.len());
    drop(scene);
    stop(house).await;
}

/// Who, what, from where, before and after.
fn check(row: &Row, path: &str, event: &Value) {
    let audit = &event["audit"];
    let action = format!("{} {path}", row.method);
    assert_eq!((audit["action"].as_str(), audit["address"].as_str()), (Some(action.as_str()), Some("127.0.0.1")), "{event}");
    assert_eq!((event["cause"]["kind"].as_str(), event["cause"]["token"].as_str()), (Some("api"), Some("admin")), "{event}");
    let (verb, kind) = row.changes().expect("it changes something");
    assert_eq!((audit["verb"].as_str(), audit["kind"].as_str()), (Some(verb.to_string().as_str()), Some(kind.to_string().as_str())));
    let (before, after) = (!audit["before"].is_null(), !audit["after"].is_null());
    // What is made was not there before; what is done once and leaves nothing to compare (a prune, a load) says what came of it.
    let gone = row.method == "DELETE" && verb == Verb::Delete;
    assert!(if gone { before } else { after || before }, "{event}");
    if matches!(row.method, "PATCH" | "PUT") && !row.quiet {
        assert!(before && after && audit["before"] != audit["after"], "{event}");
    }
}
