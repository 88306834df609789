//! The measures: every party in turn, round after round, so that what the machine does meanwhile meets all alike.
//!
//! In: the stage and the choice. Out: [`Findings`] without the bars: of calls ([`calls`]), of calls with each gateway's core equally busy
//! ([`equal`]), of large bodies, of streams ([`streams`]). Fails: when a party that is needed does not run. A run that failed calls is told as such;
//! it does not end the benchmark.

mod calls;

pub(super) mod equal;

pub(super) mod streams;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::figures::{Bodies, Findings, Machine, Rounds, Stolen, Took};
use super::meter::{self, Cpu};
use super::party::{Kind, Party, gather};
use super::stage::{Outcome, Stage};
use super::{Choice, Lengths, Measure};
use crate::{say, shell, site};

const CONNECTIONS: usize = 64;
/// Of the usual request.
const BODY_BYTES: usize = 800;
/// Large bodies go over a few connections.
const BODY_CONNECTIONS: usize = 4;
/// Where nobody stands in between; the first of all.
const DIRECT: usize = 0;
const MICROS: f64 = 1e6;
const MILLIS: f64 = 1e3;

/// One run and what it took of the gateway.
struct Sample {
    outcome: Outcome,
    cpu: Cpu,
    wall: f64,
    memory_kb: f64,
    /// Of the gateways' core and of the rig's, by the host, in percent.
    stolen: [f64; 2],
}

/// Runs all chosen measures.
pub(super) fn all(stage: &Stage, choice: &Choice) -> Result<Findings> {
    let lengths = choice.lengths();
    let mut findings = Findings { date: date()?, quick: choice.quick, machine: machine()?, ..Findings::default() };
    say::step("starting those who take part");
    let parties = gather(stage, Kind::chosen(choice.peers).iter().copied(), &mut findings.absent)?;
    findings.parties = parties.iter().map(|party| party.about.clone()).collect();
    let mut clock = Clock::default();
    if choice.wants(Measure::Requests) || choice.wants(Measure::Latency) {
        clock.begin("calls for each CPU second, all connections busy", lengths.rounds);
        findings.requests = calls::requests(stage, &parties, &lengths)?;
    }
    if choice.wants(Measure::Latency) {
        clock.begin("added time at half of what Penstock with everything on can do", lengths.rounds);
        findings.latency = calls::latency(stage, &parties, &lengths, &findings.requests)?;
        clock.begin("added time with each gateway's core equally busy", lengths.rounds);
        findings.equal_use = equal::latency(stage, &parties, &lengths, (&findings.requests, &findings.latency))?;
    }
    if choice.wants(Measure::Bodies) {
        clock.begin("large bodies", lengths.stream_rounds);
        findings.bodies = bodies(stage, &parties, &lengths)?;
        findings.scan = stage.cost()?;
    }
    drop(parties);
    if choice.wants(Measure::Streams) {
        clock.begin("streams", lengths.stream_rounds);
        // Fresh ones, so that memory grows from what it is without calls.
        let fast = Kind::chosen(choice.peers).iter().copied().filter(|kind| kind.is_fast());
        let parties = gather(stage, fast, &mut Vec::new())?;
        findings.streams = streams::all(stage, &parties, &lengths)?;
    }
    findings.took = clock.end();
    Ok(findings)
}

/// How long each measure takes.
#[derive(Default)]
struct Clock {
    now: Option<(String, u8, Instant)>,
    took: Vec<Took>,
}

impl Clock {
    /// The next one begins, and the one before is over.
    fn begin(&mut self, measure: &str, rounds: u8) {
        say::step(measure);
        self.stop();
        self.now = Some((measure.to_owned(), rounds, Instant::now()));
    }

    fn stop(&mut self) {
        let Some((measure, rounds, begun)) = self.now.take() else { return };
        self.took.push(Took { measure, rounds, seconds: begun.elapsed().as_secs_f64() });
    }

    fn end(mut self) -> Vec<Took> {
        self.stop();
        self.took
    }
}

fn bodies(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Bodies>> {
    let mut found = Vec::new();
    for bytes in lengths.body_bytes {
        let shape = json!({ "kind": "closed", "connections": BODY_CONNECTIONS, "body_bytes": bytes });
        let rounds = in_turn(parties, lengths.stream_rounds, |party| {
            let sample = run(stage, party, &shape, (lengths.warm_ms, lengths.run_ms))?;
            say::note(&format!("{:<16}{bytes:>9} bytes: {:.3} ms of CPU{}", party.about.name, cpu_ms(&sample), taken(&sample)));
            Ok(sample)
        })?;
        found.extend(rows(parties, |at, party| Bodies {
            party: party.about.name.clone(),
            bytes: *bytes,
            cpu_ms: rounds.median(at, cpu_ms),
            p50_ms: rounds.median(at, |s| s.outcome.latency.p50 / MILLIS),
            stolen: stolen(rounds.of(at)),
            failed: rounds.sum(at, |s| s.outcome.failed),
            first_error: first_error(rounds.of(at)),
        }));
    }
    Ok(found)
}

/// Runs each party once a round; who begins changes from round to round.
fn in_turn(parties: &[Party], rounds: u8, mut one: impl FnMut(&Party) -> Result<Sample>) -> Result<Rounds<Sample>> {
    let mut samples = Rounds::new();
    for round in 0..usize::from(rounds) {
        for step in 0..parties.len() {
            let at = (round + step) % parties.len();
            samples.add(at, one(&parties[at])?);
        }
    }
    Ok(samples)
}

/// One run; the gateway's memory is looked at when three quarters of it are over.
fn run(stage: &Stage, party: &Party, shape: &serde_json::Value, (warm_ms, run_ms): (u64, u64)) -> Result<Sample> {
    const LATE: f64 = 0.75;
    let late = Duration::from_millis(warm_ms) + Duration::from_millis(run_ms).mul_f64(LATE);
    let family = &party.family;
    let cores = stage.cores.map(meter::core);
    let (begun, before) = (Instant::now(), meter::cpu(family));
    let (outcome, memory_kb) = thread::scope(|scope| {
        let memory = scope.spawn(|| {
            thread::sleep(late);
            meter::own_kb(family)
        });
        (stage.run(party, shape, warm_ms, run_ms), memory.join().unwrap_or_default())
    });
    let (cpu, wall) = (meter::cpu(family).since(before), begun.elapsed().as_secs_f64());
    let stolen = [0, 1].map(|at| meter::core(stage.cores[at]).stolen_since(cores[at]));
    let outcome = outcome.with_context(|| format!("{} could not be measured", party.about.name))?;
    Ok(Sample { outcome, cpu, wall, memory_kb, stolen })
}

fn rows<T>(parties: &[Party], row: impl Fn(usize, &Party) -> T) -> Vec<T> {
    parties.iter().enumerate().map(|(at, party)| row(at, party)).collect()
}

fn per_cpu(sample: &Sample) -> f64 {
    if sample.cpu.all > 0.0 { count(sample.outcome.all_calls) / sample.cpu.all } else { 0.0 }
}

fn cpu_ms(sample: &Sample) -> f64 {
    sample.cpu.all * MILLIS / count(sample.outcome.all_calls).max(1.0)
}

/// CPU seconds of the gateway in a second.
fn used(sample: &Sample) -> f64 {
    sample.cpu.all / sample.wall
}

fn stolen(samples: &[Sample]) -> Stolen {
    Stolen::of(&samples.iter().map(|sample| sample.stolen).collect::<Vec<_>>())
}

/// For the log of a run, where the host took more than a little.
fn taken(sample: &Sample) -> String {
    const WORTH_A_WORD: f64 = 0.5;
    let [gateway, rig] = sample.stolen;
    if gateway.max(rig) < WORTH_A_WORD { String::new() } else { format!("; the host took {gateway:.1} and {rig:.1} % of the cores") }
}

fn first_error(samples: &[Sample]) -> Option<String> {
    samples.iter().find_map(|sample| sample.outcome.first_error.clone())
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run lie far below 2^53")]
fn count(n: u64) -> f64 {
    n as f64
}

fn date() -> Result<String> {
    Ok(shell::text(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned())
}

pub(super) fn machine() -> Result<Machine> {
    let of = |path, name| meter::text(path, name).unwrap_or_default();
    Ok(Machine {
        cpu: of("/proc/cpuinfo", "model name"),
        cores: site::cores(),
        kernel: shell::text(Command::new("uname").arg("-r"))?.trim().to_owned(),
        memory: of("/proc/meminfo", "MemTotal"),
        load_before: meter::load()?,
    })
}
