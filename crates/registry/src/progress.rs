//! How far is the reading or the fetching of large files, and how fast does it go?
//!
//! In: bytes, from whoever reads or fetches. Out: the same numbers, a rate and what is left, for anybody who looks. Fails:
//! never. Holds: some numbers; the rate under a short lock, looked at twice a second at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The rate is taken over at least this time.
const SAMPLE: Duration = Duration::from_millis(500);
/// How much the newest sample counts.
const WEIGHT: f64 = 0.3;
/// Where nothing came for so long, the rate falls.
const QUIET: Duration = Duration::from_secs(2);

/// A view of how far it is; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    done: AtomicU64,
    total: AtomicU64,
    moved: Mutex<Option<Moved>>,
    /// Somebody else does it already, and this is how far they are.
    other: OnceLock<Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Moved {
    /// Bytes that came since `since`.
    fresh: u64,
    since: Instant,
    /// In bytes for each second, smoothed.
    rate: Option<f64>,
}

impl Progress {
    /// Nothing done, nothing known.
    pub fn new() -> Self {
        Self::default()
    }
    /// Bytes done so far.
    pub fn done(&self) -> u64 {
        self.0.other.get().map_or_else(|| self.0.done.load(Ordering::Relaxed), Self::done)
    }
    /// Bytes to do in all; 0 until it is known.
    pub fn total(&self) -> u64 {
        self.0.other.get().map_or_else(|| self.0.total.load(Ordering::Relaxed), Self::total)
    }
    /// Between 0 and 1; `None` until the total is known.
    #[expect(clippy::cast_precision_loss, reason = "a share that is shown to people")]
    pub fn share(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| (self.done() as f64 / total as f64).min(1.0))
    }
    /// Bytes for each second of late; none before the first have come.
    #[expect(clippy::cast_precision_loss, reason = "a rate that is shown to people")]
    pub fn rate(&self) -> Option<f64> {
        if let Some(other) = self.0.other.get() {
            return other.rate();
        }
        let moved = (*self.0.moved.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (quiet, rate) = (moved.since.elapsed(), moved.rate?);
        Some(if quiet > QUIET { rate.min(moved.fresh as f64 / quiet.as_secs_f64()) } else { rate })
    }
    /// How long the rest takes at this rate.
    #[expect(clippy::cast_precision_loss, reason = "a guess that is shown to people")]
    pub fn eta(&self) -> Option<Duration> {
        const LONGEST: f64 = 1e9;
        let (rate, total) = (self.rate()?, self.total());
        let left = total.saturating_sub(self.done()) as f64;
        let seconds = left / rate;
        (total > 0 && seconds.is_finite() && seconds < LONGEST).then(|| Duration::from_secs_f64(seconds))
    }

    pub(crate) fn begin(&self, total: u64) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }
    /// Bytes came.
    #[expect(clippy::cast_precision_loss, reason = "a rate that is shown to people")]
    pub(crate) fn add(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
        let mut moved = self.0.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = moved.get_or_insert_with(|| Moved { fresh: 0, since: Instant::now(), rate: None });
        seen.fresh += bytes;
        let elapsed = seen.since.elapsed();
        if elapsed >= SAMPLE {
            let now = seen.fresh as f64 / elapsed.as_secs_f64();
            let rate = seen.rate.map_or(now, |before| before + WEIGHT * (now - before));
            *seen = Moved { fresh: 0, since: Instant::now(), rate: Some(rate) };
        }
    }
    /// Bytes are here already, or have to come again: they say nothing of the rate.
    pub(crate) fn jump(&self, from: u64, to: u64) {
        if to >= from {
            self.0.done.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.0.done.fetch_sub((from - to).min(self.0.done.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }
    /// The total became known, or another one.
    pub(crate) fn grow(&self, bytes: u64) {
        self.0.total.fetch_add(bytes, Ordering::Relaxed);
    }
    /// From now on it shows how far somebody else is who does the same.
    pub(crate) fn follow(&self, other: &Self) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            let _ = self.0.other.set(other.clone()); // it follows already
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_shows_what_the_one_ahead_does() {
        let (ahead, behind) = (Progress::new(), Progress::new());
        ahead.begin(200);
        behind.follow(&ahead);
        ahead.add(50);
        assert_eq!((behind.done(), behind.total(), behind.share()), (50, 200, Some(0.25)));
        ahead.jump(50, 0);
        assert_eq!(behind.done(), 0);
    }

    #[test]
    fn the_rate_counts_what_came_and_not_what_was_there() {
        let progress = Progress::new();
        progress.begin(1_000_000);
        progress.jump(0, 400_000);
        progress.add(0);
        assert_eq!((progress.rate(), progress.eta()), (None, None));
        std::thread::sleep(SAMPLE);
        progress.add(100_000);
        let rate = progress.rate().unwrap();
        assert!((50_000.0..=210_000.0).contains(&rate), "{rate}");
        assert!(progress.eta().unwrap() >= Duration::from_secs(2), "500,000 are left");
    }
}
