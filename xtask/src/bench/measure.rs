//! The measures: every party in turn, round after round, so that what the machine does meanwhile meets all alike.
//!
//! In: the stage and the choice. Out: [`Findings`] without the bars. Fails: when a party that is needed does not run. A
//! run that failed calls is told as such; it does not end the benchmark.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::figures::{Bodies, Findings, Latency, Machine, Requests, Rounds, Streams};
use super::meter::{self, Cpu};
use super::party::{Kind, Party, gather};
use super::stage::{Outcome, Stage};
use super::{Choice, Lengths, Level, Measure};
use crate::{say, shell, site};

const CONNECTIONS: usize = 64;
/// Of the usual request.
const BODY_BYTES: usize = 800;
/// How long a stream lasts, so that streams begin and end all the time.
const STREAM_SECONDS: u32 = 3;
/// In which all streams of a level begin.
const RAMP_MS: u64 = 2_000;
/// After that, until what is seen is told.
const SETTLE_MS: u64 = 500;
/// Large bodies go over a few connections.
const BODY_CONNECTIONS: usize = 4;
const MICROS: f64 = 1e6;
const MILLIS: f64 = 1e3;

/// One run and what it took of the gateway.
struct Sample {
    outcome: Outcome,
    cpu: Cpu,
    wall: f64,
    memory_kb: f64,
}

/// Runs all chosen measures.
pub(super) fn all(stage: &Stage, choice: &Choice) -> Result<Findings> {
    let lengths = choice.lengths();
    let mut findings = Findings { date: date()?, quick: choice.quick, machine: machine()?, ..Findings::default() };
    say::step("starting those who take part");
    let parties = gather(stage, Kind::chosen(choice.peers).iter().copied(), &mut findings.absent)?;
    findings.parties = parties.iter().map(|party| party.about.clone()).collect();
    if choice.wants(Measure::Requests) || choice.wants(Measure::Latency) {
        say::step("calls for each CPU second, all connections busy");
        findings.requests = requests(stage, &parties, &lengths)?;
    }
    if choice.wants(Measure::Latency) {
        say::step("added time at half of what Penstock with everything on can do");
        findings.latency = latency(stage, &parties, &lengths, &findings.requests)?;
    }
    if choice.wants(Measure::Bodies) {
        say::step("large bodies");
        findings.bodies = bodies(stage, &parties, &lengths)?;
        findings.scan = stage.cost()?;
    }
    drop(parties);
    if choice.wants(Measure::Streams) {
        say::step("streams");
        // Fresh ones, so that memory grows from what it is without calls.
        let fast = Kind::chosen(choice.peers).iter().copied().filter(|kind| kind.is_fast());
        let parties = gather(stage, fast, &mut Vec::new())?;
        findings.streams = streams(stage, &parties, &lengths)?;
    }
    Ok(findings)
}

fn requests(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Requests>> {
    let shape = json!({ "kind": "closed", "connections": CONNECTIONS, "body_bytes": BODY_BYTES });
    let rounds = in_turn(parties, lengths.rounds, |party| {
        let sample = run(stage, party, &shape, (lengths.warm_ms, lengths.run_ms))?;
        let calls = count(sample.outcome.calls) / sample.outcome.seconds;
        say::note(&format!("{:<16}{calls:>9.0}/s  {:>9.0} per CPU second", party.about.name, per_cpu(&sample)));
        Ok(sample)
    })?;
    Ok(rows(parties, |at, party| Requests {
        party: party.about.name.clone(),
        per_second: rounds.median(at, |s| count(s.outcome.calls) / s.outcome.seconds),
        per_cpu_second: rounds.median(at, per_cpu),
        cores_used: rounds.median(at, |s| s.cpu.all / s.wall),
        p50: rounds.median(at, |s| s.outcome.latency.p50),
        p99: rounds.median(at, |s| s.outcome.latency.p99),
        memory_kb: meter::share_kb(&party.family),
        failed: rounds.sum(at, |s| s.outcome.failed),
        altered: rounds.sum(at, |s| s.outcome.altered),
        first_error: first_error(rounds.of(at)),
        rounds: rounds.of(at).iter().map(per_cpu).collect(),
    }))
}

fn latency(stage: &Stage, parties: &[Party], lengths: &Lengths, requests: &[Requests]) -> Result<Vec<Latency>> {
    const HALF: f64 = 0.5;
    let most = |kind: Kind| requests.iter().find(|row| row.party == kind.name()).map(|row| row.per_second);
    let rate = (most(Kind::Full).context("Penstock was not measured")? * HALF).floor();
    // A party that cannot do as much is measured at half of what it can.
    let rate_of = |party: &Party| most(party.kind).map_or(rate, |most| (most * HALF).floor().min(rate).max(1.0));
    let rounds = in_turn(parties, lengths.rounds, |party| {
        let shape = json!({ "kind": "open", "connections": CONNECTIONS, "rate": rate_of(party), "body_bytes": BODY_BYTES });
        let sample = run(stage, party, &shape, (lengths.warm_ms, lengths.run_ms))?;
        let seen = &sample.outcome.latency;
        say::note(&format!("{:<16}at {:>6.0}/s: p50 {:.0}, p99 {:.0} us", party.about.name, rate_of(party), seen.p50, seen.p99));
        Ok(sample)
    })?;
    Ok(rows(parties, |at, party| Latency {
        party: party.about.name.clone(),
        rate: rate_of(party),
        p50: rounds.median(at, |s| s.outcome.latency.p50),
        p99: rounds.median(at, |s| s.outcome.latency.p99),
        p999: rounds.median(at, |s| s.outcome.latency.p999),
        cpu_us: rounds.median(at, |s| s.cpu.all * MICROS / count(s.outcome.all_calls).max(1.0)),
        kernel_us: rounds.median(at, |s| s.cpu.kernel * MICROS / count(s.outcome.all_calls).max(1.0)),
        added_p50: rounds.beyond(at, DIRECT, |s| s.outcome.latency.p50),
        added_p99: rounds.beyond(at, DIRECT, |s| s.outcome.latency.p99),
        added_p999: rounds.beyond(at, DIRECT, |s| s.outcome.latency.p999),
        kept_up: rounds.of(at).iter().all(|s| s.outcome.kept_up),
        failed: rounds.sum(at, |s| s.outcome.failed),
        rounds: rounds.of(at).iter().zip(rounds.of(DIRECT)).map(|(a, b)| a.outcome.latency.p99 - b.outcome.latency.p99).collect(),
    }))
}

fn bodies(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Bodies>> {
    let mut found = Vec::new();
    for bytes in lengths.body_bytes {
        let shape = json!({ "kind": "closed", "connections": BODY_CONNECTIONS, "body_bytes": bytes });
        let rounds = in_turn(parties, lengths.stream_rounds, |party| {
            let sample = run(stage, party, &shape, (lengths.warm_ms, lengths.run_ms))?;
            say::note(&format!("{:<16}{bytes:>9} bytes: {:.3} ms of CPU", party.about.name, cpu_ms(&sample)));
            Ok(sample)
        })?;
        found.extend(rows(parties, |at, party| Bodies {
            party: party.about.name.clone(),
            bytes: *bytes,
            cpu_ms: rounds.median(at, cpu_ms),
            p50_ms: rounds.median(at, |s| s.outcome.latency.p50 / MILLIS),
            failed: rounds.sum(at, |s| s.outcome.failed),
            first_error: first_error(rounds.of(at)),
        }));
    }
    Ok(found)
}

fn streams(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Streams>> {
    let mut before = Vec::new();
    for party in parties {
        // The first calls of a process bring in code and buffers that no stream is to blame for.
        run(stage, party, &json!({ "kind": "closed", "connections": 1, "body_bytes": BODY_BYTES }), (0, lengths.warm_ms))?;
        before.push(meter::own_kb(&party.family));
    }
    let mut found = Vec::new();
    for Level { streams, per_second } in lengths.stream_levels {
        let events = per_second * STREAM_SECONDS;
        let shape = json!({ "kind": "streams", "streams": streams, "per_second": per_second, "events": events, "ramp_ms": RAMP_MS });
        let rounds = in_turn(parties, lengths.stream_rounds, |party| {
            let sample = run(stage, party, &shape, (RAMP_MS + SETTLE_MS, lengths.stream_ms))?;
            let (first, event) = (&sample.outcome.first, &sample.outcome.transit);
            let words = format!("first p99 {:.0} us, events p50 {:.0} p99 {:.0} us", first.p99, event.p50, event.p99);
            say::note(&format!("{:<16}{streams:>5} streams at {per_second}/s: {words}", party.about.name));
            Ok(sample)
        })?;
        found.extend(rows(parties, |at, party| Streams {
            party: party.about.name.clone(),
            at_once: *streams,
            per_second: *per_second,
            events_per_second: rounds.median(at, |s| count(s.outcome.all_events) / s.wall),
            cpu_us_per_event: rounds.median(at, |s| s.cpu.all * MICROS / count(s.outcome.all_events).max(1.0)),
            kernel_us_per_event: rounds.median(at, |s| s.cpu.kernel * MICROS / count(s.outcome.all_events).max(1.0)),
            first_p50: rounds.median(at, |s| s.outcome.first.p50),
            first_p99: rounds.median(at, |s| s.outcome.first.p99),
            event_p50: rounds.median(at, |s| s.outcome.transit.p50),
            event_p99: rounds.median(at, |s| s.outcome.transit.p99),
            added_first_p99: rounds.beyond(at, DIRECT, |s| s.outcome.first.p99),
            added_event_p50: rounds.beyond(at, DIRECT, |s| s.outcome.transit.p50),
            added_event_p99: rounds.beyond(at, DIRECT, |s| s.outcome.transit.p99),
            kb_per_stream: rounds.median(at, |s| (s.memory_kb - before[at]).max(0.0) / count(*streams as u64)),
            failed: rounds.sum(at, |s| s.outcome.failed),
            altered: rounds.sum(at, |s| s.outcome.altered),
            first_error: first_error(rounds.of(at)),
        }));
    }
    Ok(found)
}

/// Where nobody stands in between; the first of all.
const DIRECT: usize = 0;

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
    let (begun, before) = (Instant::now(), meter::cpu(family));
    let (outcome, memory_kb) = thread::scope(|scope| {
        let memory = scope.spawn(|| {
            thread::sleep(late);
            meter::own_kb(family)
        });
        (stage.run(party, shape, warm_ms, run_ms), memory.join().unwrap_or_default())
    });
    let (cpu, wall) = (meter::cpu(family).since(before), begun.elapsed().as_secs_f64());
    let outcome = outcome.with_context(|| format!("{} could not be measured", party.about.name))?;
    Ok(Sample { outcome, cpu, wall, memory_kb })
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
