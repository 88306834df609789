//! The fake engine beside the real llama-server: the same asks, and answers of the same shape.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::tasks;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::stage::{PATIENCE, Stage, tiny, until};

const KEY: &str = "a-key";

/// A server of its own; dropping it kills it.
struct Engine {
    child: Child,
    socket: PathBuf,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Engine {
    async fn start(program: &Path, folder: &Path, name: &str) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let mut command = Command::new(program);
        command.args(["--model", &tiny(), "--alias", "tiny", "--host"]).arg(&socket);
        command.args(["--ctx-size", "512", "--parallel", "2", "--no-kv-unified", "--threads", "1", "--n-gpu-layers", "0", "--metrics"]);
        command.env_clear().env("LLAMA_API_KEY", KEY).env("FAKE_ENGINE_TOKENS", "20");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("an engine");
        let engine = Self { child, socket };
        until("it is up", async || (engine.get("/health").await?.status == 200).then_some(())).await;
        engine
    }
    async fn get(&self, path: &str) -> Option<Answer> {
        self.ask(Method::GET, path, Some(KEY), String::new()).await
    }
    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, Some(KEY), body.to_string()).await.expect("an answer")
    }
    async fn ask(&self, method: Method, path: &str, key: Option<&str>, body: String) -> Option<Answer> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let _connection = tasks::spawn("engine-connection", async move { drop(connection.await) });
        let mut request =
            Request::builder().method(method).uri(path).header("host", "localhost").header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).ok()?).await.ok()?;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(&response.into_body().collect().await.ok()?.to_bytes()).into_owned();
        Some(Answer { status, kind, text })
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    kind: String,
    text: String,
}

/// Every path in a document, with the kind of what stands there.
fn shape(value: &Value) -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    walk(value, "", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items.iter().take(1).for_each(|item| walk(item, &format!("{path}[]"), found));
            "array"
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}.{name}"), found));
            "object"
        }
    };
    found.insert(path.to_owned(), kind);
}

/// The fake says nothing that the real one does not say.
fn is_true(what: &str, fake: &Value, real: &Value) {
    let (fake_shape, real_shape) = (shape(fake), shape(real));
    for (path, kind) in &fake_shape {
        assert_eq!(real_shape.get(path), Some(kind), "{what}: `{path}`\nfake {fake}\nreal {real}");
    }
    for path in [".choices", ".usage", ".error", ".data", ".object", ".model", ".id"] {
        assert_eq!(fake_shape.contains_key(path), real_shape.contains_key(path), "{what}: `{path}`\nfake {fake}\nreal {real}");
    }
}

fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()))).collect()
}

fn document(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

async fn pair(stage: &Stage, fake: &Stage) -> (Engine, Engine) {
    let program = |stage: &Stage| PathBuf::from(stage.variables()["PENSTOCK_LLAMA_SERVER"].clone());
    let real = Engine::start(&program(stage), stage.folder(), "real").await;
    let fake = Engine::start(&program(fake), stage.folder(), "fake").await;
    (real, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_engine_answers_in_the_shapes_of_the_real_one() {
    let Some(stage) = Stage::with_engine() else { return };
    let (real, fake) = pair(&stage, &Stage::with_fake()).await;
    let chat = json!({"model": "tiny", "messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 5, "temperature": 0});
    let text = json!({"model": "tiny", "prompt": "one two", "max_tokens": 5, "temperature": 0});
    for (path, body) in [("/v1/chat/completions", &chat), ("/v1/completions", &text)] {
        let (was, is) = (real.post(path, body).await, fake.post(path, body).await);
        assert_eq!((is.status, &is.kind), (was.status, &was.kind), "{path}");
        is_true(path, &document(&is), &document(&was));
        let mut streamed = body.clone();
        streamed["stream"] = json!(true);
        for usage in [false, true] {
            streamed["stream_options"] = json!({"include_usage": usage});
            let (was, is) = (real.post(path, &streamed).await, fake.post(path, &streamed).await);
            assert_eq!((is.status, &is.kind), (was.status, &was.kind), "{path}");
            let (was, is) = (events(&was.text), events(&is.text));
            assert_eq!((is.len(), is.last()), (was.len(), was.last()), "{path}: {is:?} {was:?}");
            for (is, was) in is.iter().zip(&was) {
                is_true(path, is, was);
            }
        }
    }
    let (was, is) = (real.get("/v1/models").await.expect("models"), fake.get("/v1/models").await.expect("models"));
    is_true("models", &document(&is), &document(&was));
    let (was, is) = (real.get("/slots").await.expect("slots"), fake.get("/slots").await.expect("slots"));
    is_true("slots", &document(&is), &document(&was));
    let words = json!({"content": "one two"});
    is_true("tokenize", &document(&fake.post("/tokenize", &words).await), &document(&real.post("/tokenize", &words).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_engine_refuses_as_the_real_one_does() {
    let Some(stage) = Stage::with_engine() else { return };
    let (real, fake) = pair(&stage, &Stage::with_fake()).await;
    let long = json!({"model": "tiny", "prompt": "word ".repeat(600)}).to_string();
    let asks = [
        (Method::GET, "/v1/models", None, String::new()),
        (Method::GET, "/nothing", Some(KEY), String::new()),
        (Method::POST, "/v1/chat/completions", Some("another"), "{}".to_owned()),
        (Method::POST, "/v1/completions", Some(KEY), long),
        (Method::POST, "/v1/embeddings", Some(KEY), json!({"input": "one"}).to_string()),
    ];
    for (method, path, key, body) in asks {
        let was = real.ask(method.clone(), path, key, body.clone()).await.expect("an answer");
        let is = fake.ask(method, path, key, body).await.expect("an answer");
        assert_eq!((is.status, &is.kind), (was.status, &was.kind), "{path}: {is:?} {was:?}");
        let (is, was) = (document(&is), document(&was));
        is_true(path, &is, &was);
        assert_eq!((&is["error"]["type"], &is["error"]["code"]), (&was["error"]["type"], &was["error"]["code"]), "{path}");
    }
}

/// Stops one thread of a process for as long as somebody holds its input.
const FREEZE: &str = "import ctypes, os, sys
libc, thread = ctypes.CDLL(None), int(sys.argv[1])
SEIZE, INTERRUPT, ALL = 0x4206, 0x4207, 0x40000000
if libc.ptrace(SEIZE, thread, 0, 0) or libc.ptrace(INTERRUPT, thread, 0, 0):
    sys.exit(1)
os.waitpid(thread, ALL)
print('frozen', flush=True)
sys.stdin.read()
";

/// Why an idle engine needs no call to show that it lives: the page that its probe reads is made by the loop that makes the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_engine_answers_for_its_health_without_its_loop_and_for_its_metrics_only_with_it() {
    const LONG_ENOUGH: Duration = Duration::from_secs(2);
    let Some(stage) = Stage::with_engine() else { return };
    let program = PathBuf::from(stage.variables()["PENSTOCK_LLAMA_SERVER"].clone());
    let engine = Engine::start(&program, stage.folder(), "real").await;
    assert_eq!(engine.get("/metrics").await.map(|answer| answer.status), Some(200));
    let mut command = Command::new("python3"); // its main thread is the one that runs the loop
    command.args(["-c", FREEZE, &engine.child.id().to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut freezer) = command.spawn() else { return println!("skipped: no python3") };
    let mut said = String::new();
    let output = freezer.stdout.take().expect("its output");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut said).expect("a line");
    if said.trim() != "frozen" {
        drop(freezer.wait());
        return println!("skipped: no thread may be stopped here");
    }
    assert_eq!(engine.get("/health").await.map(|answer| answer.status), Some(200));
    assert!(tokio::time::timeout(LONG_ENOUGH, engine.get("/metrics")).await.is_err(), "nobody but the loop makes the page");
    drop(freezer.stdin.take());
    freezer.wait().expect("its end");
    let again = until("the loop goes on", async || engine.get("/metrics").await).await;
    assert_eq!(again.status, 200);
}

/// What the pages of this engine say of its load, as the fleet reads them.
async fn load(engine: &Engine) -> Option<engine::Load> {
    let reads = engine::engine(spec::EngineKind::LlamaServer);
    let (metrics, slots) = (engine.get("/metrics").await?, engine.get("/slots").await?);
    assert_eq!((metrics.status, slots.status), (200, 200), "{metrics:?} {slots:?}");
    reads.load(&metrics.text, Some(&slots.text))
}

async fn keep_busy(engine: &Engine, call: &Value) {
    loop {
        assert_eq!(engine.post("/v1/completions", call).await.status, 200);
    }
}

/// Every number that replicas follow is really told by the engine that is carried along, under the name by which it is read.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_engine_tells_all_that_is_read_of_its_load_and_its_cache() {
    const SECRET: &str = "albatross";
    let Some(stage) = Stage::with_engine() else { return };
    let (real, fake) = pair(&stage, &Stage::with_fake()).await;
    for (engine, is_real) in [(&real, true), (&fake, false)] {
        let idle = load(engine).await.expect("a load");
        assert_eq!((idle.running, idle.waiting, idle.kv_use), (0, 0, Some(0)), "{idle:?}");
        // Two slots of 256 tokens each: two calls fill them while two wait.
        let more = json!({"model": "tiny", "prompt": SECRET, "max_tokens": 10_000, "ignore_eos": true, "temperature": 0});
        let calls = futures_util::future::join_all((0..4).map(|_| keep_busy(engine, &more)));
        let mut most = engine::Load::default();
        let looks = async {
            loop {
                let now = load(engine).await.expect("a load");
                most.running = most.running.max(now.running);
                most.waiting = most.waiting.max(now.waiting);
                most.steps = most.steps.max(now.steps);
                most.kv_use = most.kv_use.max(now.kv_use);
                let slots = engine.get("/slots").await.expect("slots").text;
                assert!(!slots.contains(SECRET), "nobody reads prompts there: {slots}");
                let is_told = most.running == 2 && most.waiting > 0 && most.steps > idle.steps && most.kv_use > Some(0);
                if !is_real || is_told {
                    return;
                }
            }
        };
        let looked = tokio::select! {
            looked = tokio::time::timeout(PATIENCE, looks) => looked.is_ok(),
            _ = calls => false,
        };
        assert!(looked, "not all of it was told: {most:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_engine_counts_under_the_names_of_the_real_one() {
    let Some(stage) = Stage::with_engine() else { return };
    let (real, fake) = pair(&stage, &Stage::with_fake()).await;
    let names = |text: &str| -> BTreeMap<String, String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split_once(' ')).map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };
    let (was, is) = (real.get("/metrics").await.expect("metrics"), fake.get("/metrics").await.expect("metrics"));
    let (was, is) = (names(&was.text), names(&is.text));
    assert!(!is.is_empty());
    for (name, kind) in &is {
        assert_eq!(was.get(name), Some(kind), "{name}: {was:?}");
    }
    for name in ["llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:tokens_predicted_total"] {
        assert!(is.contains_key(name), "{name}");
    }
}
