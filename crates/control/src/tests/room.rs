//! A house to ask, and its answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::login::{self, Logins};
use access::{Access, Mode, NewToken};
use axum::Router;
use axum::body::Body;
use base::ByteSize;
use base::tasks::Task;
use board::Board;
use fleet::{Config, Fleet};
use gguf::sample::Sample;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use registry::Registry;
use runtime::Runtime;
use runtime::external::ExternalRuntime;
use runtime::programs::Programs;
use serde_json::Value;
use spec::{EngineKind, Scope};
use store::Store;
use tempfile::TempDir;
use testkit::FakeRuntime;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::{Parts, router};

/// Longer than anything here takes; a test that waits so long has failed.
pub(super) const SOON: Duration = Duration::from_mins(2);

pub(super) struct Room {
    pub(super) dir: TempDir,
    pub(super) parts: Parts,
    pub(super) app: Router,
    pub(super) runtime: Arc<FakeRuntime>,
    pub(super) closing: watch::Sender<bool>,
    /// May operate.
    pub(super) admin: String,
    /// May only call models.
    pub(super) user: String,
    _fleet: Task,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }
}

/// A program that says what llama-server says of itself; the fake runtime never runs it. Written once
/// and before anything is started, so that no child can hold it open for writing.
fn llama_server() -> PathBuf {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let write = || {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("llama-server");
        let flags = "--model --alias --host --ctx-size --parallel --threads --n-gpu-layers --metrics";
        std::fs::write(&path, format!("#!/bin/sh\necho 'version: 1 (test)'\nprintf '%s\\n' {flags}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (dir, path)
    };
    PROGRAM.get_or_init(write).1.clone()
}

/// The bytes of a small model that says this of itself.
pub(super) fn model_of(description: &str) -> Vec<u8> {
    let sample = Sample::llama().text("general.description", description);
    let mut bytes = sample.header();
    bytes.resize(usize::try_from(sample.file_len()).unwrap(), 0);
    bytes
}

async fn token(access: &Access, name: &str, scope: Scope) -> String {
    let new = NewToken { scopes: vec![scope], ..NewToken::named(name) };
    access.create(new).await.unwrap().1.expose().to_owned()
}

impl Room {
    pub(super) async fn open() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
        let kept = blobs::Config { reserve: ByteSize(0), ..blobs::Config::at(dir.path().join("blobs")) };
        let dirs = registry::Config { base_dir: dir.path().to_owned(), ..registry::Config::default() };
        let registry = Registry::keeping(store.clone(), dirs, Some(blobs::Blobs::open(kept).await.unwrap()));
        let access = Access::open(store.clone(), Mode::Tokens).await.unwrap();
        let (board, runtime) = (Board::new(), FakeRuntime::new(ByteSize::mib(4096)));
        let program = [(EngineKind::LlamaServer, llama_server())].into();
        let (fleet, task) = Fleet::start(fleet::Parts {
            store: store.clone(),
            registry: registry.clone(),
            board: Arc::clone(&board),
            runtimes: vec![Arc::clone(&runtime) as Arc<dyn Runtime>, ExternalRuntime::new()],
            programs: Arc::new(Programs::new("/bin/true".into(), program, None, None)),
            secrets: Arc::new(|_| None),
            config: Config { tick: Duration::from_millis(50), ..Config::new(dir.path()) },
        })
        .await
        .unwrap();
        let (admin, user) = (token(&access, "ops", Scope::Admin).await, token(&access, "app", Scope::Inference).await);
        let logins = Logins::open(&access, login::Config::local("http://127.0.0.1:8080"), &|_| None).await.unwrap();
        let (closing, closed) = watch::channel(false);
        let vault = vault::Vault::open(store.clone(), vault::MasterKey::Own(dir.path().join("master-key"))).await.unwrap();
        let (version, base_url) = ("1.2.3".to_owned(), "http://127.0.0.1:8080".to_owned());
        let parts = Parts {
            store,
            access,
            logins,
            registry,
            fleet,
            board,
            webhooks: ::webhooks::Handle::default(),
            vault,
            outbound: net::Guard::default(),
            buckets: vec!["s3://shared/models/".to_owned(), "gs://open".to_owned()],
            version,
            base_url,
            closing: closed,
        };
        Self { app: router(parts.clone()), dir, parts, runtime, closing, admin, user, _fleet: task }
    }

    /// A model file in the house; its whole path.
    pub(super) fn model(&self, path: &str) -> String {
        self.file(path, &model_of("a model"))
    }
    pub(super) fn file(&self, path: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> http::Response<Body> {
        let answer = tokio::time::timeout(SOON, self.app.clone().oneshot(request)).await;
        answer.expect("an answer in time").unwrap()
    }
    /// Asks as an operator, with more headers (`name: value`).
    pub(super) async fn ask_with(&self, headers: &[(&str, &str)], method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.admin));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        let (parts, body) = answer.into_parts();
        let bytes = tokio::time::timeout(SOON, body.collect()).await.expect("a body in time").unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(&[], method, path, body).await
    }
    pub(super) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await.expect(200)
    }

    /// Asks again whenever the fleet has moved, until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let mut moved = self.parts.fleet.watch();
        let looked = async {
            loop {
                let answer = self.ask("GET", path, "").await;
                if wanted(&answer) {
                    return answer;
                }
                // What is stored may move without the fleet.
                drop(tokio::time::timeout(Duration::from_millis(100), moved.changed()).await);
            }
        };
        if let Ok(answer) = tokio::time::timeout(SOON, looked).await {
            return answer;
        }
        panic!("it did not come so far: {}", self.ask("GET", path, "").await.text)
    }
    pub(super) async fn until_state(&self, name: &str, state: &str) -> Value {
        let path = format!("/api/v1/deployments/{name}");
        self.until(&path, |answer| answer.json()["status"]["state"] == state).await.json()
    }
}
