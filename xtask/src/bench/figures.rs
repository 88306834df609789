//! What was measured, as values: rows of medians, and what each round saw.
//!
//! In: samples. Out: rows that can be written as JSON. Times are microseconds where the name does not
//! say otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of a core: what all gateways have in use where they are compared with their cores equally busy.
pub(super) const EQUAL_USE: f64 = 0.4;

/// Everything that one benchmark has found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    pub(super) date: String,
    pub(super) quick: bool,
    pub(super) machine: Machine,
    pub(super) parties: Vec<Entrant>,
    /// Who was asked for and could not be had, and why.
    pub(super) absent: Vec<String>,
    pub(super) requests: Vec<Requests>,
    pub(super) latency: Vec<Latency>,
    /// Each at the rate at which it uses the same share of its core.
    pub(super) equal_use: Vec<Latency>,
    pub(super) streams: Vec<Streams>,
    pub(super) bodies: Vec<Bodies>,
    pub(super) scan: Vec<Scan>,
    /// How long each measure took.
    pub(super) took: Vec<Took>,
    pub(super) bars: Vec<Bar>,
}

impl Findings {
    /// Why a call failed, when one did.
    pub(super) fn first_error(&self) -> Option<&str> {
        let calls = self.requests.iter().map(|row| &row.first_error);
        let streams = self.streams.iter().map(|row| &row.first_error);
        calls.chain(streams).chain(self.bodies.iter().map(|row| &row.first_error)).find_map(Option::as_deref)
    }
}

/// A measure, how often it went round, and how long that took.
#[derive(Debug, Serialize)]
pub(super) struct Took {
    pub(super) measure: String,
    pub(super) rounds: u8,
    pub(super) seconds: f64,
}

/// What the host took of the two cores while a party ran, in percent of the time; means over the rounds, and the worst round of either core.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Stolen {
    pub(super) gateway: f64,
    pub(super) rig: f64,
    pub(super) most: f64,
}

impl Stolen {
    /// From that of each round: of the gateways' core, of the rig's.
    #[expect(clippy::cast_precision_loss, reason = "a few rounds")]
    pub(super) fn of(rounds: &[[f64; 2]]) -> Self {
        let mean = |of: fn(&[f64; 2]) -> f64| rounds.iter().map(of).sum::<f64>() / (rounds.len().max(1) as f64);
        let most = rounds.iter().flatten().copied().fold(0.0, f64::max);
        Self { gateway: mean(|[gateway, _]| *gateway), rig: mean(|[_, rig]| *rig), most }
    }
}

/// On what it ran.
#[derive(Debug, Default, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) memory: String,
    /// The load average before the first run: figures of a busy machine are noise.
    pub(super) load_before: String,
}

/// One that took part.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entrant {
    pub(super) name: String,
    pub(super) version: String,
    /// From its start until it answered.
    pub(super) started_ms: f64,
    /// Its share of memory before the first call.
    pub(super) idle_kb: f64,
}

/// All connections busy.
#[derive(Debug, Serialize)]
pub(super) struct Requests {
    pub(super) party: String,
    pub(super) per_second: f64,
    /// For each CPU second of the gateway; 0 for none.
    pub(super) per_cpu_second: f64,
    /// CPU seconds of the gateway in a second.
    pub(super) cores_used: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// After the load.
    pub(super) memory_kb: f64,
    pub(super) failed: u64,
    pub(super) altered: u64,
    pub(super) first_error: Option<String>,
    pub(super) stolen: Stolen,
    /// Calls for each CPU second, round by round.
    pub(super) rounds: Vec<f64>,
}

/// At a fixed rate: the same for all, or each at its own.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) party: String,
    pub(super) rate: f64,
    /// The rate beside the most that it can do.
    pub(super) of_most: f64,
    /// CPU seconds of the gateway in a second.
    pub(super) cores_used: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    /// CPU of the gateway for a call, in all and in the kernel.
    pub(super) cpu_us: f64,
    pub(super) kernel_us: f64,
    /// Beyond what the same calls take without a gateway.
    pub(super) added_p50: f64,
    pub(super) added_p99: f64,
    pub(super) added_p999: f64,
    pub(super) kept_up: bool,
    pub(super) failed: u64,
    pub(super) stolen: Stolen,
    /// The added p99 of each round.
    pub(super) rounds: Vec<f64>,
}

/// Many streams at once.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    pub(super) party: String,
    pub(super) at_once: usize,
    /// Events of each in a second, as the upstream sends them.
    pub(super) per_second: u32,
    /// Events that went through, of all streams.
    pub(super) events_per_second: f64,
    pub(super) cpu_us_per_event: f64,
    pub(super) kernel_us_per_event: f64,
    pub(super) first_p50: f64,
    pub(super) first_p99: f64,
    pub(super) event_p50: f64,
    pub(super) event_p99: f64,
    pub(super) added_first_p99: f64,
    pub(super) added_event_p50: f64,
    pub(super) added_event_p99: f64,
    /// Growth of the gateway's own memory for each stream.
    pub(super) kb_per_stream: f64,
    /// CPU seconds of the gateway in a second.
    pub(super) cores_used: f64,
    pub(super) stolen: Stolen,
    pub(super) failed: u64,
    pub(super) altered: u64,
    pub(super) first_error: Option<String>,
}

/// Calls with a body of this size.
#[derive(Debug, Serialize)]
pub(super) struct Bodies {
    pub(super) party: String,
    pub(super) bytes: usize,
    pub(super) cpu_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) stolen: Stolen,
    pub(super) failed: u64,
    pub(super) first_error: Option<String>,
}

/// What scanning and splicing a body takes by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the JSON")]
pub(super) struct Scan {
    pub(super) bytes: usize,
    pub(super) scan_ms: f64,
    pub(super) splice_ms: f64,
}

/// A goal and whether it is met.
#[derive(Debug, Serialize)]
pub(super) struct Bar {
    pub(super) goal: String,
    pub(super) wanted: String,
    pub(super) found: String,
    /// The same of the tunnel: no gateway can do better on this machine. Empty where it says nothing.
    pub(super) floor: String,
    /// None: not measured this time.
    pub(super) holds: Option<bool>,
}

/// The middle one; of two the mean; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(sorted[middle - 1], *value),
    }
}

/// Samples of each party, in the order in which the parties stand.
#[derive(Debug)]
pub(super) struct Rounds<T>(BTreeMap<usize, Vec<T>>);

impl<T> Rounds<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// One more of this party.
    pub(super) fn add(&mut self, party: usize, sample: T) {
        self.0.entry(party).or_default().push(sample);
    }

    /// All of this party.
    pub(super) fn of(&self, party: usize) -> &[T] {
        self.0.get(&party).map_or(&[], Vec::as_slice)
    }

    /// The median of one figure.
    pub(super) fn median(&self, party: usize, figure: impl Fn(&T) -> f64) -> f64 {
        median(&self.of(party).iter().map(figure).collect::<Vec<_>>())
    }

    /// The median of what a party has beyond another one in the same round.
    pub(super) fn beyond(&self, party: usize, other: usize, figure: impl Fn(&T) -> f64) -> f64 {
        let pairs = self.of(party).iter().zip(self.of(other));
        median(&pairs.map(|(a, b)| figure(a) - figure(b)).collect::<Vec<_>>())
    }

    /// A count, summed over the rounds.
    pub(super) fn sum(&self, party: usize, figure: impl Fn(&T) -> u64) -> u64 {
        self.of(party).iter().map(figure).sum()
    }
}
