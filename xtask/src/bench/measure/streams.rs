//! What does a gateway add to the events of many streams, and what does each take of its memory?
//!
//! In: the stage, fresh parties. Out: rows of [`Streams`], level by level. Fails: when a run does.

use anyhow::Result;
use serde_json::json;

use super::{BODY_BYTES, DIRECT, MICROS, count, first_error, in_turn, rows, run, stolen, taken, used};
use crate::bench::figures::Streams;
use crate::bench::meter;
use crate::bench::party::Party;
use crate::bench::stage::Stage;
use crate::bench::{Lengths, Level};
use crate::say;

/// How long a stream lasts, so that streams begin and end all the time.
const STREAM_SECONDS: u32 = 3;
/// In which all streams of a level begin.
pub(in crate::bench) const RAMP_MS: u64 = 2_000;
/// After that, until what is seen is told.
pub(in crate::bench) const SETTLE_MS: u64 = 500;

/// Every level, one after the other.
pub(super) fn all(stage: &Stage, parties: &[Party], lengths: &Lengths) -> Result<Vec<Streams>> {
    let mut before = Vec::new();
    for party in parties {
        // The first calls of a process bring in code and buffers that no stream is to blame for.
        run(stage, party, &json!({ "kind": "closed", "connections": 1, "body_bytes": BODY_BYTES }), (0, lengths.warm_ms))?;
        before.push(meter::own_kb(&party.family));
    }
    let mut found = Vec::new();
    for level in lengths.stream_levels {
        found.extend(at(stage, parties, (*level, lengths.stream_rounds), &before)?);
    }
    Ok(found)
}

/// One level; `before` is what each party had of memory before the first stream.
fn at(stage: &Stage, parties: &[Party], (level, rounds): (Level, u8), before: &[f64]) -> Result<Vec<Streams>> {
    let Level { streams, per_second, told_ms } = level;
    let events = per_second * STREAM_SECONDS;
    let shape = json!({ "kind": "streams", "streams": streams, "per_second": per_second, "events": events, "ramp_ms": RAMP_MS });
    let rounds = in_turn(parties, rounds, |party| {
        let sample = run(stage, party, &shape, (RAMP_MS + SETTLE_MS, told_ms))?;
        let (first, event) = (&sample.outcome.first, &sample.outcome.transit);
        let words = format!("first p99 {:.0} us, events p50 {:.0} p99 {:.0} us{}", first.p99, event.p50, event.p99, taken(&sample));
        say::note(&format!("{:<16}{streams:>5} streams at {per_second}/s: {words}", party.about.name));
        Ok(sample)
    })?;
    Ok(rows(parties, |at, party| Streams {
        party: party.about.name.clone(),
        at_once: streams,
        per_second,
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
        kb_per_stream: rounds.median(at, |s| (s.memory_kb - before[at]).max(0.0) / count(streams as u64)),
        cores_used: rounds.median(at, used),
        stolen: stolen(rounds.of(at)),
        failed: rounds.sum(at, |s| s.outcome.failed),
        altered: rounds.sum(at, |s| s.outcome.altered),
        first_error: first_error(rounds.of(at)),
    }))
}
