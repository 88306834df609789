//! Penstock in front of the upstream, with nothing on or with everything on.
//!
//! In: the stage. Out: a server from its release build with one remote deployment. Bare: open, no limits, no
//! access log. Full: a token with limits of every kind that bind nobody, usage, prices, metrics and the
//! access log. Fails: when it does not become ready.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::party::{Started, wait, write};
use super::stage::Stage;
use crate::http::{Call, send};
use crate::leash::Leash;
use crate::scratch::Scratch;
use crate::{say, shell};

const START: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The public name of the deployment.
const MODEL: &str = "bench";

pub(super) fn start(stage: &Stage, full: bool) -> Result<Started> {
    let binary = &stage.penstock;
    let version = shell::text(Command::new(binary).arg("--version"))?;
    let version = version.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let folder = Scratch::new("penstock")?;
    let data = folder.path().join("data");
    let config = write(folder.path(), "penstock.yaml", &config(&data, stage.upstream, full))?;
    let begun = Instant::now();
    let leash = stage.start(binary, &["serve", "--config", &config], &[], folder.path())?;
    let target = address(&leash, &data, begun)?;
    wait(&leash, target, "/readyz", START)?;
    let ready = begun.elapsed();
    let headers = if full { vec![format!("Authorization: Bearer {}", token(target, &data)?)] } else { Vec::new() };
    Ok(Started { leash, folder, ready, target, version, headers, model: MODEL.to_owned() })
}

/// JSON is YAML.
fn config(data: &Path, upstream: SocketAddr, full: bool) -> String {
    let mut deployment = json!({
        "name": MODEL,
        "engine": "openai",
        "url": format!("http://{upstream}/v1"),
        "upstream_model": super::party::UPSTREAM_MODEL,
        "parallel": 20_000,
        "replicas": { "min": 1, "max": 1 },
        "max_queue": 20_000,
    });
    if full {
        deployment["prices"] = json!({ "input_per_million": 1.0, "output_per_million": 2.0 });
    }
    json!({
        "listen": "127.0.0.1:0",
        "data_dir": data,
        "auth": { "mode": if full { "token" } else { "open" } },
        "log": { "level": "warn" },
        "access_log": if full { Value::from("./access.log") } else { Value::from("off") },
        "deployments": [deployment],
    })
    .to_string()
}

fn address(leash: &Leash, data: &Path, begun: Instant) -> Result<SocketAddr> {
    while begun.elapsed() < START {
        leash.expect_alive(LOOK_EVERY)?;
        if let Some(address) = fs::read_to_string(data.join("address")).ok().and_then(|text| text.trim().parse().ok()) {
            return Ok(address);
        }
    }
    bail!("it did not say where it listens within {}; its last lines:\n{}", say::took(START), leash.last_lines())
}

/// A token with limits of every kind, each far above what the machine can do.
fn token(target: SocketAddr, data: &Path) -> Result<String> {
    const MANY: u64 = 4_000_000_000;
    let admin = fs::read_to_string(data.join("admin-token")).context("it wrote no admin token")?;
    let wish = json!({
        "name": "bench",
        "scopes": ["inference"],
        "models": [MODEL],
        "limits": { "requests_per_minute": MANY, "tokens_per_minute": 1000 * MANY, "concurrency": 1_000_000 },
    });
    let mut reply = send(target, Call { path: "/api/v1/tokens", token: Some(admin.trim()), body: Some(&wish.to_string()) })?;
    let text = reply.rest()?;
    let made: Value = serde_json::from_str(&text).with_context(|| format!("/api/v1/tokens said: {text}"))?;
    let token = made.get("token").and_then(Value::as_str);
    Ok(token.with_context(|| format!("/api/v1/tokens said: {text}"))?.to_owned())
}
