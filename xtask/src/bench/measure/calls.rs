//! How many calls does a CPU second of a gateway carry, and what does it add to a call at a rate that is the same for all?
//!
//! In: the stage, the parties. Out: rows of [`Requests`] and [`Latency`]. Fails: when a run does.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{BODY_BYTES, CONNECTIONS, DIRECT, MICROS, Sample, count, first_error, in_turn, per_cpu, rows, run, stolen, taken, used};
use crate::bench::Lengths;
use crate::bench::figures::{Latency, Requests, Rounds};
use crate::bench::meter;
use crate::bench::party::{Kind, Party};
use crate::bench::stage::Stage;
use crate::say;

/// All connections busy.
pub(super) fn requests(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Requests>> {
    let shape = json!({ "kind": "closed", "connections": CONNECTIONS, "body_bytes": BODY_BYTES });
    let rounds = in_turn(parties, lengths.rounds, |party| {
        let sample = run(stage, party, &shape, (lengths.warm_ms, lengths.run_ms))?;
        let calls = count(sample.outcome.calls) / sample.outcome.seconds;
        let words = format!("{calls:>9.0}/s  {:>9.0} per CPU second{}", per_cpu(&sample), taken(&sample));
        say::note(&format!("{:<16}{words}", party.about.name));
        Ok(sample)
    })?;
    Ok(rows(parties, |at, party| Requests {
        party: party.about.name.clone(),
        per_second: rounds.median(at, |s| count(s.outcome.calls) / s.outcome.seconds),
        per_cpu_second: rounds.median(at, per_cpu),
        cores_used: rounds.median(at, used),
        p50: rounds.median(at, |s| s.outcome.latency.p50),
        p99: rounds.median(at, |s| s.outcome.latency.p99),
        memory_kb: meter::share_kb(&party.family),
        failed: rounds.sum(at, |s| s.outcome.failed),
        altered: rounds.sum(at, |s| s.outcome.altered),
        first_error: first_error(rounds.of(at)),
        stolen: stolen(rounds.of(at)),
        rounds: rounds.of(at).iter().map(per_cpu).collect(),
    }))
}

/// The most that a party can do; none of one that was not measured.
pub(super) fn most(requests: &[Requests], kind: Kind) -> Option<f64> {
    requests.iter().find(|row| row.party == kind.name()).map(|row| row.per_second)
}

/// Calls at a fixed rate.
pub(super) fn open(rate: f64) -> Value {
    json!({ "kind": "open", "connections": CONNECTIONS, "rate": rate, "body_bytes": BODY_BYTES })
}

/// At half of what Penstock with everything on can do.
pub(super) fn latency(stage: &Stage, parties: &[Party], lengths: &Lengths, requests: &[Requests]) -> Result<Vec<Latency>> {
    const HALF: f64 = 0.5;
    let rate = (most(requests, Kind::Full).context("Penstock was not measured")? * HALF).floor();
    // A party that cannot do as much is measured at half of what it can.
    let rate_of = |kind: Kind| most(requests, kind).map_or(rate, |most| (most * HALF).floor().min(rate).max(1.0));
    at_rates(stage, parties, lengths, (&rate_of, requests))
}

/// Each party at its rate, round after round.
pub(super) fn at_rates(
    stage: &Stage,
    parties: &[Party],
    lengths: &Lengths,
    (rate_of, requests): (&dyn Fn(Kind) -> f64, &[Requests]),
) -> Result<Vec<Latency>> {
    let rounds = in_turn(parties, lengths.rounds, |party| {
        let rate = rate_of(party.kind);
        let sample = run(stage, party, &open(rate), (lengths.warm_ms, lengths.run_ms))?;
        let (seen, used) = (&sample.outcome.latency, used(&sample));
        let words = format!("at {rate:>6.0}/s, {used:.2} of a core: p50 {:.0}, p99 {:.0} us{}", seen.p50, seen.p99, taken(&sample));
        say::note(&format!("{:<16}{words}", party.about.name));
        Ok(sample)
    })?;
    Ok(rows(parties, |at, party| {
        let rate = rate_of(party.kind);
        row(&rounds, (at, party), rate, most(requests, party.kind).filter(|most| *most > 0.0).map_or(0.0, |most| rate / most))
    }))
}

fn row(rounds: &Rounds<Sample>, (at, party): (usize, &Party), rate: f64, of_most: f64) -> Latency {
    Latency {
        party: party.about.name.clone(),
        rate,
        of_most,
        cores_used: rounds.median(at, used),
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
        stolen: stolen(rounds.of(at)),
        rounds: rounds.of(at).iter().zip(rounds.of(DIRECT)).map(|(a, b)| a.outcome.latency.p99 - b.outcome.latency.p99).collect(),
    }
}
