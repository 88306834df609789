//! How much time is Penstock's own when a model is started, or another takes its place, and for a turn of its fleet?
//!
//! In: the site and the choice. Out: a table and JSON under `bench/results/`. Cold starts: an engine that writes down
//! when it began and when it was ready (the tests' fake one) is called while it is not loaded. Swaps: two copies of the small
//! model on the real llama-server, in memory for one, are called in turn; the same is asked of llama-server's own
//! router, and the engine's own time is taken from starting and ending it alone. Turns: see [`super::turn`]; crowds: see
//! [`super::herd`]. Fails: when a part does not start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::figures::median;
use super::herd::{self, CALLERS, Herd};
use super::party::{free_port, wait, write};
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
const FAKE_LOAD: &str = "50ms";
/// While a crowd comes.
const LONG_LOAD: &str = "3s";
const MS_PER_SEC: f64 = 1e3;
const MICROS_PER_MS: f64 = 1e3;
/// More than one and less than two of them fit.
const ROOM_FOR: f64 = 1.3;
const SPAWN_P99_MS: f64 = 20.0;
const SEEN_P99_MS: f64 = 100.0;
const OVERHEAD_MS: f64 = 150.0;
const TURN_MS: f64 = 50.0;
const PUBLISH_MS: f64 = 1.0;
const FIRST_MS: f64 = 500.0;

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
        None => dist::build(site, jobs)?,
    };
    let real = engine::obtain(site, jobs, engine::Use::Here)?;
    shell::run(site.cargo().args(["build", "--release", "--package", "testkit", "--bin", "fake-engine", "--jobs", &jobs.to_string()]))?;
    let fake = site.target().join("release/fake-engine");
    say::step("cold starts");
    let (spawn, seen) = cold(site, &binary, &fake, choice.starts)?;
    say::step("a thousand callers at once, on a model that is not loaded");
    shell::run(site.cargo().args(["build", "--release", "--package", "bench", "--jobs", &jobs.to_string()]))?;
    let herd = crowd(site, &binary, &fake)?;
    say::step("the engine alone");
    let (engine_load, engine_end, engine_call) = alone(site, &real)?;
    let swaps = choice.starts / 2;
    say::step("swaps");
    let swap = swaps_of_penstock(site, &binary, &real, swaps)?;
    say::step("swaps of llama-server's router");
    let router = swaps_of_router(site, &real, swaps);
    let router_swap = router.map_err(|error| say::note(&format!("without llama-server's router: {error:#}"))).ok();
    say::step("turns over 10,000 deployments and 1,000 instances");
    let turn = turn::measure(site, jobs)?;
    let date = shell::text(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned();
    let findings = Findings {
        date,
        starts: spawn.len(),
        spawn_p50: median(&spawn),
        spawn_p99: high(&spawn),
        seen_p50: median(&seen),
        seen_p99: high(&seen),
        swaps: swap.len(),
        swap: median(&swap),
        router_swap: router_swap.map(|times| median(&times)),
        engine_load,
        engine_end,
        engine_call,
        turn,
        herd,
    };
    tell(site, &findings)
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

/// Times from the call to the spawn, and from ready to the answer.
fn cold(site: &Site, binary: &Path, fake: &Path, starts: u32) -> Result<(Vec<f64>, Vec<f64>)> {
    let notes = Scratch::new("diary")?;
    let diary = notes.path().join("diary");
    let env = json!({ "FAKE_ENGINE_DIARY": diary, "FAKE_ENGINE_LOAD": FAKE_LOAD, "FAKE_ENGINE_TOKENS": "1" });
    let server = penstock(site, binary, fake, &json!({ "env": env }))?;
    let (mut spawn, mut seen) = (Vec::new(), Vec::new());
    for number in 0..starts {
        let model = MODELS[usize::from(number % 2 == 1)];
        let _ = fs::remove_file(&diary); // there is none before the first start
        let asked = now();
        call(server.address, model).with_context(|| server.leash.last_lines())?;
        let answered = now();
        let times = read(&diary)?;
        spawn.push((at(&times, "begun")? - asked) / MICROS_PER_MS);
        seen.push((answered - at(&times, "ready")?) / MICROS_PER_MS);
        let path = format!("/api/v1/deployments/{model}/unload");
        send(server.address, Call { path: &path, token: None, body: Some("{}") })?.rest()?;
        let begun = Instant::now();
        while at(&read(&diary)?, "ended").is_err() {
            if begun.elapsed() > START {
                bail!("`{model}` was not unloaded");
            }
            server.leash.expect_alive(LOOK_EVERY)?;
        }
    }
    server.leash.stop()?;
    Ok((spawn, seen))
}

/// A thousand callers while the engine loads.
fn crowd(site: &Site, binary: &Path, fake: &Path) -> Result<Herd> {
    let notes = Scratch::new("diary")?;
    let diary = notes.path().join("diary");
    let env = json!({ "FAKE_ENGINE_DIARY": diary, "FAKE_ENGINE_LOAD": LONG_LOAD, "FAKE_ENGINE_TOKENS": "1" });
    let server = penstock(site, binary, fake, &json!({ "env": env, "max_queue": CALLERS }))?;
    let rig = site.target().join("release/penstock-bench");
    let starts = || Ok(fs::read_to_string(&diary)?.lines().filter(|line| line.split(' ').nth(2) == Some("begun")).count());
    let herd = herd::send(&rig, server.address, MODELS[0], starts).with_context(|| server.leash.last_lines())?;
    server.leash.stop()?;
    Ok(herd)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of today have 51 bits")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as f64
}

/// What the engine wrote down, by word.
fn read(diary: &Path) -> Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(diary).context("the engine wrote nothing down")?;
    let words = |line: &str| {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        Some((words.nth(1)?.to_owned(), at))
    };
    Ok(text.lines().filter_map(words).collect())
}

fn at(times: &BTreeMap<String, f64>, word: &str) -> Result<f64> {
    times.get(word).copied().with_context(|| format!("the engine has not written down when it {word}"))
}

/// Its load, its end and a call, in milliseconds; medians of some lives.
fn alone(site: &Site, real: &Path) -> Result<(f64, f64, f64)> {
    const LIVES: usize = 9;
    let (mut loads, mut ends, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let model = site.tiny_model().display().to_string();
    for _ in 0..LIVES {
        let folder = Scratch::new("engine")?;
        let address = free_port()?;
        let port = address.port().to_string();
        let arguments = ["--model", &model, "--port", &port, "--parallel", "1", "--cache-ram", "0", "--offline"];
        let begun = Instant::now();
        let leash = Leash::start(&Order { program: real, arguments: &arguments, environment: &[], bare: false, folder: folder.path() })?;
        wait(&leash, address, "/health", START)?;
        loads.push(begun.elapsed().as_secs_f64() * MS_PER_SEC);
        calls.push(call(address, "tiny")?);
        let begun = Instant::now();
        leash.stop()?;
        ends.push(begun.elapsed().as_secs_f64() * MS_PER_SEC);
    }
    Ok((median(&loads), median(&ends), median(&calls)))
}

fn swaps_of_penstock(site: &Site, binary: &Path, real: &Path, swaps: u32) -> Result<Vec<f64>> {
    let server = penstock(site, binary, real, &json!({}))?;
    call(server.address, MODELS[0]).with_context(|| server.leash.last_lines())?;
    let text = send(server.address, Call { path: "/api/v1/instances", token: None, body: None })?.rest()?;
    server.leash.stop()?;
    let shown: Value = serde_json::from_str(&text)?;
    let memory = shown.pointer("/items/0/reserved").and_then(Value::as_f64).with_context(|| format!("no memory is told in {text}"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of bytes")]
    let budget = (memory * ROOM_FOR) as u64;
    let server = penstock(site, binary, real, &json!({ "budget": budget }))?;
    let times = in_turn(server.address, swaps).with_context(|| server.leash.last_lines())?;
    server.leash.stop()?;
    Ok(times)
}

fn swaps_of_router(site: &Site, real: &Path, swaps: u32) -> Result<Vec<f64>> {
    let folder = Scratch::new("router")?;
    let models = folder.path().join("models");
    fs::create_dir(&models)?;
    for name in MODELS {
        copy(site, &models, name)?;
    }
    let address = free_port()?;
    let (port, models) = (address.port().to_string(), models.display().to_string());
    let arguments = ["--models-dir", &models, "--models-max", "1", "--port", &port, "--parallel", "1", "--cache-ram", "0", "--offline"];
    let leash = Leash::start(&Order { program: real, arguments: &arguments, environment: &[], bare: false, folder: folder.path() })?;
    wait(&leash, address, "/health", START)?;
    let times = in_turn(address, swaps).with_context(|| leash.last_lines())?;
    leash.stop()?;
    Ok(times)
}

/// The first call loads the first one; each one after it is a swap.
fn in_turn(address: SocketAddr, swaps: u32) -> Result<Vec<f64>> {
    call(address, MODELS[0])?;
    (1..=swaps).map(|number| call(address, MODELS[usize::from(number % 2 == 1)])).collect()
}

fn tell(site: &Site, findings: &Findings) -> Result<()> {
    let row = |goal: &str, limit: f64, found: f64| {
        format!(
            "| {goal} | at most {limit:.0} ms | {found:.*} ms | {} |\n",
            if found < 1.0 { 3 } else { 1 },
            if found <= limit { "yes" } else { "**no**" }
        )
    };
    let mut page = format!("# The fleet, measured\n\n{}; {} cold starts, {} swaps.\n\n", findings.date, findings.starts, findings.swaps);
    page.push_str("| goal | wanted | found | holds |\n|---|---|---|---|\n");
    page.push_str(&row("call to engine spawned, p99", SPAWN_P99_MS, findings.spawn_p99));
    page.push_str(&row("ready to answered, p99", SEEN_P99_MS, findings.seen_p99));
    page.push_str(&row("swap beyond the engine's own load, end and call, median", OVERHEAD_MS, findings.overhead()));
    let turn = &findings.turn;
    page.push_str(&row("idle turn over 10,000 deployments and 1,000 instances, median", TURN_MS, turn.idle));
    page.push_str(&row("publishing one change on a board of 10,000, median", PUBLISH_MS, turn.publish));
    let crowd = &findings.herd;
    page.push_str(&row("1,000 callers at once on a model at zero: first byte, p99", FIRST_MS, crowd.first_p99));
    let lost = if crowd.failed == 0 && crowd.starts == 1 { "yes" } else { "**no**" };
    let _ = writeln!(page, "| the same: failed calls, and starts | 0 and 1 | {} and {} | {lost} |", crowd.failed, crowd.starts);
    let router = findings.router_swap.map_or_else(|| "not to be had".to_owned(), |time| format!("{time:.0} ms"));
    let _ = writeln!(
        page,
        "\n| | median |\n|---|---|\n| call to engine spawned | {:.1} ms |\n| ready to answered | {:.1} ms |\n| swap, Penstock | {:.0} ms |\n\
         | swap, llama-server's router | {router} |\n| engine alone: load, end, call | {:.0}, {:.0}, {:.0} ms |",
        findings.spawn_p50, findings.seen_p50, findings.swap, findings.engine_load, findings.engine_end, findings.engine_call
    );
    let _ = writeln!(page, "| a caller of the thousand: first byte, end | {:.0}, {:.0} ms (p50, p99) |", crowd.first_p50, crowd.whole_p99);
    let _ = writeln!(
        page,
        "| all turns of one changed wish, and an idle one | {:.1} ms |\n\
         | parts of a turn: plan with one that needs room, see that no wish has changed | {:.1}, {:.2} ms |\n\
         | after a start only: read, take in 10,000 wishes | {:.0}, {:.0} ms |",
        turn.change, turn.plan, turn.read_none, turn.read_all, turn.take_in_all
    );
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
