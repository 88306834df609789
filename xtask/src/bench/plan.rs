//! How long will a benchmark of the gateway take?
//!
//! In: the choice. Out: the time of all runs, and of a round of each measure, when all come who are asked for. It leaves out builds and starts.

use std::time::Duration;

use super::measure::{equal, streams};
use super::party::Kind;
use super::{Choice, Measure};

/// All runs.
pub(super) fn time(choice: &Choice) -> Duration {
    measures(choice).iter().map(|one| one.round * u32::from(one.rounds) + one.before).sum()
}

/// What a round of each measure takes.
pub(super) fn rounds(choice: &Choice) -> String {
    let words = |one: &One| format!("{} rounds of {} s for {}", one.rounds, one.round.as_secs(), one.what);
    measures(choice).iter().map(words).collect::<Vec<_>>().join(", ")
}

/// A measure: how often it goes round, how long each time, and what comes before.
struct One {
    what: &'static str,
    rounds: u8,
    round: Duration,
    before: Duration,
}

fn measures(choice: &Choice) -> Vec<One> {
    let lengths = choice.lengths();
    let count = |of: fn(&Kind) -> bool| Kind::chosen(choice.peers).iter().map(|kind| u64::from(of(kind))).sum::<u64>();
    let (parties, fast) = (count(|_| true), count(|kind| kind.is_fast()));
    let calls = parties * (lengths.warm_ms + lengths.run_ms);
    let bodies = lengths.body_bytes.iter().map(|_| calls).sum();
    let levels = lengths.stream_levels.iter().map(|level| fast * (streams::RAMP_MS + streams::SETTLE_MS + level.told_ms)).sum();
    let trials = parties.saturating_sub(1) * equal::TRIALS * (equal::TRIAL_WARM_MS + equal::TRIAL_MS);
    let one = |what, rounds, round_ms, before_ms| {
        let (round, before) = (Duration::from_millis(round_ms), Duration::from_millis(before_ms));
        One { what, rounds, round, before }
    };
    let all = [
        (choice.wants(Measure::Requests) || choice.wants(Measure::Latency), one("calls", lengths.rounds, calls, 0)),
        (choice.wants(Measure::Latency), one("one rate", lengths.rounds, calls, 0)),
        (choice.wants(Measure::Latency), one("equal use", lengths.rounds, calls, trials)),
        (choice.wants(Measure::Bodies), one("bodies", lengths.stream_rounds, bodies, 0)),
        (choice.wants(Measure::Streams), one("streams", lengths.stream_rounds, levels, 0)),
    ];
    all.into_iter().filter(|(wanted, _)| *wanted).map(|(_, one)| one).collect()
}
