//! Life of a benchmark of the gateway:
//!
//! what is measured is built and obtained ([`stage`], [`party`] and one module for each kind of party); the rig
//! starts on one core and the parties on the other; how long it will take is said ([`plan`]); each measure runs all parties in turn, round
//! after round, and takes medians ([`measure`], with what [`meter`] reads from the system); what was seen
//! ([`figures`]) is held against the bars ([`bars`]) and written as a table ([`table`]), a plot ([`plot`]) and
//! JSON under `bench/results/`. Every run has an end; every process is on a leash.

mod plan;

mod measure;

mod party;

mod penstock;

mod nginx;

mod peers;

mod stage;

mod meter;

mod figures;

mod bars;

mod table;

mod plot;

mod turn;

mod herd;

mod check;

pub(crate) mod fleet;

pub(crate) mod registry;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use self::figures::Findings;
use self::stage::Stage;
use crate::site::Site;
use crate::{say, shell};

/// What to measure, and beside whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// Short runs and few rounds, to see that all works; results go to bench/results/tmp
    #[arg(long)]
    quick: bool,
    /// Only these measures
    #[arg(long, value_delimiter = ',', value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Beside whom: nginx, or also other gateways that can be obtained
    #[arg(long, default_value = "all")]
    peers: Peers,
    /// How often each party is measured
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: Option<u8>,
    /// This Penstock instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// One measure; the fixed rate is that of all, and then each one's own, at which all have their core equally busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Measure {
    /// Calls for each CPU second of the gateway, all connections busy
    Requests,
    /// Added time at a fixed rate, and with each gateway's core equally busy
    Latency,
    /// Added time and memory of many streams
    Streams,
    /// CPU time of calls with large bodies
    Bodies,
}

/// Beside whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Peers {
    /// nginx and every gateway that can be obtained
    All,
    /// nginx
    Nginx,
    /// Nobody
    None,
}

/// So many streams at once, each with so many events a second, told for so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) streams: usize,
    pub(super) per_second: u32,
    pub(super) told_ms: u64,
}

impl Level {
    const fn new(streams: usize, per_second: u32, told_ms: u64) -> Self {
        Self { streams, per_second, told_ms }
    }
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    pub(super) rounds: u8,
    pub(super) warm_ms: u64,
    pub(super) run_ms: u64,
    pub(super) stream_rounds: u8,
    pub(super) stream_levels: &'static [Level],
    pub(super) body_bytes: &'static [usize],
}

const FULL: Lengths = Lengths {
    rounds: 5,
    warm_ms: 500,
    run_ms: 4_000,
    stream_rounds: 3,
    // Those of the goals, and two in which there are as many streams and a fifth to a half of the events: 100,000 events a second are more than
    // the core of the rig can bear, so that the number of streams cannot be judged there.
    stream_levels: &[
        Level::new(200, 50, 8_000),
        Level::new(1_000, 20, 6_000),
        Level::new(1_000, 50, 8_000),
        Level::new(2_000, 10, 6_000),
        Level::new(2_000, 50, 8_000),
    ],
    body_bytes: &[1_000, 100_000, 1_000_000, 16 << 20],
};

const QUICK: Lengths = Lengths {
    rounds: 2,
    warm_ms: 200,
    run_ms: 1_000,
    stream_rounds: 1,
    stream_levels: &[Level::new(200, 50, 2_000), Level::new(1_000, 50, 2_000)],
    body_bytes: &[1_000, 1_000_000],
};

impl Choice {
    fn wants(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }

    fn lengths(&self) -> Lengths {
        let mut lengths = if self.quick { QUICK } else { FULL };
        if let Some(rounds) = self.rounds {
            lengths.rounds = rounds;
            lengths.stream_rounds = rounds;
        }
        lengths
    }
}

/// Measures the gateway and writes the results.
pub(crate) fn gateway(site: &Site, jobs: usize, choice: &Choice) -> Result<()> {
    let begun = Instant::now();
    let stage = Stage::set(site, jobs, choice)?;
    say::step(&format!("about {} from here on: {}", say::took(plan::time(choice)), plan::rounds(choice)));
    let mut findings = measure::all(&stage, choice)?;
    drop(stage);
    findings.bars = bars::judge(&findings);
    write(site, choice, &findings)?;
    say::note(&format!("measured in {}", say::took(begun.elapsed())));
    Ok(())
}

/// A quick run of this Penstock alone, of which nothing is kept; refused when a call failed.
pub(crate) fn rehearse(site: &Site, jobs: usize, binary: &Path) -> Result<()> {
    let choice = Choice { quick: true, only: Vec::new(), peers: Peers::None, rounds: Some(1), binary: Some(binary.to_path_buf()) };
    let findings = measure::all(&Stage::set(site, jobs, &choice)?, &choice)?;
    match findings.first_error() {
        None => Ok(()),
        Some(why) => bail!("a call failed: {why}"),
    }
}

fn write(site: &Site, choice: &Choice, findings: &Findings) -> Result<()> {
    let folder = site.root.join(if choice.quick { "bench/results/tmp" } else { "bench/results" });
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let day = shell::text(std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let name = format!("{}-gateway", day.trim());
    let table = table::markdown(findings, &name);
    let files = [
        (format!("{name}.md"), table.clone()),
        (format!("{name}.json"), serde_json::to_string_pretty(findings)?),
        (format!("{name}.svg"), plot::svg(findings)),
    ];
    say::result(&table);
    for (file, text) in files {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        say::note(&path.display().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
