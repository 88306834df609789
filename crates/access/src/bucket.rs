//! How much of a minute's limit is used?
//!
//! In: amounts that are taken and given back, the limit, the time. Out: room, or how long until
//! there is some; the numbers of the `x-ratelimit` headers. Fails: never. Holds: nothing; the
//! caller brings the clock. From: the leaky bucket as a meter (ITU-T I.371): a whole minute's limit
//! may be used at once, and what is used drains at an even rate.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: f64 = 60.0;
/// Drained amounts are not whole; this much is no difference.
const GRAIN: f64 = 1e-6;

/// One limit as the caller may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So much a minute.
    pub limit: u64,
    /// What is left now.
    pub remaining: u64,
    /// How long until all of it is left.
    pub reset: Duration,
}

/// What has been used and has not drained yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    used: f64,
    at: Instant,
}

impl Bucket {
    /// An unused one.
    pub(crate) fn new(now: Instant) -> Self {
        Self { used: 0.0, at: now }
    }

    /// How long until `amount` fits; `None` when it fits now.
    pub(crate) fn wait(&mut self, amount: u64, limit: u64, now: Instant) -> Option<Duration> {
        self.drain(limit, now);
        let over = self.used + real(amount) - real(limit);
        (over > GRAIN).then(|| seconds(over / speed(limit)))
    }

    /// Uses an amount that was found to fit.
    pub(crate) fn take(&mut self, amount: u64) {
        self.used += real(amount);
    }

    /// Corrects an amount taken at `since` to what was really used.
    ///
    /// What was not used comes back, less what may have drained of it meanwhile, so that nothing
    /// comes back twice. What was used on top makes a debt: of one such error, however many
    /// callers err at the same time.
    pub(crate) fn settle(&mut self, taken: u64, used: u64, limit: u64, (since, now): (Instant, Instant)) {
        self.drain(limit, now);
        if used <= taken {
            let left = real(taken) - speed(limit) * now.saturating_duration_since(since).as_secs_f64();
            self.used = (self.used - real(taken - used).min(left.max(0.0))).max(0.0);
        } else {
            let error = real(used - taken);
            self.used = (self.used + error).min(self.used.max(real(limit) + error));
        }
    }

    /// The numbers for the caller.
    pub(crate) fn rate(&mut self, limit: u64, now: Instant) -> Rate {
        self.drain(limit, now);
        Rate { limit, remaining: whole(real(limit) - self.used + GRAIN), reset: seconds(self.used / speed(limit)) }
    }

    fn drain(&mut self, limit: u64, now: Instant) {
        let gone = now.saturating_duration_since(self.at).as_secs_f64();
        self.used = (self.used - gone * speed(limit)).max(0.0);
        self.at = self.at.max(now);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> f64 {
        self.used
    }
}

/// Per second.
fn speed(limit: u64) -> f64 {
    real(limit.max(1)) / MINUTE
}

fn seconds(real: f64) -> Duration {
    // Up to the next millisecond: who waits that long is let in.
    let millis = (real.max(0.0) * 1000.0 - GRAIN).ceil();
    Duration::from_millis(whole(millis))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and nobody has that many tokens a minute")]
fn real(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is what is meant")]
fn whole(x: f64) -> u64 {
    x as u64
}
