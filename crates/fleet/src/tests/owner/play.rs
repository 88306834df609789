//! One seed's play: what is drawn, what happened, and which await goes wrong.
//!
//! In: a seed. Out: numbers, a trace, and for each await of the owner's side a fate: it passes, comes late, fails before or after it has
//! had its effect, hangs, or Penstock dies right there. The same seed gives the same play to the last line.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use tokio::sync::{Notify, watch};

use crate::Snapshot;

/// Numbers of a seed. From: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (`SplitMix64`).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }
    pub(super) fn at(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }
    pub(super) fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// What becomes of one await.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    ComesLate(Duration),
    FailsBefore(Duration),
    FailsAfter(Duration),
    DiesBefore,
    DiesAfter,
}

/// Longer than this nothing hangs: whoever calls over a network has a timeout.
const HANGS_MOST: u64 = 30_000;
/// Lines that a failure shows.
const SHOWN: usize = 120;

struct Inner {
    dice: Dice,
    /// Of a thousand awaits so many go wrong.
    faults: u64,
    /// Every await fails, at once and without an effect.
    fails: bool,
    /// Penstock dies at the await after so many more.
    dies_in: Option<u64>,
    dead: bool,
    hash: DefaultHasher,
    lines: VecDeque<String>,
    told: u64,
    awaits: u64,
    broken: Option<String>,
    snapshots: Option<watch::Receiver<Arc<Snapshot>>>,
    /// Every line is printed.
    aloud: bool,
}

/// Shared by all that is played.
pub(super) struct Play {
    inner: Mutex<Inner>,
    /// Penstock is to die now, or a promise is broken.
    pub(super) over: Notify,
}

impl Play {
    pub(super) fn of(seed: u64, aloud: bool) -> Arc<Self> {
        let inner = Inner {
            dice: Dice::of(seed ^ 0xFA7E),
            faults: 0,
            fails: false,
            dies_in: None,
            dead: false,
            hash: DefaultHasher::new(),
            lines: VecDeque::new(),
            told: 0,
            awaits: 0,
            broken: None,
            snapshots: None,
            aloud,
        };
        Arc::new(Self { inner: Mutex::new(inner), over: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what happened.
    pub(super) fn note(&self, what: std::fmt::Arguments<'_>) {
        let mut inner = self.lock();
        let Inner { hash, lines, told, aloud, .. } = &mut *inner;
        let mut line = if lines.len() == SHOWN { lines.pop_front().unwrap_or_default() } else { String::new() };
        line.clear();
        let _ = write!(line, "{} {what}", Timestamp::steady().as_millis());
        line.hash(hash);
        if *aloud {
            println!("{line}");
        }
        *told += 1;
        lines.push_back(line);
    }

    /// A promise is broken; the first one counts.
    pub(super) fn broke(&self, what: String) {
        self.note(format_args!("BROKEN: {what}"));
        self.lock().broken.get_or_insert(what);
        self.over.notify_one();
    }
    pub(super) fn broken(&self) -> Option<String> {
        let inner = self.lock();
        let lines: Vec<&str> = inner.lines.iter().map(String::as_str).collect();
        inner.broken.as_ref().map(|what| format!("{what}\nand before it:\n{}", lines.join("\n")))
    }

    /// All that happened in two numbers: how much, and what.
    pub(super) fn trace(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.told, inner.hash.finish())
    }
    pub(super) fn awaits(&self) -> u64 {
        self.lock().awaits
    }

    pub(super) fn draw<T>(&self, how: impl FnOnce(&mut Dice) -> T) -> T {
        how(&mut self.lock().dice)
    }

    pub(super) fn goes_wrong(&self, of_a_thousand: u64) {
        self.lock().faults = of_a_thousand;
    }
    pub(super) fn fails(&self, yes: bool) {
        self.lock().fails = yes;
    }
    /// Penstock dies after so many awaits.
    pub(super) fn dies_in(&self, awaits: u64) {
        self.lock().dies_in = Some(awaits);
    }
    pub(super) fn is_dead(&self) -> bool {
        self.lock().dead
    }
    /// Another Penstock begins.
    pub(super) fn begins(&self) {
        let mut inner = self.lock();
        (inner.dead, inner.dies_in, inner.snapshots) = (false, None, None);
    }
    pub(super) fn shows(&self, snapshots: watch::Receiver<Arc<Snapshot>>) {
        self.lock().snapshots = Some(snapshots);
    }
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.lock().snapshots.as_ref().map(|snapshots| Arc::clone(&snapshots.borrow()))
    }

    fn fate(&self) -> Fate {
        let mut inner = self.lock();
        inner.awaits += 1;
        if inner.fails {
            return Fate::FailsBefore(Duration::ZERO);
        }
        if let Some(left) = inner.dies_in.as_mut() {
            if *left > 0 {
                *left -= 1;
            } else {
                inner.dies_in = None;
                return if inner.dice.below(2) == 0 { Fate::DiesBefore } else { Fate::DiesAfter };
            }
        }
        let faults = inner.faults;
        let dice = &mut inner.dice;
        if dice.below(1_000) >= faults {
            return if dice.below(4) == 0 { Fate::ComesLate(dice.ms(0, 3)) } else { Fate::Passes };
        }
        match dice.below(6) {
            0 => Fate::FailsBefore(Duration::ZERO),
            1 => Fate::FailsAfter(Duration::ZERO),
            2 => Fate::ComesLate(dice.ms(1, 50)),
            3 => Fate::ComesLate(dice.ms(100, 3_000)),
            4 => Fate::FailsBefore(dice.ms(10_000, HANGS_MOST)),
            _ => Fate::FailsAfter(dice.ms(10_000, HANGS_MOST)),
        }
    }

    /// One await of the owner's side. Nothing when it failed; whether it has had its effect then, nobody knows.
    pub(super) async fn through<T>(&self, what: &'static str, effect: impl FnOnce() -> T) -> Option<T> {
        let fate = self.fate();
        if fate != Fate::Passes {
            self.note(format_args!("{what} {fate:?}"));
        }
        match fate {
            Fate::Passes => Some(effect()),
            Fate::ComesLate(by) => {
                tokio::time::sleep(by / 2).await;
                let done = effect();
                tokio::time::sleep(by / 2).await;
                Some(done)
            }
            Fate::FailsBefore(after) => {
                tokio::time::sleep(after).await;
                None
            }
            Fate::FailsAfter(after) => {
                effect();
                tokio::time::sleep(after).await;
                None
            }
            Fate::DiesBefore => self.die().await,
            Fate::DiesAfter => {
                effect();
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.lock().dead = true;
        self.over.notify_one();
        std::future::pending().await
    }
}
