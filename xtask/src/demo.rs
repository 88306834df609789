//! Life of the demo: an engine, a build, a server with the small model, a question, an answer.
//!
//! In: the site. Out: the answer, token by token, and how fast it came. Fails: when any part does
//! not work, with what to do. Holds: nothing at the end; the server is on a leash.

use anyhow::Result;

use crate::site::Site;
use crate::trial::{QUESTION, Subject, Trial};
use crate::{engine, model, say, shell};

/// Runs it all.
pub(crate) fn run(site: &Site, jobs: usize) -> Result<()> {
    say::step("llama-server, the engine");
    let engine = engine::obtain(site, jobs, engine::Use::Here)?;
    say::step("the small model");
    model::check(site)?;
    say::step("building Penstock");
    let jobs = jobs.to_string();
    shell::run(site.cargo().args(["build", "--package", "app", "--jobs", &jobs]))?;
    let binary = site.target().join("debug/penstock");
    say::step("starting `penstock serve` on a free loopback port");
    let trial = Trial::start(Subject { binary: &binary, model: &site.tiny_model(), engine: Some(&engine) })?;
    say::note(&format!("http://{} is ready after {} (pid {})", trial.address(), say::took(trial.started_in), trial.pid()));
    say::step(QUESTION);
    let answer = trial.ask(say::piece)?;
    say::result("");
    answer.check()?;
    say::note(&format!("{} tokens, {:.0} tokens/s, the first after {} ms", answer.tokens, answer.speed(), answer.first.as_millis()));
    trial.stop()?;
    say::note("stopped; nothing is left running");
    say::step("where to go next");
    say::note(&format!("a model of your own:   {} run path/to/model.gguf", binary.display()));
    say::note("one file to carry away: cargo xtask dist");
    say::note("how it is built:        ARCHITECTURE.md, then docs/how-to/");
    Ok(())
}
