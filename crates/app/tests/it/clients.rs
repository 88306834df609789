//! The client libraries that people really use, against Penstock as a process.
//!
//! Life of such a test: Penstock with the small model on llama-server and with an engine that misbehaves
//! to order; a script of `tests/clients` that uses one library as its users do and says `ok` for each
//! thing that held; then a look at what the engine saw when the library left. The libraries are
//! installed by `cargo xtask test`, in exactly the versions of the lists beside the scripts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use testkit::upstream::{Script, Step, Upstream};
use tokio::process::Command;

use crate::process::Process;
use crate::stage::{Stage, environment, tiny};
use crate::wire::{HI, ROLE, soon};

/// Some of them take seconds to be loaded on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Models of the engine that does as it is told.
const PLAYED: [&str; 8] = ["fake", "org/model", "floats-only", "busy", "busy-once", "broken", "cut", "endless"];

/// Penstock and its engines.
struct Shop {
    stage: Stage,
    upstream: Upstream,
    process: Process,
}

impl Shop {
    async fn open() -> Option<Self> {
        let stage = Stage::with_engine()?;
        let upstream = Upstream::open().await.expect("an engine");
        play(&upstream);
        let mut config = format!("deployments:\n  - name: tiny\n    model: file:{}\n    embeddings: true\n", tiny());
        for name in PLAYED {
            let _ = writeln!(config, "  - name: {name}\n    url: {}", upstream.url());
        }
        let process = Process::start(&stage, &config).await;
        Some(Self { stage, upstream, process })
    }

    /// Runs a script and shows what it said.
    async fn run(&self, program: &Path, script: &Path, folder: &Path) {
        let wish = json!({"name": "poor", "models": ["fake"], "limits": {"requests_per_minute": 1}});
        let poor = self.process.client.post("/api/v1/tokens", &wish).await.json();
        let mut command = Command::new(program);
        command.arg(script).current_dir(self.stage.folder()).env_clear().kill_on_drop(true).stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.stage.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PENSTOCK_URL", format!("http://{}", self.process.address)).env("PENSTOCK_CLIENTS", folder);
        command
            .env("PENSTOCK_TOKEN", self.stage.token().expect("a token"))
            .env("PENSTOCK_POOR_TOKEN", poor["token"].as_str().expect("a token"));
        let Output { status, stdout, stderr } = tokio::time::timeout(PATIENCE, command.output()).await.expect("in time").expect("it runs");
        let said = String::from_utf8_lossy(&stdout);
        println!("{said}");
        assert!(status.success() && said.contains("ok "), "{status}\n{said}\n{}", String::from_utf8_lossy(&stderr));
        if said.contains("ok cancel") {
            soon(self.upstream.saw(|asks| asks.iter().filter(|ask| ask.model == "endless").all(|ask| ask.left.is_some()))).await;
            assert!(!self.upstream.asks_of("endless").is_empty(), "it was asked");
        }
    }
}

/// What the models do.
fn play(upstream: &Upstream) {
    let floats = json!({
        "object": "list", "model": "floats-only", "usage": {"prompt_tokens": 2, "total_tokens": 2},
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.0, 0.5, 0.25]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.5, 0.25]},
        ],
    });
    upstream.plays("floats-only", Script::json(200, floats.to_string()));
    let busy = r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let busy = Script::json(429, busy).header("retry-after", "1");
    upstream.plays("busy", busy.clone());
    upstream.next("busy-once", [busy]);
    upstream.plays("broken", Script::json(200, "{\"id\":").promising(1000).then(Step::Reset));
    upstream.plays("cut", Script::events([ROLE, HI]).then(Step::Fin));
    upstream.plays("endless", Script::events([ROLE]).then(Step::Forever(format!("data: {HI}\n\n").into(), Duration::from_millis(5))));
}

/// The folder that `cargo xtask test` has filled, if it holds this.
fn libraries(what: &str) -> Option<PathBuf> {
    let environment = environment();
    let named = environment.path("PENSTOCK_TEST_CLIENTS").map(|folder| vec![folder]);
    let folders = named.or_else(|| {
        let cache = std::fs::read_dir(environment.cache_dir()).ok()?;
        Some(cache.flatten().map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/clients-")).collect())
    });
    let found = folders.unwrap_or_default().into_iter().map(|folder| folder.join(what)).find(|folder| folder.join("whole").exists());
    if found.is_none() {
        println!("skipped: no client libraries for {what}; `cargo xtask test` installs them");
    }
    found
}

fn scripts(what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(what)
}

async fn python(script: &str) {
    let Some(folder) = libraries("python") else { return };
    let Some(shop) = Shop::open().await else { return };
    shop.run(&folder.join("bin/python3"), &scripts("python").join(script), &folder).await;
}

/// JavaScript looks for its libraries beside its scripts, so the scripts go where both can be.
async fn node(script: &str) {
    let Some(folder) = libraries("node") else { return };
    let Some(shop) = Shop::open().await else { return };
    let place = shop.stage.folder().join("scripts");
    std::fs::create_dir(&place).expect("a folder");
    for file in ["package.json", "common.js", script] {
        std::fs::copy(scripts("node").join(file), place.join(file)).expect("a script");
    }
    std::os::unix::fs::symlink(folder.join("node_modules"), place.join("node_modules")).expect("a link");
    shop.run(Path::new("node"), &place.join(script), &folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_for_python() {
    python("openai_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_for_python_with_responses() {
    python("openai_responses.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_library() {
    python("anthropic_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ollama_library() {
    python("ollama_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn litellm_as_a_client() {
    python("litellm_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_with_openai() {
    python("langchain_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tus_library() {
    python("tus_library.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_for_javascript() {
    node("openai_library.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_for_javascript_with_responses() {
    node("openai_responses.js").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ai_sdk_for_javascript() {
    node("ai_sdk.js").await;
}
