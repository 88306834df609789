//! How long first tokens lately took.
//!
//! In: durations. Out: the middle one, which a few strays do not move. Holds: the last sixteen.

use std::time::Duration;

const KEPT: usize = 16;
/// Fewer say nothing.
pub(super) const ENOUGH: usize = 5;
/// Of so many members the times are compared.
const MOST: usize = 64;

/// The last few times.
#[derive(Debug, Default)]
pub(super) struct Times {
    micros: [u32; KEPT],
    len: usize,
    next: usize,
    typical: u32,
}

impl Times {
    /// One more; the oldest goes.
    pub(super) fn push(&mut self, time: Duration) {
        self.micros[self.next] = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.next = (self.next + 1) % KEPT;
        self.len = (self.len + 1).min(KEPT);
        let mut sorted = self.micros;
        let sorted = sorted.get_mut(..self.len).unwrap_or_default();
        sorted.sort_unstable();
        self.typical = sorted.get(self.len / 2).copied().unwrap_or(0);
    }

    /// The middle one, when there are enough to tell.
    pub(super) fn typical(&self) -> Option<Duration> {
        (self.len >= ENOUGH).then(|| Duration::from_micros(u64::from(self.typical)))
    }
}

/// The middle one; of an even number the lower of the two.
pub(super) fn median(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut all = [Duration::ZERO; MOST];
    let mut len = 0;
    for (place, time) in all.iter_mut().zip(times) {
        *place = time;
        len += 1;
    }
    let all = all.get_mut(..len)?;
    all.sort_unstable();
    all.get(len.checked_sub(1)? / 2).copied()
}
