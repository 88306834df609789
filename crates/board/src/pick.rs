//! Which of those that could take a call takes it.
//!
//! In: the candidates, each with what it does and what it can do, and what speaks for one of them. Out: one.
//! Members of a deployment are alike: of two that are drawn the less busy one takes the call. Targets of a route
//! have shares: the one that is drawn by its share takes the call unless it is far busier than another. Affinity comes
//! first, but never makes one much busier than the others. From: Mitzenmacher, "The power of two choices"; Mirrokni,
//! Thorup and Zadimoghaddam, "Consistent hashing with bounded loads"; Thaler and Ravishankar, rendezvous hashing.

use crate::dice::{Dice, mix};
use crate::prefix::Known;

/// One that has a slot free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its place in the list of its owner.
    pub(crate) at: usize,
    /// By which the prefix memory knows it.
    pub(crate) tag: u16,
    /// A hash of its name, the same at every start.
    pub(crate) hash: u64,
    /// Calls that run on it.
    pub(crate) busy: u32,
    /// Calls that it can run.
    pub(crate) room: u32,
    /// Its share beside the others; 1 where all are alike.
    pub(crate) weight: u32,
}

/// What speaks for one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaning {
    /// Nothing.
    None,
    /// The session with this hash.
    Session(u64),
    /// What they know of the prompt.
    Prompt(Known),
}

/// Whether the candidates are alike or have shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Load,
    Share,
}

/// The one that affinity speaks for, if it would not become too busy.
pub(crate) fn lean(candidates: impl Iterator<Item = Candidate> + Clone, leaning: &Leaning) -> Option<Candidate> {
    let all = candidates.clone().fold(Sum::default(), Sum::and);
    let fit = candidates.filter(|one| all.bears(one));
    match leaning {
        Leaning::None => None,
        Leaning::Session(session) => fit.max_by(|a, b| score(a, *session).total_cmp(&score(b, *session))),
        Leaning::Prompt(known) => known.members().find_map(|who| fit.clone().find(|one| one.tag == who)),
    }
}

/// One by chance and load.
pub(crate) fn draw(candidates: &(impl Iterator<Item = Candidate> + Clone), by: By, dice: &mut Dice) -> Option<Candidate> {
    match by {
        By::Load => two_choices(candidates, dice),
        By::Share => by_share(candidates, dice),
    }
}

fn two_choices(candidates: &(impl Iterator<Item = Candidate> + Clone), dice: &mut Dice) -> Option<Candidate> {
    let count = candidates.clone().count();
    let first = dice.below(count);
    // Another one: the places after the first move up by one.
    let second = dice.below(count.saturating_sub(1));
    let second = if second >= first { second + 1 } else { second };
    let one = candidates.clone().nth(first)?;
    match candidates.clone().nth(second) {
        Some(other) if count > 1 && is_less_busy(&other, &one) => Some(other),
        _ => Some(one),
    }
}

fn by_share(candidates: &(impl Iterator<Item = Candidate> + Clone), dice: &mut Dice) -> Option<Candidate> {
    let total: usize = candidates.clone().map(|one| one.weight as usize).sum();
    let mut drawn = || {
        let mut ticket = dice.below(total);
        candidates.clone().find(|one| {
            let weight = one.weight as usize;
            let here = ticket < weight;
            ticket = ticket.saturating_sub(weight);
            here
        })
    };
    let (one, other) = (drawn()?, drawn()?);
    Some(if is_overrun(&one, &other) { other } else { one })
}

/// Of its room, less is taken.
fn is_less_busy(one: &Candidate, than: &Candidate) -> bool {
    u64::from(one.busy) * u64::from(than.room) < u64::from(than.busy) * u64::from(one.room)
}

/// More than twice as busy for its share, and by more than a few calls: shares hold where all are about equally fast.
fn is_overrun(one: &Candidate, beside: &Candidate) -> bool {
    const FEW: u64 = 2;
    let (its, theirs) = (u64::from(one.weight.max(1)), u64::from(beside.weight.max(1)));
    u64::from(one.busy) * theirs > 2 * (u64::from(beside.busy) + FEW) * its
}

/// What all candidates do and can do.
#[derive(Default)]
struct Sum {
    busy: u64,
    room: u64,
}

impl Sum {
    fn and(self, one: Candidate) -> Self {
        let room = u64::from(one.room) * u64::from(one.weight.max(1));
        Self { busy: self.busy + u64::from(one.busy), room: self.room + room }
    }

    /// Whether one more call keeps it within one and a half times its share of all calls, with a little slack.
    fn bears(&self, one: &Candidate) -> bool {
        const SLACK_OF_ROOM: u64 = 16;
        let room = u64::from(one.room) * u64::from(one.weight.max(1));
        let fair = (3 * (self.busy + 1) * room).div_ceil(2 * self.room.max(1));
        u64::from(one.busy) < fair + (u64::from(one.room) / SLACK_OF_ROOM).max(1)
    }
}

/// The highest score of all candidates wins the session; a share doubles the chance when it doubles.
fn score(one: &Candidate, session: u64) -> f64 {
    const BITS: u32 = 53;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float keeps")]
    let chance = ((mix(session ^ one.hash) >> (u64::BITS - BITS)) as f64 + 0.5) / (1_u64 << BITS) as f64;
    f64::from(one.weight) / -chance.ln()
}

#[cfg(test)]
mod tests;
