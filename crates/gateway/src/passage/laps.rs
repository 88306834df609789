//! Where the time of a call went, lap by lap: each lap ends where the next begins, so none is lost.
//!
//! In: the moments at which a stage was over. Out: the time of each stage and when it ended. Holds:
//! atomics, though only one at a time walks a call. Cost: one look at the clock for each lap.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Stage;

/// The laps of one call.
#[derive(Debug)]
pub(crate) struct Laps {
    began: Instant,
    last: AtomicU64,
    waited: AtomicU64,
    spent: [AtomicU64; Stage::COUNT],
    ended: [AtomicU64; Stage::COUNT],
}

impl Laps {
    /// None yet, of a call that began then.
    pub(crate) fn new(began: Instant) -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { began, last: AtomicU64::new(0), waited: AtomicU64::new(0), spent: zeros(), ended: zeros() }
    }

    /// What has passed since the last lap went into this stage.
    pub(crate) fn lap(&self, stage: Stage) {
        self.lap_after(stage, Duration::ZERO);
    }

    /// The same, but for a wait in line that was no work of this stage.
    pub(crate) fn lap_after(&self, stage: Stage, wait: Duration) {
        let (now, wait) = (whole(self.began.elapsed()), whole(wait));
        let passed = now.saturating_sub(self.last.swap(now, Relaxed)).saturating_sub(wait);
        let at = stage as usize;
        self.spent[at].store(self.spent[at].load(Relaxed) + passed, Relaxed);
        self.ended[at].store(now, Relaxed);
        if wait > 0 {
            self.waited.store(self.waited.load(Relaxed) + wait, Relaxed);
        }
    }

    /// The nanoseconds of a stage.
    pub(crate) fn nanos(&self, stage: Stage) -> u64 {
        self.spent[stage as usize].load(Relaxed)
    }

    /// How long after the beginning a stage last ended, and how long all of its laps took; `None` when
    /// it was not reached.
    pub(crate) fn of(&self, stage: Stage) -> Option<(Duration, Duration)> {
        let ended = Some(self.ended[stage as usize].load(Relaxed)).filter(|ended| *ended > 0)?;
        Some((Duration::from_nanos(ended), Duration::from_nanos(self.nanos(stage))))
    }

    /// All waits in line.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Relaxed))
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 1)
}
