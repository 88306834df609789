//! The board's numbers for Prometheus: lines, slots, who is passed over, who went where it belonged.
//!
//! In: the board, at each scrape. Out: readings by deployment or route, as many as there are.

use std::sync::Arc;

use board::{Board, Count};

use super::readings::{Readings, Source};

type Gauge = (&'static str, &'static str, fn(&Count) -> u32);
type Counter = (&'static str, &'static str, fn(&Count) -> u64);

const GAUGES: [Gauge; 4] = [
    ("penstock_calls_running", "Calls on an engine now, by deployment or route", |count| count.in_flight),
    ("penstock_queue_length", "Callers in line now, by deployment", |count| count.waiting),
    ("penstock_slots", "Calls that can run at once, by deployment", |count| count.slots),
    ("penstock_ejected", "Instances, or targets of a route, that are passed over now", |count| count.ejected),
];
const COUNTERS: [Counter; 2] = [
    ("penstock_ejections", "How often an instance or target was passed over for failing or being slow", |count| count.ejections),
    ("penstock_affinity_hits", "Calls that went to the instance that had served their like before", |count| count.affinity_hits),
];

/// The board, read anew at each scrape.
pub(crate) fn standing(board: Arc<Board>) -> Source {
    Arc::new(move |readings| tell(&board, readings))
}

fn tell(board: &Board, readings: &mut Readings<'_>) {
    let counts = board.counts();
    for (name, help, of) in GAUGES {
        readings.gauges(name, help, "model", counts.iter().map(|count| (count.name.as_str(), f64::from(of(count)))));
    }
    for (name, help, of) in COUNTERS {
        readings.counters(name, help, "model", counts.iter().map(|count| (count.name.as_str(), of(count))));
    }
    readings.counter("penstock_fallbacks", "Calls that went on to a fallback", board.fallbacks());
}
