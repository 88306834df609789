//! Does somebody try tokens?
//!
//! In: the address of a wrong token, and what is left of its hash. Out: how long that address has to wait, and once for each burst
//! that it has begun. Fails: never. Holds: a short lock, taken only for wrong tokens and while somebody is slowed; addresses are
//! bounded, and of two that do not fit the one whose last wrong token came earlier is forgotten. From: the leaky bucket.
//!
//! The same wrong token again is no guess: a program with an old token is told so as often as it asks. Of
//! different ones, an address may try some at once and then one every few seconds. Until then whatever it brings is not looked at,
//! but for a token that came from there before: who works behind the same address is not slowed by who guesses.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
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
#[derive(Debug)]
pub(crate) struct Guesses {
    all: Mutex<All>,
    began: Instant,
    /// Milliseconds after the beginning until which somebody may have to wait; 0 when nobody has to, and then who is right costs
    /// neither a look at the clock nor a lock.
    slowed_until: AtomicU64,
}

#[derive(Debug, Default)]
struct All {
    by_address: HashMap<IpAddr, Guesser>,
    /// The same, those first whose last wrong token came longest ago.
    by_time: BTreeSet<(Instant, IpAddr)>,
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

impl Default for Guesses {
    fn default() -> Self {
        Self { all: Mutex::default(), began: Instant::now(), slowed_until: AtomicU64::new(0) }
    }
}

impl Guesses {
    /// A wrong token came from there.
    pub(crate) fn wrong(&self, address: IpAddr, token: u64) -> Verdict {
        let address = network(address);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now(); // under the lock, so that times come in their order
        let guesser = all.at(address, now);
        let verdict = guesser.tries(token, now);
        if let Some(wait) = guesser.wait(now).filter(|_| guesser.is_burst) {
            self.slowed_until.fetch_max(self.millis(now + wait) + 1, Ordering::Release);
        }
        verdict
    }

    /// How long whoever comes from there has to wait now; most often nobody has to.
    pub(crate) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let until = self.slowed_until.load(Ordering::Acquire);
        if until == 0 {
            return None;
        }
        let now = Instant::now();
        if self.millis(now) >= until {
            // The last one's time is over; if another one was slowed just now, that stays.
            let _ = self.slowed_until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Relaxed);
            return None;
        }
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.by_address.get(&network(address))?.wait(now)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX >> 1)
    }
}

impl All {
    /// Who comes from there, noted as the last one to have brought a wrong token.
    fn at(&mut self, address: IpAddr, now: Instant) -> &mut Guesser {
        if let Some(known) = self.by_address.get(&address) {
            self.by_time.remove(&(known.at, address));
        } else if self.by_address.len() >= MOST
            && let Some((_, quietest)) = self.by_time.pop_first()
        {
            self.by_address.remove(&quietest);
        }
        self.by_time.insert((now, address));
        let guesser = self.by_address.entry(address).or_insert_with(|| Guesser::new(now));
        guesser.drain(now);
        guesser
    }
}

impl Guesser {
    fn new(now: Instant) -> Self {
        Self { used: Duration::ZERO, at: now, known: [0; KNOWN], next: 0, is_burst: false }
    }

    fn tries(&mut self, token: u64, now: Instant) -> Verdict {
        if self.known.contains(&token) {
            return Verdict::Wrong;
        }
        if let Some(wait) = self.wait(now) {
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
        self.used = self.left(now);
        self.at = now;
        self.is_burst &= !self.used.is_zero();
    }

    /// Tries that are used up as of now.
    fn left(&self, now: Instant) -> Duration {
        self.used.saturating_sub(now.saturating_duration_since(self.at))
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        let over = (self.left(now) + ONE_MORE).saturating_sub(ONE_MORE * AT_ONCE);
        (!over.is_zero()).then_some(over)
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
