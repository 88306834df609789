//! How much time is Penstock's own when a model is started, or another takes its place, and for a turn of its fleet?
//!
//! In: the site and the choice. Out: a table and JSON under `bench/results/` ([`page`]). Cold starts ([`cold`]): an engine that writes down
//! when it began and when it was ready (the tests' fake one) is called while it is not loaded; once it loads at once, so that many starts fit into a
//! minute, and once for seconds, when whoever asks whether it is ready has begun to ask less often. Swaps ([`swap`]): two copies of the small
//! model on the real llama-server, in memory for one, are called in turn; the same is asked of llama-server's own
//! router, and the engine's own time is taken from starting and ending it alone. Turns: see [`super::turn`]; crowds: see
//! [`super::herd`]. Fails: when a part does not start.

mod cold;

mod page;

mod swap;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::figures::median;
use super::herd::Herd;
use super::party::write;
use super::turn::{self, Turn};
use crate::http::{Call, send};
use crate::leash::{Leash, Order};
use crate::scratch::Scratch;
use crate::site::{ENGINE_VARIABLE, Site};
use crate::{dist, engine, say, shell};

const START: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);
const MODELS: [&str; 2] = ["one", "two"];
/// What the fake engine is told to take for a load.
const SHORT_LOAD: &str = "50ms";
/// While a crowd comes.
const CROWD_LOAD: &str = "3s";
/// Loads of seconds, of several lengths: at one alone the end would always lie at the same place between two asks.
const LONG_LOADS: [&str; 4] = ["2700ms", "2900ms", "3s", "3300ms"];
/// Of the cold starts, so many with each long load.
const LONG_SHARE: u32 = 20;
const MS_PER_SEC: f64 = 1e3;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// How many cold starts, and half as many swaps
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    starts: u32,
    /// This Penstock instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What was found; milliseconds.
#[derive(Debug, Serialize)]
struct Findings {
    date: String,
    starts: usize,
    /// From the call to the first line of the engine.
    spawn_p50: f64,
    spawn_p99: f64,
    /// From the engine's being ready to the end of the answer, which it makes at once.
    seen_p50: f64,
    seen_p99: f64,
    /// The same of an engine that loads for some three seconds.
    long_starts: usize,
    long_seen_p50: f64,
    long_seen_most: f64,
    swaps: usize,
    swap: f64,
    /// llama-server's router, the same two models, one at a time.
    router_swap: Option<f64>,
    /// The engine alone: its load, its end, and a call.
    engine_load: f64,
    engine_end: f64,
    engine_call: f64,
    /// Over 10,000 deployments and 1,000 instances.
    turn: Turn,
    /// A thousand callers at once.
    herd: Herd,
}

impl Findings {
    fn overhead(&self) -> f64 {
        self.swap - self.engine_load - self.engine_end - self.engine_call
    }
}

/// Measures and writes the results.
pub(crate) fn run(site: &Site, jobs: usize, choice: &Choice) -> Result<()> {
    let binary = match &choice.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => dist::build(site, jobs, dist::Way::Plain)?,
    };
    let real = engine::obtain(site, jobs, engine::Use::Here)?;
    shell::run(site.cargo().args(["build", "--release", "--package", "testkit", "--bin", "fake-engine", "--jobs", &jobs.to_string()]))?;
    let fake = site.target().join("release/fake-engine");
    say::step("cold starts");
    let programs = (binary.as_path(), fake.as_path());
    let short = cold::starts(site, programs, SHORT_LOAD, choice.starts)?;
    say::step("cold starts of an engine that loads for seconds");
    let mut long = Vec::new();
    for load in LONG_LOADS {
        long.extend(cold::starts(site, programs, load, (choice.starts / LONG_SHARE).max(1))?.seen);
    }
    say::step("a thousand callers at once, on a model that is not loaded");
    shell::run(site.cargo().args(["build", "--release", "--package", "bench", "--jobs", &jobs.to_string()]))?;
    let herd = cold::crowd(site, programs, CROWD_LOAD)?;
    say::step("the engine alone");
    let (engine_load, engine_end, engine_call) = swap::alone(site, &real)?;
    let swaps = choice.starts / 2;
    say::step("swaps");
    let ours = swap::of_penstock(site, &binary, &real, swaps)?;
    say::step("swaps of llama-server's router");
    let router = swap::of_router(site, &real, swaps);
    let router_swap = router.map_err(|error| say::note(&format!("without llama-server's router: {error:#}"))).ok();
    say::step("turns over 10,000 deployments and 1,000 instances");
    let turn = turn::measure(site, jobs)?;
    let date = shell::text(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned();
    let findings = Findings {
        date,
        starts: short.spawn.len(),
        spawn_p50: median(&short.spawn),
        spawn_p99: high(&short.spawn),
        seen_p50: median(&short.seen),
        seen_p99: high(&short.seen),
        long_starts: long.len(),
        long_seen_p50: median(&long),
        long_seen_most: long.iter().copied().fold(0.0, f64::max),
        swaps: ours.len(),
        swap: median(&ours),
        router_swap: router_swap.map(|times| median(&times)),
        engine_load,
        engine_end,
        engine_call,
        turn,
        herd,
    };
    tell(site, &findings)
}

fn tell(site: &Site, findings: &Findings) -> Result<()> {
    let page = page::markdown(findings);
    say::result(&page);
    let day = findings.date.split(' ').next().unwrap_or_default();
    let folder = site.root.join("bench/results");
    for (ending, text) in [("md", page), ("json", serde_json::to_string_pretty(findings)?)] {
        let path = folder.join(format!("{day}-fleet.{ending}"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        say::note(&path.display().to_string());
    }
    Ok(())
}

/// The 99th of a hundred.
fn high(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0)
}

/// A server under measurement.
struct Server {
    leash: Leash,
    address: SocketAddr,
    _folder: Scratch,
}

fn penstock(site: &Site, binary: &Path, engine: &Path, more: &Value) -> Result<Server> {
    let folder = Scratch::new("fleet")?;
    let data = folder.path().join("data");
    let deployments: Vec<Value> = MODELS
        .iter()
        .map(|name| {
            let mut one = json!({ "name": name, "model": format!("file:{}", copy(site, folder.path(), name)?.display()) });
            one["env"] = more["env"].clone();
            if let Some(depth) = more.get("max_queue") {
                one["max_queue"] = depth.clone();
            }
            Ok(one)
        })
        .collect::<Result<_>>()?;
    let mut config = json!({
        "listen": "127.0.0.1:0", "data_dir": data, "auth": { "mode": "open" }, "log": { "level": "warn" },
        "deployments": deployments,
    });
    if let Some(budget) = more.get("budget") {
        config["memory"] = json!({ "budget": budget });
    }
    let config = write(folder.path(), "penstock.yaml", &config.to_string())?;
    let arguments = ["serve", "--config", &config];
    let environment = [(ENGINE_VARIABLE, engine)];
    let leash =
        Leash::start(&Order { program: binary, arguments: &arguments, environment: &environment, bare: false, folder: folder.path() })?;
    let begun = Instant::now();
    while begun.elapsed() < START {
        leash.expect_alive(LOOK_EVERY)?;
        if let Some(address) = fs::read_to_string(data.join("address")).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(Server { leash, address, _folder: folder });
        }
    }
    bail!("penstock did not start; its last lines:\n{}", leash.last_lines())
}

/// Two names of one file would be one model.
fn copy(site: &Site, folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.gguf"));
    fs::copy(site.tiny_model(), &path).context("the small model cannot be copied")?;
    Ok(path)
}

/// One call of one token; how long it took, in milliseconds.
fn call(address: SocketAddr, model: &str) -> Result<f64> {
    let body = json!({ "model": model, "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let begun = Instant::now();
    let mut reply = send(address, Call { path: "/v1/chat/completions", token: None, body: Some(&body) })?;
    let text = reply.rest()?;
    if reply.status != 200 {
        bail!("a call of `{model}` was answered {}: {text}", reply.status);
    }
    Ok(begun.elapsed().as_secs_f64() * MS_PER_SEC)
}
