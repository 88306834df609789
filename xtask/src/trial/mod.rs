//! Life of a Penstock on trial: started in a folder of its own with the small model, asked a
//! question as any OpenAI client would, stopped, and seen to be gone.
//!
//! In: a binary of Penstock, and an engine or none. Out: the answer, with its times. Fails: when it
//! does not start, does not become ready, answers wrongly, or leaves something running; the error
//! carries the end of its log. Holds: a leash, so that nothing outlives an interrupted run.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::http::{Call, Reply, send};
use crate::leash::{Leash, Order, processes_in};
use crate::scratch::Scratch;
use crate::site::ENGINE_VARIABLE;
use crate::{say, shell};

/// The question whose answer the small model has learned.
pub(crate) const QUESTION: &str = "What is the capital of France?";
/// What a right answer holds.
const RIGHT: &str = "Paris";
const DEPLOYMENT: &str = "tiny";
/// Until it must be ready; generous, for machines that are busy with other things.
const READY: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After the end of Penstock, until its engine must be gone too.
const GONE: Duration = Duration::from_secs(5);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) model: &'a Path,
    /// None: it must bring its own, in an environment with nothing in it.
    pub(crate) engine: Option<&'a Path>,
}

/// A running Penstock.
#[derive(Debug)]
pub(crate) struct Trial {
    leash: Leash,
    folder: Scratch,
    address: SocketAddr,
    token: Option<String>,
    /// From start to ready.
    pub(crate) started_in: Duration,
}

/// What it said, and how fast.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) tokens: u32,
    /// From the question to the first token.
    pub(crate) first: Duration,
    /// From the first token to the last.
    pub(crate) rest: Duration,
}

impl Answer {
    /// Tokens per second of the whole call, since pieces may come in bunches.
    pub(crate) fn speed(&self) -> f64 {
        f64::from(self.tokens) / (self.first + self.rest).as_secs_f64().max(f64::EPSILON)
    }

    /// Refuses a wrong answer.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.text.contains(RIGHT) {
            bail!("the answer `{}` does not name {RIGHT}", self.text);
        }
        Ok(())
    }
}

impl Trial {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(subject: Subject<'_>) -> Result<Self> {
        let begun = Instant::now();
        let folder = Scratch::new("trial")?;
        let config = folder.path().join("penstock.yaml");
        let data = folder.path().join("data");
        fs::write(&config, config_text(subject.model, &data))?;
        let config = config.display().to_string();
        let engine = subject.engine.map(|path| (ENGINE_VARIABLE, path));
        let leash = Leash::start(&Order {
            program: subject.binary,
            arguments: &["serve", "--config", &config],
            environment: engine.as_slice(),
            bare: subject.engine.is_none(),
            folder: folder.path(),
        })?;
        let address = wait_until_ready(&leash, &data).context("Penstock did not become ready")?;
        let token = fs::read_to_string(data.join("admin-token")).ok().map(|token| token.trim().to_owned());
        Ok(Self { leash, folder, address, token, started_in: begun.elapsed() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.leash.pid()
    }

    /// Asks the question; hands over the answer piece by piece as it comes.
    pub(crate) fn ask(&self, piece: impl FnMut(&str)) -> Result<Answer> {
        ask(self.address, self.token.as_deref(), piece)
            .with_context(|| format!("the log of Penstock ends with:\n{}", self.leash.last_lines()))
    }

    /// Stops it; refuses an unclean end or anything left running.
    pub(crate) fn stop(self) -> Result<()> {
        let ended = self.leash.stop()?;
        if ended.code != Some(0) {
            bail!("Penstock was asked to stop and ended with status {:?}; its last lines:\n{}", ended.code, ended.last_lines);
        }
        let begun = Instant::now();
        loop {
            let left = processes_in(self.folder.path());
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > GONE {
                bail!("Penstock stopped, but left these processes running: {left:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// JSON strings are YAML strings, so a path with any character in it is safe.
fn config_text(model: &Path, data: &Path) -> String {
    let model = Value::from(format!("file:{}", model.display()));
    let data = Value::from(data.display().to_string());
    format!(
        "listen: 127.0.0.1:0\ndata_dir: {data}\ndeployments:\n  - name: {DEPLOYMENT}\n    model: {model}\n    \
         engine: llama-server\n    runtime: process\n    context: 4096\n    replicas: {{ min: 1, max: 1 }}\n"
    )
}

fn wait_until_ready(leash: &Leash, data: &Path) -> Result<SocketAddr> {
    let begun = Instant::now();
    let mut progress = say::Progress::new();
    let mut last = String::from("has not said where it listens");
    while begun.elapsed() < READY {
        leash.expect_alive(LOOK_EVERY)?;
        let Ok(text) = fs::read_to_string(data.join("address")) else { continue };
        let Ok(address) = text.trim().parse() else { continue };
        match send(address, Call { path: "/readyz", token: None, body: None }) {
            Ok(reply) if reply.status == 200 => return Ok(address),
            Ok(mut reply) => {
                let why = reply.rest()?;
                last = format!("/readyz says {}: {}", reply.status, why.trim());
            }
            Err(error) => last = format!("{error:#}"),
        }
        progress.tell(&format!("waiting for Penstock: {last}"));
    }
    bail!("after {}: {last}; its last lines:\n{}", say::took(READY), leash.last_lines())
}

fn ask(address: SocketAddr, token: Option<&str>, piece: impl FnMut(&str)) -> Result<Answer> {
    let body = json!({
        "model": DEPLOYMENT,
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0,
        "max_tokens": 64,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let asked = Instant::now();
    let mut reply = send(address, Call { path: "/v1/chat/completions", token, body: Some(&body.to_string()) })?;
    if reply.status != 200 {
        let why = reply.rest()?;
        bail!("/v1/chat/completions says {}: {}", reply.status, shell::last_lines(&why));
    }
    read_stream(reply, asked, piece)
}

/// Follows the stream to its `[DONE]`.
fn read_stream(mut reply: Reply, asked: Instant, mut piece: impl FnMut(&str)) -> Result<Answer> {
    let mut answer = Answer::default();
    let mut first = None;
    while let Some(line) = reply.line()? {
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
        if data == "[DONE]" {
            return Ok(answer);
        }
        let event: Value = serde_json::from_str(data).with_context(|| format!("not JSON: {data}"))?;
        if let Some(error) = event.get("error") {
            bail!("the stream broke off: {error}");
        }
        if let Some(tokens) = event.pointer("/usage/completion_tokens").and_then(Value::as_u64) {
            answer.tokens = u32::try_from(tokens).context("an impossible number of tokens")?;
        }
        if let Some(text) = event.pointer("/choices/0/delta/content").and_then(Value::as_str) {
            let first = *first.get_or_insert_with(Instant::now);
            answer.first = first - asked;
            answer.rest = first.elapsed();
            answer.text.push_str(text);
            piece(text);
        }
    }
    bail!("the stream ended without [DONE], after `{}`", answer.text)
}

#[cfg(test)]
mod tests;
