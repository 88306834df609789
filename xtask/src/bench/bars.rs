//! Which of the gateway's goals does this run meet?
//!
//! In: findings. Out: a [`Bar`] for each goal that this benchmark can judge. A goal that was not measured is said to be so.

use super::figures::{Bar, Findings, Latency, Streams, median};
use super::party::Kind;

const NGINX_SHARE: f64 = 0.9;
const ADDED_P50_US: f64 = 100.0;
const ADDED_P99_US: f64 = 400.0;
const STREAMS: usize = 2_000;
const EVENTS_PER_SECOND: u32 = 50;
const FIRST_P99_US: f64 = 1_000.0;
const EVENT_P99_US: f64 = 2_000.0;
const STREAM_KB: f64 = 30.0;
const LARGE_BYTES: usize = 16 << 20;
const LARGE_MS: f64 = 0.3;
const READY_MS: f64 = 100.0;
const IDLE_KB: f64 = 30_000.0;

/// Holds the findings against the goals.
pub(super) fn judge(findings: &Findings) -> Vec<Bar> {
    let mut bars = vec![throughput(findings)];
    let added = |of: fn(&Latency) -> f64| {
        let row = |kind: Kind| findings.latency.iter().find(|row| row.party == kind.name());
        move |kind: Kind| row(kind).filter(|row| row.kept_up && row.failed == 0).map(of)
    };
    bars.push(most("added time at half load, p50", ADDED_P50_US, "us", added(|row| row.added_p50)));
    bars.push(most("added time at half load, p99", ADDED_P99_US, "us", added(|row| row.added_p99)));
    let streams = |kind: Kind| {
        let of_bar = |row: &&Streams| row.party == kind.name() && row.at_once == STREAMS && row.per_second == EVENTS_PER_SECOND;
        findings.streams.iter().find(of_bar)
    };
    // A run that saw no event in its told time has proved nothing.
    let seen = |of: fn(&Streams) -> f64| move |kind: Kind| streams(kind).filter(|row| row.first_p99 > 0.0 && row.event_p99 > 0.0).map(of);
    bars.push(most("2,000 streams: added to the first event, p99", FIRST_P99_US, "us", seen(|row| row.added_first_p99)));
    bars.push(most("2,000 streams: added to an event, p99", EVENT_P99_US, "us", seen(|row| row.added_event_p99)));
    bars.push(most("2,000 streams: memory of each", STREAM_KB, "KB", seen(|row| row.kb_per_stream)));
    #[expect(clippy::cast_precision_loss, reason = "a count of failures")]
    let wrong = |row: &Streams| (row.failed + row.altered) as f64;
    bars.push(most("2,000 streams: failed calls and altered events", 0.0, "", |kind| streams(kind).map(wrong)));
    let ours = |found: Option<f64>| move |kind: Kind| found.filter(|_| kind == Kind::Full);
    let large = findings.scan.iter().find(|row| row.bytes >= LARGE_BYTES);
    bars.push(most("16 MiB body: CPU to scan and splice", LARGE_MS, "ms", ours(large.map(|row| row.scan_ms + row.splice_ms))));
    let entrant = findings.parties.iter().find(|party| party.name == Kind::Full.name());
    bars.push(most("start to ready", READY_MS, "ms", ours(entrant.map(|party| party.started_ms))));
    bars.push(most("memory when idle", IDLE_KB, "KB", ours(entrant.map(|party| party.idle_kb))));
    bars
}

/// Round by round, since both have met the same machine then.
fn throughput(findings: &Findings) -> Bar {
    let rounds = |kind: Kind| findings.requests.iter().find(|row| row.party == kind.name()).map(|row| row.rounds.as_slice());
    let beside_nginx = |kind: Kind| {
        rounds(kind).zip(rounds(Kind::Nginx)).map(|(party, nginx)| {
            let shares: Vec<f64> = party.iter().zip(nginx).filter(|(_, nginx)| **nginx > 0.0).map(|(party, nginx)| party / nginx).collect();
            median(&shares)
        })
    };
    let share = beside_nginx(Kind::Full);
    Bar {
        goal: "calls for each CPU second, everything on, beside nginx".to_owned(),
        wanted: format!("at least {NGINX_SHARE:.2}"),
        found: share.map_or_else(not_measured, |share| format!("{share:.2}")),
        floor: beside_nginx(Kind::Tunnel).map_or_else(String::new, |share| format!("{share:.2}")),
        holds: share.map(|share| share >= NGINX_SHARE),
    }
}

fn most(goal: &str, limit: f64, unit: &str, of: impl Fn(Kind) -> Option<f64>) -> Bar {
    let found = of(Kind::Full);
    let told = |value: f64| format!("{value:.1} {unit}").trim_end().to_owned();
    Bar {
        goal: goal.to_owned(),
        wanted: format!("at most {limit} {unit}").trim_end().to_owned(),
        found: found.map_or_else(not_measured, told),
        floor: of(Kind::Tunnel).map_or_else(String::new, told),
        holds: found.map(|value| value <= limit),
    }
}

fn not_measured() -> String {
    "not measured".to_owned()
}
