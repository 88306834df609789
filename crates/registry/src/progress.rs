//! How far is the reading of a large file?
//!
//! In: bytes, from the thread that reads. Out: the same numbers, for anybody who looks. Fails:
//! never. Holds: two atomic numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A view of how far it is; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Nothing done, nothing known.
    pub fn new() -> Self {
        Self::default()
    }
    /// Bytes read so far.
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }
    /// Bytes to read in all; 0 until it is known.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }
    /// Between 0 and 1; `None` until the total is known.
    #[expect(clippy::cast_precision_loss, reason = "a share that is shown to people")]
    pub fn share(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| (self.done() as f64 / total as f64).min(1.0))
    }

    pub(crate) fn begin(&self, total: u64) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }
    pub(crate) fn add(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }
}
