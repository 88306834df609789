//! Acts on what is served: `load`, `stop`, `rm`, `wait`.
//!
//! In: a deployment's name. Out: what became of it. Fails: with the reason when it cannot be ready.
//! Holds: this thread, until the goal is reached, lost or too late.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::http::{Server, segment};
use super::look::path;
use super::out::{answer, line, note, text};
use super::{Failure, Output};

/// For a load without a limit of its own: a large model from a slow disk takes this long.
const WAIT: Duration = Duration::from_mins(30);
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(150);

/// The same, for what takes a moment.
const SOON: Duration = Duration::from_millis(10);
/// What nobody uses is unloaded within this time.
const SHORTLY: Duration = Duration::from_secs(3);

/// What is waited for.
struct Goal {
    /// Give up after this time.
    timeout: Duration,
    /// Ready in this generation or a later one; any when not given.
    generation: Option<u64>,
    /// The load that was asked for, which knows when it is lost.
    operation: Option<Value>,
}

pub(crate) fn load(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    load_and_wait(server, name, None)?;
    answer(output, &server.get(&path(name))?, |_| format!("{name}: ready\n"))
}

/// Loads it and waits until it is ready, in this generation if one is given.
pub(super) fn load_and_wait(server: &Server, name: &str, generation: Option<u64>) -> Result<(), Failure> {
    let operation = server.post(&format!("{}/load", path(name)), &json!({}))?;
    await_ready(server, name, &Goal { timeout: WAIT, generation, operation: Some(operation) })
}

/// Waits until the server acts by this generation, so that a call that comes now finds it; not long.
pub(super) fn await_seen(server: &Server, name: &str, stored: Value) -> Result<Value, Failure> {
    let (until, generation) = (Instant::now() + SHORTLY, stored["generation"].as_u64());
    let mut now = stored;
    let unseen = |now: &Value| now["status"]["revision"].as_u64() < generation || now["status"]["state"] == "pending";
    while unseen(&now) && now["status"]["state"] != "failed" && Instant::now() < until {
        std::thread::sleep(SOON);
        now = server.get(&path(name))?;
    }
    Ok(now)
}

pub(crate) fn stop(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let before = server.get(&path(name))?;
    let mut operation = server.post(&format!("{}/unload", path(name)), &json!({}))?;
    let until = Instant::now() + SHORTLY;
    while operation["state"] == "running" && Instant::now() < until {
        std::thread::sleep(LOOK);
        operation = server.get(&format!("/api/v1/operations/{}", segment(&text(&operation["id"]))))?;
    }
    let what = match () {
        () if before["status"]["instances"].as_array().is_none_or(Vec::is_empty) => "was not loaded",
        () if operation["state"] == "succeeded" => "unloaded; the next call loads it again",
        () => "is being unloaded; running calls may finish, the next one loads it again",
    };
    answer(output, &operation, |_| format!("{name}: {what}\n"))
}

pub(crate) fn remove(server: &Server, name: &str, yes: bool, output: Output) -> Result<(), Failure> {
    let before = server.get(&path(name))?;
    if !yes && std::io::stdin().is_terminal() && !confirmed(name)? {
        return line("nothing was changed");
    }
    let removed = server.delete(&path(name))?;
    if before["status"]["origin"] == "config" {
        note(&format!("`{name}` stands in the server's config: it comes back at the next start unless it is taken out there"));
    }
    answer(output, &removed, |_| format!("{name}: out of service; running calls may finish\n"))
}

fn confirmed(name: &str) -> Result<bool, Failure> {
    let failed = || Failure::io("the terminal cannot be read");
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "take `{name}` out of service? [y/N] ").and_then(|()| stderr.flush()).map_err(failed())?;
    let mut reply = String::new();
    std::io::stdin().read_line(&mut reply).map_err(failed())?;
    Ok(matches!(reply.trim(), "y" | "Y" | "yes"))
}

pub(crate) fn wait(server: &Server, name: &str, timeout: Duration, output: Output) -> Result<(), Failure> {
    await_ready(server, name, &Goal { timeout, generation: None, operation: None })?;
    answer(output, &server.get(&path(name))?, |_| format!("{name}: ready\n"))
}

/// Waits until it is ready, and shows how far it is.
fn await_ready(server: &Server, name: &str, goal: &Goal) -> Result<(), Failure> {
    let until = Instant::now() + goal.timeout;
    let mut told = Told::new(name);
    loop {
        let status = server.get(&path(name))?["status"].take();
        let fresh = goal.generation.is_none_or(|wanted| status["revision"].as_u64() >= Some(wanted));
        let state = text(&status["state"]);
        match state.as_str() {
            "ready" if fresh => return Ok(()),
            "failed" if goal.operation.is_none() => return Err(failed(name, &status["reason"])),
            "deleting" => return Err(Failure::Failed { what: format!("{name} is on its way out"), hint: String::new() }),
            _ => {}
        }
        if let Some(reason) = gone_back(&status, goal) {
            return Err(failed(name, &reason));
        }
        if let Some(reason) = lost(server, goal)? {
            return Err(failed(name, &reason));
        }
        match state.as_str() {
            "cold" if goal.operation.is_some() => {} // it has not begun yet
            _ if fresh => told.tell(&state, &text(&status["reason"]["message"])),
            _ => told.tell("being changed", ""),
        }
        if Instant::now() >= until {
            return Err(too_late(name, goal.timeout, &status));
        }
        std::thread::sleep(LOOK);
    }
}

/// The reason why the revision that is waited for was given up.
fn gone_back(status: &Value, goal: &Goal) -> Option<Value> {
    let rollout = &status["rollout"];
    let is_it = goal.generation.is_some_and(|wanted| rollout["to"].as_u64() == Some(wanted));
    (is_it && rollout["state"] == "rolled_back").then(|| rollout["reason"].clone())
}

/// The reason why the load that was asked for will not succeed.
fn lost(server: &Server, goal: &Goal) -> Result<Option<Value>, Failure> {
    let Some(operation) = &goal.operation else { return Ok(None) };
    let mut now = server.get(&format!("/api/v1/operations/{}", segment(&text(&operation["id"]))))?;
    Ok((now["state"] == "failed").then(|| now["reason"].take()))
}

fn failed(name: &str, reason: &Value) -> Failure {
    Failure::Failed { what: format!("{name}: {}", text(&reason["message"])), hint: text(&reason["remedy"]) }
}

fn too_late(name: &str, timeout: Duration, status: &Value) -> Failure {
    let (state, message) = (text(&status["state"]), text(&status["reason"]["message"]));
    let what = format!("{name} was not ready within {}; it is {state}: {message}", base::clock::human::print(timeout));
    let hint = if state == "cold" { format!("`penstock load {name}` loads it") } else { format!("`penstock explain {name}` says why") };
    Failure::Failed { what, hint }
}

/// What was told so far: a moving line for people, a line for each new state in a log.
struct Told {
    name: String,
    last: String,
    bar: ProgressBar,
}

impl Told {
    fn new(name: &str) -> Self {
        const TICK: Duration = Duration::from_millis(100);
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { name: name.to_owned(), last: String::new(), bar }
    }
    fn tell(&mut self, state: &str, why: &str) {
        let told = [format!("{}: {state}", self.name), why.to_owned()].join(if why.is_empty() { "" } else { ", " });
        if told == self.last {
            return;
        }
        if self.bar.is_hidden() {
            note(&told);
        }
        self.bar.set_message(told.clone());
        self.last = told;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
