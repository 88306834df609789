//! What does each gateway add to a call when all have their core equally busy?
//!
//! At one rate for all, whoever takes less time for a call also waits less for its core, so its tail is shorter for two reasons. Here each party is
//! called at the rate at which it uses the same share of its core. In: what the measures before have found. Out: rows of [`Latency`], each with its own rate; what
//! is taken off is what the calls take without a gateway at the rate of Penstock with everything on. The rate is found by short trials,
//! since a call costs more when fewer come at once. Fails: when a run does.

use anyhow::Result;

use super::calls::{at_rates, most, open};
use super::{run, used};
use crate::bench::Lengths;
use crate::bench::figures::{EQUAL_USE, Latency, Requests};
use crate::bench::party::{Kind, Party};
use crate::bench::stage::Stage;

pub(in crate::bench) const TRIALS: u64 = 2;
pub(in crate::bench) const TRIAL_WARM_MS: u64 = 200;
pub(in crate::bench) const TRIAL_MS: u64 = 1_000;
/// Near enough: a run as short as a trial is no more exact.
const NEAR: f64 = 0.02;
/// Of what a party can do at the most.
const HIGHEST: f64 = 0.9;

/// A rate, and the share of the core that it took.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Point {
    pub(in crate::bench) rate: f64,
    pub(in crate::bench) used: f64,
}

/// Each at its own rate.
pub(super) fn latency(
    stage: &Stage,
    parties: &[Party],
    lengths: &Lengths,
    (requests, known): (&[Requests], &[Latency]),
) -> Result<Vec<Latency>> {
    let mut rates = Vec::new();
    for party in parties.iter().filter(|party| party.kind != Kind::Direct) {
        rates.push((party.kind, find(stage, party, (requests, known))?));
    }
    let of = |kind: Kind| rates.iter().find(|(of, _)| *of == kind).map(|(_, rate)| *rate);
    // Nobody in between uses no core: it runs at the rate of the one that the goals are about.
    let rate_of = |kind: Kind| of(kind).or_else(|| of(Kind::Full)).unwrap_or(1.0);
    at_rates(stage, parties, lengths, (&rate_of, requests))
}

/// The rate at which a party uses as much of its core as is wanted.
fn find(stage: &Stage, party: &Party, (requests, known): (&[Requests], &[Latency])) -> Result<f64> {
    let limit = most(requests, party.kind).unwrap_or(f64::MAX) * HIGHEST;
    let seen = known.iter().find(|row| row.party == party.about.name);
    let mut points: Vec<Point> = seen.map(|row| Point { rate: row.rate, used: row.cores_used }).into_iter().collect();
    let mut rate = next(&points, limit);
    for _ in 0..TRIALS {
        let used = used(&run(stage, party, &open(rate), (TRIAL_WARM_MS, TRIAL_MS))?);
        points.push(Point { rate, used });
        if (used - EQUAL_USE).abs() <= NEAR {
            break;
        }
        rate = next(&points, limit);
    }
    Ok(rate)
}

/// Where to look next: on the line through the two points that were seen last, or in proportion to the only one. What a core does is nearly a line: so
/// much for each call, and so much for being awake.
pub(in crate::bench) fn next(points: &[Point], limit: f64) -> f64 {
    const FURTHEST: f64 = 4.0;
    /// Points nearer to each other than this share of the rate say nothing of the line.
    const APART: f64 = 0.1;
    let rate = match points {
        [] => limit,
        [.., a, b] if (b.rate - a.rate).abs() > APART * b.rate && (b.used - a.used) / (b.rate - a.rate) > 0.0 => {
            b.rate + (EQUAL_USE - b.used) * (b.rate - a.rate) / (b.used - a.used)
        }
        [.., last] if last.used > 0.0 => last.rate * EQUAL_USE / last.used,
        [.., last] => last.rate,
    };
    let last = points.last().map_or(rate, |point| point.rate);
    rate.clamp(last / FURTHEST, last * FURTHEST).min(limit).max(1.0).floor()
}
