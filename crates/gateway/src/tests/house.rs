//! A gateway with a hand-written board, a store in memory of its own and whatever engines a test brings.

use std::sync::Arc;
use std::time::Duration;

use crate::{Config, Gateway, MetricsAccess, Parts, StatusDoc, StatusInstance};
use access::{Access, Mode, NewToken};
use axum::Router;
use axum::body::Body;
use base::{Secret, Timestamp};
use board::{Board, Entry, Member, State, Table};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use spec::{Deployment, Dialect, Endpoint, Format, InstanceId, Limits, Name, Version};
use store::{GroupBy, Journal, JournalConfig, Store, UsageQuery};
use tempfile::TempDir;
use tokens::Counts;
use tower::ServiceExt as _;

pub(crate) struct House {
    pub(crate) board: Arc<Board>,
    pub(crate) access: Access,
    pub(crate) store: Store,
    pub(crate) counts: Arc<Counts>,
    pub(crate) gateway: Gateway,
    pub(crate) router: Router,
    pub(crate) dir: TempDir,
    pub(crate) token: String,
}

/// An answer that has been read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("null").to_owned()
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::watched(config, crate::Watch::default()).await
    }

    pub(crate) async fn watched(config: Config, watch: crate::Watch) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store.db").to_str().unwrap()).await.unwrap();
        let access = Access::open(store.clone(), Mode::Tokens).await.unwrap();
        let board = Board::new();
        let counts = Arc::new(Counts::default());
        let published = Arc::clone(&board);
        let instances = move || {
            let of = |name: &Name| StatusInstance { model_id: name.to_string(), state: "ready", ..StatusInstance::default() };
            published.table().deployments.keys().map(of).collect()
        };
        let gateway = Gateway::new(Parts {
            board: Arc::clone(&board),
            access: access.clone(),
            journal: Journal::open(store.clone(), JournalConfig::new(dir.path().join("journal"))).await.unwrap(),
            store: store.clone(),
            counts: Arc::clone(&counts),
            // These requests come over no connection, so from nowhere.
            config: Config { metrics: MetricsAccess::Open, ..config },
            status: Arc::new(move || StatusDoc { state: "ready", loads_total: 3, instances: instances(), ..StatusDoc::default() }),
            watch,
        });
        let router = gateway.router();
        let mut house = Self { board, access, store, counts, gateway, router, dir, token: String::new() };
        house.token = house.token_for(None, Limits::default()).await;
        house
    }

    pub(crate) async fn token_for(&self, models: Option<Vec<String>>, limits: Limits) -> String {
        let new = NewToken { models, limits, ..NewToken::named("t") };
        self.access.create(new).await.unwrap().1.expose().to_owned()
    }

    /// Publishes these deployments in place of all others.
    pub(crate) fn publish(&self, entries: impl IntoIterator<Item = Entry>) {
        let deployments = entries.into_iter().map(|entry| (entry.name.clone(), Arc::new(entry))).collect();
        self.board.publish(Table { deployments, ..Table::default() });
    }

    pub(crate) fn request(&self, path: &str, body: impl Into<Body>) -> Request<Body> {
        let request = Request::post(path).header("authorization", format!("Bearer {}", self.token));
        request.header("content-type", "application/json").body(body.into()).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Request<Body> {
        Request::get(path).header("authorization", format!("Bearer {}", self.token)).body(Body::empty()).unwrap()
    }

    /// The answer as it begins.
    pub(crate) async fn begin(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The whole answer.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = super::soon(self.begin(request)).await.into_parts();
        let body = super::soon(body.collect()).await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn chat(&self, body: &str) -> Answer {
        self.ask(self.request("/v1/chat/completions", body.to_owned())).await
    }

    /// Calls, those completed, tokens in and out of a model, by the rows in the store.
    pub(crate) async fn rows(&self, model: &str) -> (u64, u64, u64, u64) {
        self.gateway.flush().await;
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
        let totals = self.store.usage_sums(&UsageQuery { from, to, by: vec![GroupBy::Model], most: 100 }).await.unwrap();
        let of = totals.iter().find(|total| total.keys[0].as_deref().unwrap_or_default() == model);
        of.map_or((0, 0, 0, 0), |total| (total.calls, total.completed, total.prompt_tokens, total.completion_tokens))
    }

    /// The value of the first series whose line holds all of these words; 0 when there is none.
    pub(crate) async fn metric(&self, words: &[&str]) -> f64 {
        let text = self.ask(self.get("/metrics")).await.body;
        let line = text.lines().find(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

pub(crate) const ALL: Dialect = Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true };
/// As llama-server is talked to.
pub(crate) const STREAMS: Dialect = Dialect { always_stream: true, ..ALL };

/// A deployment that is ready on these engines.
pub(crate) fn entry(name: &str, dialect: Dialect, engines: &[(&Endpoint, u32)]) -> Entry {
    let member = |(at, (endpoint, slots)): (usize, &(&Endpoint, u32))| {
        let key = Some(Secret::new("engine-key"));
        Arc::new(Member {
            id: InstanceId::new(format!("{name}-{at}")),
            endpoint: (*endpoint).clone(),
            key,
            slots: *slots,
            revision: 1,
            own: None,
        })
    };
    let name_of = Name::parse(name).unwrap();
    Entry {
        name: name_of.clone(),
        revision: 1,
        generation: 1,
        created: Timestamp::from_millis(1_700_000_000_000),
        spec: Arc::new(Deployment::named(name_of)),
        dialect,
        version: None,
        upstream_model: name.to_owned(),
        state: if engines.is_empty() { State::Cold } else { State::Ready },
        instances: engines.iter().enumerate().map(member).collect(),
        split: None,
        notice: None,
    }
}

/// The same with other limits.
pub(crate) fn limited(mut entry: Entry, change: impl FnOnce(&mut Deployment)) -> Entry {
    let mut spec = (*entry.spec).clone();
    change(&mut spec);
    entry.spec = Arc::new(spec);
    entry
}

/// The small model of the house.
pub(crate) fn tiny() -> Version {
    Version {
        digest: "sha256:tiny".to_owned(),
        path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf").into(),
        size: base::ByteSize::mib(2),
        format: Format::Gguf,
        architecture: "llama".to_owned(),
        quantisation: "F16".to_owned(),
        title: None,
        parameters: 869_504,
        context_length: 4096,
        layers: 4,
        weights: base::ByteSize::mib(2),
        kv_bytes_per_token: 1024,
        embedding_length: 128,
        vocabulary: 1024,
        has_template: true,
        contents: spec::Contents::default(),
        body: spec::Body::default(),
    }
}

pub(crate) const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
pub(crate) const MS: Duration = Duration::from_millis(1);

/// The next piece of a body.
pub(crate) async fn piece(body: &mut Body) -> Option<Bytes> {
    super::soon(body.frame()).await.map(|frame| frame.unwrap().into_data().unwrap())
}
