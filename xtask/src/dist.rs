//! The release: one binary that carries its engine, and the proof that it needs nothing else.
//!
//! In: the site, and whether it is laid out by what runs ([`trained`]). Out: `target/dist/penstock`. Fails: when the engine is not static, the
//! binary too large, or it does not answer rightly in an empty environment. Costs: some quarter of an hour on two cores, since it is
//! optimised as a whole; the tests prove the same of a developer's build that carries the same engine.

mod trained;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::site::Site;
use crate::trial::{Subject, Trial};
use crate::{engine, say, shell};

/// Tells the build of `bundle` which engine to carry.
const BUNDLE_VARIABLE: &str = "PENSTOCK_BUNDLE_LLAMA_SERVER";

/// What the release may weigh, engine included.
const MOST_BYTES: u64 = 60_000_000;

/// How the release is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Once.
    Plain,
    /// Laid out by what runs while it serves.
    Trained,
}

/// Builds the release binary and proves it.
pub(crate) fn build(site: &Site, jobs: usize, way: Way) -> Result<PathBuf> {
    say::step("building the release (optimised as a whole, which takes minutes)");
    let begun = Instant::now();
    let binary = match way {
        Way::Plain => carrying(site, jobs, "dist", None)?,
        Way::Trained => trained::build(site, jobs)?,
    };
    let size = binary.metadata().with_context(|| format!("the build left no {}", binary.display()))?.len();
    say::note(&format!("{} in {}", say::megabytes(size), say::took(begun.elapsed())));
    ensure!(
        size <= MOST_BYTES,
        "that is more than {}: see what has grown, with `nm --size-sort` or by dependency",
        say::megabytes(MOST_BYTES)
    );
    prove(site, &binary)?;
    say::result(&binary.display().to_string());
    Ok(binary)
}

/// Builds a developer's binary that carries its engine, and proves it.
pub(crate) fn smoke(site: &Site, jobs: usize) -> Result<()> {
    say::step("building a binary that carries its engine, as the release does");
    let binary = carrying(site, jobs, "dev", None)?;
    prove(site, &binary)
}

/// A build whose compiler is told something for the code of the binary, not for what is built to build it: that takes the host as a named
/// target.
#[derive(Debug)]
struct Told<'a> {
    flag: String,
    host: &'a str,
    /// Builds of other flags lie elsewhere.
    folder: PathBuf,
}

fn carrying(site: &Site, jobs: usize, profile: &str, told: Option<&Told<'_>>) -> Result<PathBuf> {
    let engine = engine::obtain(site, jobs, engine::Use::Carried)?;
    let mut cargo = site.cargo();
    cargo.args(["build", "--profile", profile, "--package", "app", "--jobs", &jobs.to_string()]);
    let mut built = site.target();
    if let Some(Told { flag, host, folder }) = told {
        cargo.args(["--target", host]).arg("--target-dir").arg(folder);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flag);
        built = folder.join(host);
    }
    shell::run(cargo.env(BUNDLE_VARIABLE, engine))?;
    Ok(built.join(if profile == "dev" { "debug" } else { profile }).join("penstock"))
}

/// Asks it a question in an environment with nothing in it.
fn prove(site: &Site, binary: &Path) -> Result<()> {
    say::step("asking it in an empty environment");
    let trial = Trial::start(Subject { binary, model: &site.tiny_model(), engine: None })?;
    let answer = trial.ask(|_| {})?;
    answer.check()?;
    trial.stop()?;
    say::note(&format!("it answered: {}", answer.text));
    Ok(())
}
