//! Life of a `cargo xtask`: the only tool to know.
//!
//! The command line is read, the tree and the cache are found, and one task runs: each is a module
//! that takes the site and ends with success or with an error that says what to do next. Progress
//! goes to stderr, results to stdout. What is obtained (an engine, a checker) lies in the cache,
//! outside the tree, and is obtained once.

mod bench;
mod ci;
mod clients;
mod demo;
mod digest;
mod dist;
mod engine;
mod fuzz;
mod http;
mod leash;
mod model;
mod packages;
mod say;
mod scratch;
mod shell;
mod site;
mod suite;
mod tidy;
mod tools;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::site::Site;

/// The only tool to know: checks, builds, tries and tests Penstock.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    /// Where engines and tools are kept [default: $PENSTOCK_CACHE, else ~/.cache/penstock]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// How many compilers run at once [default: one for each core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Obtain an engine, start Penstock with the small model, ask it a question, stop it
    Demo,
    /// Install what the tests need, run all tests, count them
    Test {
        /// Leave out the test of the binary that carries its engine, which is built once more for it
        #[arg(long)]
        without_bundle: bool,
        /// Run only tests whose names contain this (and not the binary that carries its engine)
        #[arg(last = true)]
        filter: Option<String>,
    },
    /// Everything that must be green before a change goes in, but the tests
    Ci {
        /// Only these steps
        #[arg(value_parser = ci::names())]
        steps: Vec<String>,
    },
    /// Check what the compiler does not: levels, dependencies, sizes, docs, words
    Tidy,
    /// Obtain an engine and print its path
    Engines { engine: EngineName },
    /// Train the small model anew, or check the committed one
    Model {
        /// Only compare the file with its digest
        #[arg(long)]
        check: bool,
    },
    /// Build the release, one binary that carries its engine, and ask it a question in an empty environment
    Dist {
        /// Lay it out by what runs while it serves: built with counters, tried for two minutes, built again (takes llvm-profdata)
        #[arg(long)]
        trained: bool,
    },
    /// Measure Penstock beside others, in one run
    Bench {
        #[command(subcommand)]
        what: BenchWhat,
    },
    /// Feed a reader with broken input
    Fuzz {
        target: FuzzTarget,
        /// For how long
        #[arg(long, default_value_t = 30)]
        seconds: u32,
    },
}

#[derive(Debug, Subcommand)]
enum BenchWhat {
    /// The gateway beside nginx and other gateways: throughput, latency, streams, large bodies, memory
    Gateway(bench::Choice),
    /// Cold starts and swaps: how much time is Penstock's own
    Fleet(bench::fleet::Choice),
    /// Uploads and pulls of models beside a plain copy with SHA-256
    Registry(bench::registry::Choice),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EngineName {
    LlamaServer,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FuzzTarget {
    Gguf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say::line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let site = Site::find(arguments.cache)?;
    let jobs = arguments.jobs.map_or_else(site::cores, usize::from);
    match arguments.task {
        Task::Demo => demo::run(&site, jobs)?,
        Task::Test { without_bundle, filter } => return Ok(suite::run(&site, &suite::Choice { jobs, without_bundle, filter })),
        Task::Ci { steps } => return Ok(ci::run(&site, &steps)),
        Task::Tidy => return tidy::run(&site),
        Task::Engines { engine: EngineName::LlamaServer } => {
            let path = engine::obtain(&site, jobs, engine::Use::Here)?;
            say::result(&path.display().to_string());
        }
        Task::Model { check } => model::run(&site, check)?,
        Task::Dist { trained } => {
            dist::build(&site, jobs, if trained { dist::Way::Trained } else { dist::Way::Plain })?;
        }
        Task::Bench { what: BenchWhat::Gateway(choice) } => bench::gateway(&site, jobs, &choice)?,
        Task::Bench { what: BenchWhat::Fleet(choice) } => bench::fleet::run(&site, jobs, &choice)?,
        Task::Bench { what: BenchWhat::Registry(choice) } => bench::registry::run(&site, jobs, &choice)?,
        Task::Fuzz { target: FuzzTarget::Gguf, seconds } => fuzz::gguf(&site, seconds)?,
    }
    Ok(ExitCode::SUCCESS)
}
