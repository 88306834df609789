//! Life of a test run: what tests need is obtained, everything is built, run and counted.
//!
//! In: the site and a choice. Out: the tests' own output, then one line `N passed, N failed, N
//! skipped`, the last of all. Fails: never without that line; whatever goes wrong on the way (an
//! engine that cannot be had, code that does not compile, a test that crashes) counts as failed.

mod tally;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::tally::Tally;
use crate::site::Site;
use crate::{clients, dist, engine, say, shell};

/// Tells tests where the real engine is.
const TEST_ENGINE_VARIABLE: &str = "PENSTOCK_TEST_LLAMA_SERVER";

/// What a fresh tree takes when all tests and the file that carries its engine are built.
const ROOM: u64 = 15_000_000_000;

/// Which tests to run.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) jobs: usize,
    pub(crate) without_bundle: bool,
    pub(crate) filter: Option<String>,
}

/// Runs them and prints the count.
pub(crate) fn run(site: &Site, choice: &Choice) -> ExitCode {
    let mut tally = Tally::default();
    room(site);
    if let Err(error) = crates(site, choice, &mut tally) {
        say::line(&format!("error: {error:#}"));
        tally.failed += 1;
    }
    if choice.filter.is_none() {
        carried(site, choice, &mut tally);
    }
    say::result(&tally.to_string());
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A disk that fills up looks like any failure of the compiler: who was told beforehand does not have to search.
fn room(site: &Site) {
    if let Some(free) = site.free().filter(|free| *free < ROOM) {
        say::note(&format!(
            "{} are free; a fresh tree takes up to {}. If it does not suffice: `cargo clean`, or CARGO_TARGET_DIR on another disk",
            say::megabytes(free),
            say::megabytes(ROOM)
        ));
    }
}

fn crates(site: &Site, choice: &Choice, tally: &mut Tally) -> Result<()> {
    say::step("llama-server, the engine that the tests talk to");
    let engine = engine::obtain(site, choice.jobs, engine::Use::Here)?;
    say::step("client libraries, as others use them");
    let clients = clients::obtain(site)?;
    say::step("an identity provider, and a browser");
    let identity = clients::obtain_identity(site)?;
    say::step("a server that speaks as Azure's blob storage does");
    let stores = clients::obtain_stores(site)?;
    let jobs = choice.jobs.to_string();
    let cargo = |more: &[&str]| {
        let mut cargo = site.cargo();
        cargo.args(["test", "--workspace", "--no-fail-fast", "--jobs", &jobs]).args(more);
        cargo.env(TEST_ENGINE_VARIABLE, &engine).env(clients::CLIENTS_VARIABLE, &clients);
        cargo.env(clients::IDENTITY_VARIABLE, &identity).env(clients::STORES_VARIABLE, &stores);
        cargo
    };
    say::step("building all tests");
    shell::run(&mut cargo(&["--no-run"])).context("the tests do not compile")?;
    say::step("running all tests");
    // With --show-output a passing test's `skipped: why` is seen; the tally hides the rest of it.
    let mut command = cargo(&["--", "--show-output"]);
    command.args(&choice.filter);
    let status = shell::lines(&mut command, |line| {
        if tally.read(line) {
            say::result(line);
        }
    })?;
    if !status.success() && tally.failed == 0 {
        anyhow::bail!("cargo test ended with {status}, though no test said that it failed: one crashed, see above");
    }
    Ok(())
}

fn carried(site: &Site, choice: &Choice, tally: &mut Tally) {
    if choice.without_bundle {
        say::result("skipped: the binary that carries its engine (--without-bundle)");
        tally.skipped += 1;
        return;
    }
    match dist::smoke(site, choice.jobs) {
        Ok(()) => {
            say::result("test one_file_that_carries_its_engine_answers_in_an_empty_environment ... ok");
            tally.passed += 1;
        }
        Err(error) => {
            say::result("test one_file_that_carries_its_engine_answers_in_an_empty_environment ... FAILED");
            say::line(&format!("error: {error:#}"));
            tally.failed += 1;
        }
    }
}
