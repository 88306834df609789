//! How fast do models come in, beside a plain copy with SHA-256 on the same disk?
//!
//! In: the site and the choice. Out: a table and JSON under `bench/results/`. The same file is copied and hashed by this program
//! ([`plain`]), and sent to a Penstock, pulled by it from a server of this program on loopback ([`host`]), and imported by it ([`server`]);
//! in turn, round after round, each time in another order; medians. What all have in common: the file was just written and read, so it is
//! in the page cache; the system's own writing is done before the clock starts, and memory for the copy is at hand; each ends when its copy is on the disk (fsync) and its digest is
//! known; all have all cores. Fails: when a part does not start, or what came is not what was sent.

mod host;

mod plain;

mod server;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::server::Server;
use super::check::{self, Check};
use super::figures::{Machine, median};
use super::measure;
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{digest, dist, say, shell};

const BLOCK: usize = 1 << 20;
/// Of the speed of a plain copy with SHA-256.
const SHARE: f64 = 0.8;
const SHA_INSTRUCTIONS: [&str; 2] = ["sha_ni", "sha2"];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// The size of the model, in MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(8..=65_536))]
    size: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Connections of a pull
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// Without the million tokens
    #[arg(long)]
    no_tokens: bool,
    /// To see that all works; results go to bench/results/tmp
    #[arg(long)]
    quick: bool,
    /// This Penstock instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// One way for a model to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Copy,
    OnePass,
    Upload,
    Pull,
    Import,
}

const WAYS: [Way; 5] = [Way::Copy, Way::OnePass, Way::Upload, Way::Pull, Way::Import];

impl Way {
    fn words(self) -> &'static str {
        match self {
            Self::Copy => "plain copy, then SHA-256 of the copy",
            Self::OnePass => "copy and SHA-256 in one pass",
            Self::Upload => "upload (tus, HTTP)",
            Self::Pull => "pull (HTTP, from loopback)",
            Self::Import => "import (`--copy`)",
        }
    }

    /// What was promised.
    fn has_bar(self) -> bool {
        matches!(self, Self::Upload | Self::Pull)
    }
}

/// One way in every round; MiB for each second.
#[derive(Debug, Serialize)]
struct Series {
    way: Way,
    median: f64,
    /// Of the plain copy in the same round; the median of them.
    share: f64,
    rounds: Vec<f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    date: String,
    machine: Machine,
    file_system: String,
    sha_instructions: bool,
    version: String,
    mib: u64,
    connections: u32,
    series: Vec<Series>,
    check: Option<Check>,
}

/// Measures and writes the results.
pub(crate) fn run(site: &Site, jobs: usize, choice: &Choice) -> Result<()> {
    let binary = match &choice.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => dist::build(site, jobs, dist::Way::Plain)?,
    };
    // Not in the system's temporary folder, which may be memory.
    let folder = Scratch::at(site.target().join("bench-registry"))?;
    let machine = measure::machine()?;
    let stage = Stage { site, binary: &binary, folder: folder.path(), choice, host: host::open()?.to_string() };
    let mut rounds = Vec::new();
    for round in 0..choice.rounds {
        say::step(&format!("round {}", round + 1));
        rounds.push(stage.round(round)?);
    }
    let found = Findings {
        date: shell::text(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned(),
        machine,
        file_system: file_system(folder.path()),
        sha_instructions: sha_instructions(),
        version: shell::text(Command::new(&binary).arg("--version"))?.trim().to_owned(),
        mib: choice.size,
        connections: choice.connections,
        series: WAYS.iter().map(|way| series(*way, &rounds)).collect(),
        check: if choice.no_tokens { None } else { Some(check::measure(site, jobs)?) },
    };
    tell(site, choice, &found)
}

struct Stage<'a> {
    site: &'a Site,
    binary: &'a Path,
    folder: &'a Path,
    choice: &'a Choice,
    host: String,
}

impl Stage<'_> {
    /// Every way once, each round beginning with another.
    fn round(&self, round: u32) -> Result<Vec<(Way, f64)>> {
        let model = model(self.site, self.folder, self.choice.size, round)?;
        let digest = digest::of_file(&model)?;
        let mut order = WAYS;
        order.rotate_left(round as usize % WAYS.len());
        let mut found = Vec::new();
        for way in order {
            let took = self.once(way, &model, &digest).with_context(|| way.words())?;
            say::note(&format!("{}: {:.0} MiB/s", way.words(), speed(self.choice.size, took)));
            found.push((way, speed(self.choice.size, took)));
        }
        fs::remove_file(&model)?;
        Ok(found)
    }

    fn once(&self, way: Way, model: &Path, digest: &str) -> Result<Duration> {
        let copy = self.folder.join("copy");
        let start = || {
            let server = Server::start(self.binary, self.folder, self.choice.connections)?;
            settle(self.choice.size).map(|()| server)
        };
        match way {
            Way::Copy => settle(self.choice.size).and_then(|()| plain::copy_then_hash(model, &copy)),
            Way::OnePass => settle(self.choice.size).and_then(|()| plain::in_one_pass(model, &copy)),
            Way::Upload => start()?.upload(model, digest),
            Way::Pull => start()?.pull(&format!("http://{}{}", self.host, model.display()), digest),
            Way::Import => start()?.import(model, digest),
        }
    }
}

/// What the one before has left to write is on the disk, and as much memory is at hand as the copy takes: on a virtual machine what nobody
/// uses goes back to the host, and to have it again takes longer than to fill it.
fn settle(mib: u64) -> Result<()> {
    const MOST: u64 = 4 << 30;
    shell::run(&mut Command::new("sync"))?;
    let bytes = usize::try_from((mib << 20).min(MOST))?;
    drop(std::hint::black_box(vec![1_u8; bytes]));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate that is shown to people")]
fn speed(mib: u64, took: Duration) -> f64 {
    mib as f64 / took.as_secs_f64()
}

fn series(way: Way, rounds: &[Vec<(Way, f64)>]) -> Series {
    let of = |way: Way| rounds.iter().filter_map(move |round| round.iter().find(|(one, _)| *one == way)).map(|(_, speed)| *speed);
    let speeds: Vec<f64> = of(way).collect();
    let shares: Vec<f64> = of(way).zip(of(Way::Copy)).map(|(speed, copy)| speed / copy).collect();
    Series { way, median: median(&speeds), share: median(&shares), rounds: speeds }
}

/// The small model with bytes behind it, which differ in each round.
fn model(site: &Site, folder: &Path, mib: u64, round: u32) -> Result<PathBuf> {
    let path = folder.join(format!("model-{round}.gguf"));
    fs::copy(site.root.join("models/tiny.gguf"), &path).context("the small model cannot be copied")?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut file = File::options().append(true).open(&path)?;
    let mut left = (mib << 20).saturating_sub(file.metadata()?.len());
    let mut seed = u64::from(round) + 1;
    let mut block = vec![0_u8; BLOCK];
    while left > 0 {
        for eight in block.chunks_exact_mut(8) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            eight.copy_from_slice(&seed.to_le_bytes());
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        file.write_all(block.get(..take).unwrap_or_default())?;
        left -= take as u64;
    }
    file.sync_all()?;
    Ok(path)
}

/// Its type and its device.
fn file_system(folder: &Path) -> String {
    let said = shell::text(Command::new("df").args(["--output=fstype,source"]).arg(folder)).unwrap_or_default();
    said.lines().nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" on ")
}

/// Whether the processor has instructions for SHA-256, which both sides use.
fn sha_instructions() -> bool {
    let said = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    said.split_whitespace().any(|word| SHA_INSTRUCTIONS.contains(&word))
}

fn tell(site: &Site, choice: &Choice, found: &Findings) -> Result<()> {
    let page = page(found);
    let folder = site.root.join(if choice.quick { "bench/results/tmp" } else { "bench/results" });
    fs::create_dir_all(&folder)?;
    let day = found.date.split(' ').next().unwrap_or_default();
    fs::write(folder.join(format!("{day}-registry.md")), &page)?;
    fs::write(folder.join(format!("{day}-registry.json")), serde_json::to_string_pretty(found)? + "\n")?;
    say::result(&page);
    Ok(())
}

fn page(found: &Findings) -> String {
    let machine = &found.machine;
    let sha = if found.sha_instructions { "with" } else { "without" };
    let rounds = found.series.first().map_or(0, |series| series.rounds.len());
    let mut page = format!(
        "# The registry, measured\n\n{}; {}. {} x {} ({sha} instructions for SHA-256), {}, kernel {}, {}; load before: {}.\n\n",
        found.date, found.version, machine.cores, machine.cpu, machine.memory, machine.kernel, found.file_system, machine.load_before
    );
    let _ = write!(
        page,
        "A model of {} MiB, {rounds} rounds, medians; pulls over {} connections. In each round the same file goes each way, in turn, to the \
         same disk; it is in the page cache for all of them, `sync` runs before each and memory for the copy is at hand, and each ends when its bytes are on the disk (fsync) and its \
         digest is known. All use all cores. The share is that of the plain copy of the same round.\n\n",
        found.mib, found.connections
    );
    page.push_str("| | speed | share | wanted | holds |\n|---|---|---|---|---|\n");
    for series in &found.series {
        let (wanted, holds) = match (series.way.has_bar(), series.share >= SHARE) {
            (false, _) => (String::new(), ""),
            (true, true) => (format!("at least {SHARE}"), "yes"),
            (true, false) => (format!("at least {SHARE}"), "**no**"),
        };
        let _ = writeln!(page, "| {} | {:.0} MiB/s | {:.2} | {wanted} | {holds} |", series.way.words(), series.median, series.share);
    }
    if let Some(check) = &found.check {
        page.push_str(&check.rows());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_share_is_of_the_copy_of_the_same_round() {
        let rounds = [
            vec![(Way::Copy, 100.0), (Way::Pull, 90.0)],
            vec![(Way::Pull, 40.0), (Way::Copy, 50.0)],
            vec![(Way::Copy, 200.0), (Way::Pull, 100.0)],
        ];
        let found = series(Way::Pull, &rounds);
        assert_eq!((found.median, found.share, found.rounds.len()), (90.0, 0.8, 3));
        let share = series(Way::Copy, &rounds).share;
        assert!((share - 1.0).abs() < f64::EPSILON);
    }
}
