//! Everything that must be green before a change goes in, but the tests; stops at the first red.
//!
//! In: the site. Out: each step with its time, and a summary. Fails: at the first red step, whose
//! own output says why. A checker that cannot be obtained is reported as skipped, not as red.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::site::Site;
use crate::tools::{DENY, MACHETE, TYPOS, Tool};
use crate::{model, say, shell, tidy};

/// A database that has not come by then is not to be had here.
const FETCH: Duration = Duration::from_mins(1);

/// How a step ended.
enum End {
    Green,
    Skipped(String),
}

/// A step of the run.
#[derive(Clone, Copy)]
struct Step {
    name: &'static str,
    check: fn(&Site) -> Result<End>,
}

const STEPS: [Step; 9] = [
    Step { name: "fmt", check: fmt },
    Step { name: "tidy", check: tidy },
    Step { name: "model", check: model },
    Step { name: "clippy", check: clippy },
    Step { name: "doc", check: doc },
    Step { name: "deny", check: deny },
    Step { name: "advisories", check: advisories },
    Step { name: "machete", check: machete },
    Step { name: "typos", check: typos },
];

/// The names of the steps, in their order.
pub(crate) fn names() -> [&'static str; STEPS.len()] {
    STEPS.map(|step| step.name)
}

/// Runs the named steps, or all.
pub(crate) fn run(site: &Site, only: &[String]) -> ExitCode {
    let mut summary = Vec::new();
    for step in STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)) {
        say::step(step.name);
        let begun = Instant::now();
        match (step.check)(site) {
            Ok(End::Green) => summary.push(format!("{:<12}{}", step.name, say::took(begun.elapsed()))),
            Ok(End::Skipped(why)) => {
                say::note(&format!("skipped: {} ({why})", step.name));
                summary.push(format!("{:<12}skipped", step.name));
            }
            Err(error) => {
                say::line(&format!("error: {} is red after {}: {error:#}", step.name, say::took(begun.elapsed())));
                return ExitCode::FAILURE;
            }
        }
    }
    say::step("green");
    for line in summary {
        say::note(&line);
    }
    ExitCode::SUCCESS
}

fn cargo(site: &Site, arguments: &[&str]) -> Result<End> {
    shell::run(site.cargo().args(arguments))?;
    Ok(End::Green)
}

fn fmt(site: &Site) -> Result<End> {
    match cargo(site, &["fmt", "--all", "--check"]) {
        Ok(end) => Ok(end),
        Err(error) => bail!("{error:#}; run `cargo fmt --all`"),
    }
}

fn tidy(site: &Site) -> Result<End> {
    let findings = tidy::findings(&site.root)?;
    for finding in &findings {
        say::line(&finding.to_string());
    }
    if findings.is_empty() { Ok(End::Green) } else { bail!("{} findings", findings.len()) }
}

fn model(site: &Site) -> Result<End> {
    model::check(site)?;
    Ok(End::Green)
}

fn clippy(site: &Site) -> Result<End> {
    cargo(site, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn doc(site: &Site) -> Result<End> {
    let mut cargo = site.cargo();
    shell::run(cargo.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(End::Green)
}

fn deny(site: &Site) -> Result<End> {
    with(DENY, site, |deny| shell::run(deny.args(["--workspace", "check", "licenses", "bans", "sources"])))
}

/// Needs a database from a forge, which not every build machine can reach.
fn advisories(site: &Site) -> Result<End> {
    let Ok(path) = DENY.obtain(site) else { return Ok(End::Skipped("no cargo-deny".to_owned())) };
    let mut fetch = Command::new(&path);
    if let Err(error) = shell::within(fetch.current_dir(&site.root).args(["fetch", "db"]), FETCH) {
        let why = error.to_string();
        return Ok(End::Skipped(format!("no advisory database: {}", why.lines().next().unwrap_or_default())));
    }
    with(DENY, site, |deny| shell::run(deny.args(["--workspace", "check", "--disable-fetch", "advisories"])))
}

fn machete(site: &Site) -> Result<End> {
    with(MACHETE, site, |machete| shell::run(machete.arg("--skip-target-dir")))
}

fn typos(site: &Site) -> Result<End> {
    with(TYPOS, site, |typos| shell::run(typos.args(["--config", "typos.toml"])))
}

/// Runs a tool in the tree, if it can be had.
fn with(tool: Tool, site: &Site, check: impl FnOnce(&mut Command) -> Result<()>) -> Result<End> {
    match tool.obtain(site) {
        Ok(path) => {
            check(Command::new(path).current_dir(&site.root))?;
            Ok(End::Green)
        }
        Err(error) => Ok(End::Skipped(format!("{error:#}"))),
    }
}
