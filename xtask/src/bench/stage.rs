//! What every run stands on: the built programs, the cores, the rig.
//!
//! In: the site and the choice. Out: a running rig that takes orders. Fails: when a build fails or the rig
//! does not start. Holds: the rig on its leash.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Choice;
use super::figures::Scan;
use super::party::{Party, Started, UPSTREAM_MODEL};
use crate::http::{Call, send};
use crate::leash::{Leash, Order};
use crate::packages::{self, Need};
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{dist, say, shell, site};

/// Until the rig must have said where it listens.
const START: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// For `sh -c`: runs the words after it with as many open files as may be.
pub(super) const MANY_FILES: &str = r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#;

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) site: Site,
    /// The Penstock that is measured.
    pub(super) penstock: PathBuf,
    /// Where the upstream listens.
    pub(super) upstream: SocketAddr,
    rig: Leash,
    bench: PathBuf,
    /// That of the gateways and that of the rig.
    pub(super) cores: [usize; 2],
    _folder: Scratch,
}

/// What a run has found; microseconds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Outcome {
    pub(super) all_calls: u64,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) altered: u64,
    pub(super) all_events: u64,
    pub(super) seconds: f64,
    pub(super) kept_up: bool,
    pub(super) first_error: Option<String>,
    pub(super) latency: Spread,
    pub(super) first: Spread,
    pub(super) transit: Spread,
}

/// How times are spread; microseconds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

impl Stage {
    /// Builds, and starts the rig.
    pub(super) fn set(site: &Site, jobs: usize, choice: &Choice) -> Result<Self> {
        packages::ensure(&[Need { program: "taskset", proof: &[], package: "util-linux" }])?;
        say::step("building the rig");
        shell::run(site.cargo().args(["build", "--release", "--package", "bench", "--jobs", &jobs.to_string()]))?;
        let bench = site.target().join("release/penstock-bench");
        let penstock = match &choice.binary {
            Some(binary) => std::path::absolute(binary)?,
            None => dist::build(site, jobs, dist::Way::Plain)?,
        };
        // The gateway has the first core to itself; where there is but one, all share it.
        let cores = [0, site::cores().min(2) - 1];
        let folder = Scratch::new("rig")?;
        let rig = on_core(cores[1], &bench, &["rig"], &[], folder.path())?;
        let upstream = address(&rig).context("the rig did not start")?;
        Ok(Self { site: site.clone(), penstock, upstream, rig, bench, cores, _folder: folder })
    }

    /// Starts a program on the core of the gateways.
    pub(super) fn start(&self, program: &Path, arguments: &[&str], environment: &[(&str, &Path)], folder: &Path) -> Result<Leash> {
        on_core(self.cores[0], program, arguments, environment, folder)
    }

    /// The least that can stand in between.
    pub(super) fn tunnel(&self) -> Result<Started> {
        let folder = Scratch::new("tunnel")?;
        let begun = Instant::now();
        let leash = self.start(&self.bench, &["tunnel", &self.upstream.to_string()], &[], folder.path())?;
        let target = address(&leash)?;
        let ready = begun.elapsed();
        Ok(Started { leash, folder, ready, target, version: String::new(), headers: Vec::new(), model: UPSTREAM_MODEL.to_owned() })
    }

    /// Runs calls of this shape against a party.
    pub(super) fn run(&self, party: &Party, shape: &Value, warm_ms: u64, run_ms: u64) -> Result<Outcome> {
        let order = json!({
            "target": party.target, "headers": party.headers, "model": party.model,
            "shape": shape, "warm_ms": warm_ms, "run_ms": run_ms,
        });
        let mut reply = send(self.upstream, Call { path: "/bench/run", token: None, body: Some(&order.to_string()) })
            .with_context(|| format!("the rig's last lines:\n{}", self.rig.last_lines()))?;
        let text = reply.rest()?;
        serde_json::from_str(&text).with_context(|| format!("the rig said: {text}"))
    }

    /// What scanning and splicing takes by itself, on the gateways' core.
    pub(super) fn cost(&self) -> Result<Vec<Scan>> {
        let text = shell::text(Command::new("taskset").args(["-c", &self.cores[0].to_string()]).arg(&self.bench).arg("cost"))?;
        serde_json::from_str(&text).with_context(|| format!("the rig said: {text}"))
    }
}

/// Starts a program on one core, with as many open files as it may have.
fn on_core(core: usize, program: &Path, arguments: &[&str], environment: &[(&str, &Path)], folder: &Path) -> Result<Leash> {
    let core = core.to_string();
    let program = program.to_str().context("a path that is no text")?;
    let mut words = vec!["-c", MANY_FILES, "sh", "taskset", "-c", core.as_str(), program];
    words.extend_from_slice(arguments);
    Leash::start(&Order { program: Path::new("sh"), arguments: &words, environment, bare: false, folder })
}

/// The address that a program prints first.
fn address(leash: &Leash) -> Result<SocketAddr> {
    let begun = Instant::now();
    while begun.elapsed() < START {
        leash.expect_alive(LOOK_EVERY)?;
        if let Some(address) = leash.last_lines().lines().next().and_then(|line| line.trim().parse().ok()) {
            return Ok(address);
        }
    }
    bail!("it did not say where it listens within {}", say::took(START))
}
