//! What does one token use now?
//!
//! In: a caller's limits and an ask. Out: it is counted, all of it or nothing. Fails:
//! [`Error::Limited`], [`Error::NeverFits`]. Holds: a short lock. Requests count when they are
//! admitted, whatever becomes of them; tokens and places come back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use spec::Limits;
use tokio::time::Instant;

use crate::bucket::{Bucket, Rate};
use crate::error::{Error, Resource};

/// A place among the running requests may come free at any time; ask again after this long.
const NEXT_PLACE: Duration = Duration::from_secs(1);

/// The limits of a caller as it may see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests a minute; `None` when they are not limited.
    pub requests: Option<Rate>,
    /// Tokens a minute; `None` when they are not limited.
    pub tokens: Option<Rate>,
}

/// Counts for one token; outlives changes of the token.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    requests: Bucket,
    tokens: Bucket,
    running: u32,
}

/// What was counted for one permit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) tokens: u64,
    pub(crate) since: Instant,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Counts { requests: Bucket::new(now), tokens: Bucket::new(now), running: 0 }))
    }

    /// Counts a request with so many tokens, or says what is in the way.
    pub(crate) fn take(&self, limits: &Limits, tokens: u64, now: Instant) -> Result<Taken, Error> {
        let counts = &mut *self.lock();
        if let Some(limit) = limits.concurrency
            && counts.running >= limit
        {
            return Err(Error::Limited { what: Resource::Concurrency, limit: limit.into(), retry_after: NEXT_PLACE });
        }
        if let Some(limit) = limits.requests_per_minute {
            room(&mut counts.requests, Resource::Requests, 1, (limit.into(), now))?;
        }
        if let Some(limit) = limits.tokens_per_minute {
            room(&mut counts.tokens, Resource::Tokens, tokens, (limit, now))?;
            counts.tokens.take(tokens);
        }
        if limits.requests_per_minute.is_some() {
            counts.requests.take(1);
        }
        counts.running += 1;
        Ok(Taken { tokens: if limits.tokens_per_minute.is_some() { tokens } else { 0 }, since: now })
    }

    /// Gives the place back, and the tokens that were not used.
    pub(crate) fn give_back(&self, limits: &Limits, taken: Taken, used: u64, now: Instant) {
        let counts = &mut *self.lock();
        counts.running = counts.running.saturating_sub(1);
        if let Some(limit) = limits.tokens_per_minute {
            counts.tokens.settle(taken.tokens, used, limit, (taken.since, now));
        }
    }

    /// The numbers for the caller.
    pub(crate) fn rates(&self, limits: &Limits, now: Instant) -> Rates {
        let counts = &mut *self.lock();
        Rates {
            requests: limits.requests_per_minute.map(|limit| counts.requests.rate(limit.into(), now)),
            tokens: limits.tokens_per_minute.map(|limit| counts.tokens.rate(limit, now)),
        }
    }

    /// Requests that run now.
    pub(crate) fn running(&self) -> u32 {
        self.lock().running
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        // Every change above is complete before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn room(bucket: &mut Bucket, what: Resource, asked: u64, (limit, now): (u64, Instant)) -> Result<(), Error> {
    if asked > limit {
        return Err(Error::NeverFits { what, asked, limit });
    }
    bucket.wait(asked, limit, now).map_or(Ok(()), |retry_after| Err(Error::Limited { what, limit, retry_after }))
}

#[cfg(test)]
mod tests;
