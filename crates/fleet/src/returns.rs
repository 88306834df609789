//! Memory on its way back: whether those who left for somebody have given back all that they had.
//!
//! In: who left for whom, what each card shows as used. Out: whether anybody else has to leave. Pure. A driver may show the memory
//! of a process as used for a while after its end; to the ledger it is a stranger's by then. As long as there is more of that than
//! there was before the first of them left, and it becomes less, it is waited for; once all of it is back there is nothing to wait
//! for. What does not come back is given up, later each time, so that a card that is slow does not empty a whole machine.

use std::time::Duration;

use base::{Backoff, ByteSize, Timestamp};

use crate::ledger::{Ledger, Line};
use crate::world::{Item, World};

/// A device is as it says so long after the end of a process.
const SETTLES: Duration = Duration::from_secs(1);
/// Without a byte that came back for so long it is given up; longer each time that somebody had to leave.
const GIVEN_UP: Backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_mins(1) };
/// Strangers take and leave so much all the time.
const NOISE: ByteSize = ByteSize::mib(16);

/// Somebody has left, or leaves, for the one that has this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// When one of them came a step nearer to its end, or bytes came back.
    at: Timestamp,
    /// How often somebody had to leave.
    rounds: u32,
    /// What strangers had of each card before.
    before: Vec<(Option<String>, String, ByteSize)>,
    /// What has not come back yet.
    missing: ByteSize,
}

impl Cleared {
    /// Somebody has to leave.
    pub(crate) fn begin(earlier: Option<&Self>, ledger: &Ledger, now: Timestamp) -> Self {
        // All who leave in one turn are one round.
        if let Some(same) = earlier.filter(|earlier| earlier.at == now) {
            return same.clone();
        }
        let before = cards(ledger).map(|line| (line.node.clone(), line.device.id.clone(), line.foreign)).collect();
        Self { at: now, rounds: earlier.map_or(0, |earlier| earlier.rounds).saturating_add(1), before, missing: ByteSize(0) }
    }
    /// One of them came a step nearer to its end.
    pub(crate) fn step(&mut self, now: Timestamp) {
        self.at = now;
    }
    /// Whether more of what they had is to come back.
    pub(crate) fn is_returning(&self, ledger: &Ledger, now: Timestamp) -> bool {
        let quiet = now.since(self.at);
        quiet < SETTLES || (self.missing(ledger) > NOISE && quiet < GIVEN_UP.ceiling(self.rounds))
    }
    fn missing(&self, ledger: &Ledger) -> ByteSize {
        let more = |line: &Line| {
            let before = self.before.iter().find(|(node, id, _)| *node == line.node && *id == line.device.id);
            line.foreign.saturating_sub(before.map_or(line.foreign, |(_, _, bytes)| *bytes))
        };
        cards(ledger).map(more).sum()
    }
    fn look(&mut self, ledger: &Ledger, now: Timestamp) {
        let missing = self.missing(ledger);
        if missing + NOISE < self.missing {
            self.at = now;
        }
        if missing + NOISE < self.missing || missing > self.missing {
            self.missing = missing;
        }
    }
}

/// Takes in what has come back since the last turn.
pub(crate) fn follow(world: &mut World) {
    let awaits = |item: &Item| item.cleared.is_some() && item.waits_for_room();
    if !world.items.values().any(awaits) {
        return;
    }
    let (ledger, now) = (Ledger::of(world), world.now);
    for item in world.items.values_mut().filter(|item| awaits(item)) {
        if let Some(cleared) = &mut item.cleared {
            cleared.look(&ledger, now);
        }
    }
}

fn cards(ledger: &Ledger) -> impl Iterator<Item = &Line> {
    ledger.lines.iter().filter(|line| line.node.is_some() && line.device.kind.is_gpu())
}

#[cfg(test)]
mod tests;
