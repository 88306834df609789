//! The release: one binary that carries its engine, and the proof that it needs nothing else.
//!
//! In: the site. Out: `target/dist/penstock`. Fails: when the engine is not static, the binary too large, or it
//! does not answer rightly in an empty environment.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::site::Site;
use crate::trial::{Subject, Trial};
use crate::{engine, say, shell};

/// Tells the build of `bundle` which engine to carry.
const BUNDLE_VARIABLE: &str = "PENSTOCK_BUNDLE_LLAMA_SERVER";

/// What the release may weigh, engine included.
const MOST_BYTES: u64 = 60_000_000;

/// Builds the release binary.
pub(crate) fn build(site: &Site, jobs: usize) -> Result<PathBuf> {
    let engine = engine::obtain(site, jobs, engine::Use::Carried)?;
    say::step("building the release (optimised as a whole, which takes minutes)");
    let begun = Instant::now();
    let mut cargo = site.cargo();
    cargo.args(["build", "--profile", "dist", "--package", "app", "--jobs", &jobs.to_string()]);
    shell::run(cargo.env(BUNDLE_VARIABLE, engine))?;
    let binary = site.target().join("dist/penstock");
    let size = binary.metadata().with_context(|| format!("the build left no {}", binary.display()))?.len();
    say::note(&format!("{} in {}", say::megabytes(size), say::took(begun.elapsed())));
    ensure!(
        size <= MOST_BYTES,
        "that is more than {}: see what has grown, with `nm --size-sort` or by dependency",
        say::megabytes(MOST_BYTES)
    );
    say::result(&binary.display().to_string());
    Ok(binary)
}

/// Builds it and asks it a question in an environment with nothing in it.
pub(crate) fn smoke(site: &Site, jobs: usize) -> Result<()> {
    let binary = build(site, jobs)?;
    say::step("asking the release binary in an empty environment");
    let trial = Trial::start(Subject { binary: &binary, model: &site.tiny_model(), engine: None })?;
    let answer = trial.ask(|_| {})?;
    answer.check()?;
    trial.stop()?;
    say::note(&format!("it answered: {}", answer.text));
    Ok(())
}
