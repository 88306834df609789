//! Does somebody try tokens?
//!
//! In: the address of a wrong token, and what is left of its hash. Out: how long that address has to wait, and once for each burst
//! that it has begun. Fails: never. Holds: a short lock, taken only for wrong tokens and while somebody is slowed; addresses are
//! bounded, and of two that do not fit the one that has been quiet for longer is forgotten. From: the leaky bucket.
//!
//! The same wrong token again is no guess: a program with an old token is told so as often as it asks. Of
//! different ones, an address may try some at once and then one every few seconds. Until then whatever it brings is not looked at,
//! but for a token that came from there before: who works behind the same address is not slowed by who guesses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Different wrong tokens that an address may try at once.
const AT_ONCE: u32 = 20;
/// After which time it may try one more.
const ONE_MORE: Duration = Duration::from_secs(3);
/// Wrong tokens of an address that are known again.
const KNOWN: usize = 8;
/// Addresses that are remembered; together less than a megabyte.
const MOST: usize = 4_096;
/// The network part of a long address that one customer has to themselves.
const NETWORK: u32 = 64;

/// Who has brought wrong tokens.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    by_address: Mutex<HashMap<IpAddr, Guesser>>,
    /// So many may have to wait now: who is right is not even looked for among them when it is nobody.
    slowed: AtomicUsize,
}

#[derive(Debug)]
struct Guesser {
    /// Tries that are used up, as of then.
    used: Duration,
    at: Instant,
    /// What is left of the hashes of those that it tried last.
    known: [u64; KNOWN],
    next: usize,
    /// It had to wait since it was last quiet for long.
    is_burst: bool,
}

/// What a wrong token leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is wrong.
    Wrong,
    /// It is not looked at before so long.
    Wait(Duration),
    /// The same, and it is the first time of this burst.
    Begins(Duration),
}

impl Guesses {
    /// A wrong token came from there.
    pub(crate) fn wrong(&self, address: IpAddr, token: u64) -> Verdict {
        let (address, now) = (network(address), Instant::now());
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&address) && all.len() >= MOST {
            forget_one(&mut all);
        }
        let guesser = all.entry(address).or_insert_with(|| Guesser::new(now));
        let verdict = guesser.tries(token, now);
        self.slowed.store(all.values().filter(|one| one.is_burst).count(), Ordering::Release);
        verdict
    }

    /// How long whoever comes from there has to wait now; most often nobody has to.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        if self.slowed.load(Ordering::Acquire) == 0 {
            return None;
        }
        let now = Instant::now();
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let guesser = all.get_mut(&network(address))?;
        guesser.drain(now);
        guesser.wait()
    }
}

impl Guesser {
    fn new(now: Instant) -> Self {
        Self { used: Duration::ZERO, at: now, known: [0; KNOWN], next: 0, is_burst: false }
    }

    fn tries(&mut self, token: u64, now: Instant) -> Verdict {
        self.drain(now);
        if self.known.contains(&token) {
            return Verdict::Wrong;
        }
        if let Some(wait) = self.wait() {
            return if std::mem::replace(&mut self.is_burst, true) { Verdict::Wait(wait) } else { Verdict::Begins(wait) };
        }
        self.used += ONE_MORE;
        if let Some(place) = self.known.get_mut(self.next) {
            *place = token;
        }
        self.next = (self.next + 1) % KNOWN;
        Verdict::Wrong
    }

    fn drain(&mut self, now: Instant) {
        self.used = self.used.saturating_sub(now.saturating_duration_since(self.at));
        self.at = now;
        self.is_burst &= !self.used.is_zero();
    }

    fn wait(&self) -> Option<Duration> {
        let over = (self.used + ONE_MORE).saturating_sub(ONE_MORE * AT_ONCE);
        (!over.is_zero()).then_some(over)
    }
}

/// The one that has been quiet for the longest time.
fn forget_one(all: &mut HashMap<IpAddr, Guesser>) {
    let quietest = all.iter().min_by_key(|(_, one)| one.at).map(|(address, _)| *address);
    if let Some(address) = quietest {
        all.remove(&address);
    }
}

/// Who has one address of a long one's network has them all.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> NETWORK << NETWORK).into()),
        short @ IpAddr::V4(_) => short,
    }
}

#[cfg(test)]
mod tests;
