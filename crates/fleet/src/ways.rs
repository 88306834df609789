//! The ways in which one machine could run an instance: which bytes on which of its devices.
//!
//! In: a machine's devices, what the instance needs, what is left of each device. Out: ways that fit into
//! that. Pure. Layers lie on cards in their order, so a way is a count for each card; what lies where is
//! summed from those counts exactly as the engine does it.

use spec::DeviceKind;

use crate::ledger::{Ledger, signed};
use crate::place::Need;

/// Cards of one machine of which every set is tried; of more, only the emptiest.
const MOST_CARDS: usize = 8;

/// What is left of each device.
#[derive(Debug, Clone, Copy)]
pub struct Caps<'a>(pub &'a [i64]);

/// Bytes on devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// By device, the budget included; cards in the order of their layers, main memory after them.
    pub bytes: Vec<(usize, i64)>,
    /// Layers by card.
    pub layers: Vec<(usize, u32)>,
}

/// One machine, and what the instance would take on it.
#[derive(Debug)]
pub struct Host<'a> {
    /// Its cards that the engine computes on.
    pub cards: Vec<usize>,
    /// Its main memory.
    pub memory: Option<usize>,
    budget: Option<usize>,
    need: &'a Need,
    /// Bytes of the first so many layers.
    sums: Vec<i64>,
}

impl Caps<'_> {
    /// Left of this one; nobody limits what is not there.
    pub fn left(&self, at: usize) -> i64 {
        self.0.get(at).copied().unwrap_or(i64::MAX)
    }
}

impl Way {
    /// Layers on cards.
    pub fn on_cards(&self) -> u32 {
        self.layers.iter().map(|(_, layers)| layers).sum()
    }
    /// What is missing of each device.
    pub fn missing(&self, caps: &Caps<'_>) -> Vec<(usize, i64)> {
        let short = self.bytes.iter().map(|(at, bytes)| (*at, bytes.saturating_sub(caps.left(*at))));
        short.filter(|(_, short)| *short > 0).collect()
    }
    /// The devices by which it is compared with others: its cards, else main memory.
    pub fn where_it_counts(&self) -> impl Iterator<Item = &(usize, i64)> {
        let has_cards = !self.layers.is_empty();
        let first = self.bytes.first().map(|(at, _)| *at);
        let counts = move |at: usize| if has_cards { self.layers.iter().any(|(card, _)| *card == at) } else { Some(at) == first };
        self.bytes.iter().filter(move |(at, _)| counts(*at))
    }
    fn fits(&self, caps: &Caps<'_>) -> bool {
        self.bytes.iter().all(|(at, bytes)| *bytes <= caps.left(*at))
    }
    fn add(&mut self, at: usize, bytes: i64) {
        match self.bytes.iter_mut().find(|(there, _)| *there == at) {
            Some((_, sum)) => *sum += bytes,
            None => self.bytes.push((at, bytes)),
        }
    }
}

impl<'a> Host<'a> {
    /// Every machine.
    pub fn all(ledger: &Ledger, need: &'a Need) -> Vec<Self> {
        let mut names: Vec<&str> = Vec::new();
        for name in ledger.lines.iter().filter_map(|line| line.node.as_deref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut sums = vec![0];
        for layer in &need.needs.layers {
            sums.push(sums.last().copied().unwrap_or(0) + signed(*layer));
        }
        names.into_iter().map(|name| Self::one(name, ledger, need, sums.clone())).collect()
    }

    fn one(name: &str, ledger: &Ledger, need: &'a Need, sums: Vec<i64>) -> Self {
        let of_it = || ledger.lines.iter().enumerate().filter(|(_, line)| line.node.as_deref() == Some(name));
        let usable = |kind: DeviceKind| kind.is_gpu() && need.usable.contains(&kind);
        Self {
            cards: of_it().filter(|(_, line)| usable(line.device.kind)).map(|(at, _)| at).collect(),
            memory: of_it().find(|(_, line)| line.device.kind.is_host()).map(|(at, _)| at),
            budget: ledger.budget(),
            need,
            sums,
        }
    }

    /// All of it in main memory.
    pub fn in_memory(&self, caps: &Caps<'_>) -> Option<Way> {
        let mut way = Way::default();
        way.add(self.memory?, self.need.whole());
        if let Some(budget) = self.budget {
            way.add(budget, self.need.whole());
        }
        way.fits(caps).then_some(way)
    }

    /// So many layers on one card, whichever.
    pub fn on_one(&self, layers: usize, caps: &Caps<'_>) -> Vec<Way> {
        let ways = self.cards.iter().map(|card| self.way(&[(*card, layers)]));
        ways.filter(|way| way.fits(caps)).collect()
    }

    /// So many layers on as few cards as it takes, and on each set of so many on which they go.
    pub fn on_several(&self, layers: usize, caps: &Caps<'_>) -> Vec<Way> {
        let filled = |set: &[usize]| self.fill(set, layers, caps);
        self.least(|set| filled(set).into_iter().collect())
    }

    /// The same where room is still to be made: what is free now is filled first, and then one card after the other up to what
    /// there will be.
    pub fn beside(&self, layers: usize, now: &Caps<'_>, later: &Caps<'_>) -> Vec<Way> {
        let is_possible = |set: &[usize]| self.fill(set, layers, later).is_some();
        let one = |set: &[usize], first: usize| {
            (1..=set.len()).find_map(|count| {
                let mut caps = now.0.to_vec();
                let grown = (0..count).filter_map(|step| set.get((first + step) % set.len().max(1)));
                let shared = [self.memory, self.budget];
                for at in grown.copied().chain(shared.into_iter().flatten()) {
                    if let Some(cap) = caps.get_mut(at) {
                        *cap = later.left(at);
                    }
                }
                self.fill(set, layers, &Caps(&caps))
            })
        };
        self.least(|set| if is_possible(set) { (0..set.len()).filter_map(|first| one(set, first)).collect() } else { Vec::new() })
    }

    /// As many layers as go on its cards, the rest in main memory.
    pub fn as_many_as_go(&self, caps: &Caps<'_>) -> Option<Way> {
        let mut cards = self.cards.clone();
        cards.sort_by_key(|card| std::cmp::Reverse(caps.left(*card)));
        let all = self.need.needs.layers.len();
        (1..all).rev().find_map(|layers| (1..=cards.len()).find_map(|count| self.fill(cards.get(..count)?, layers, caps)))
    }

    /// What the ways of the smallest sets are that have any.
    fn least(&self, ways: impl Fn(&[usize]) -> Vec<Way>) -> Vec<Way> {
        let cards = self.cards.get(..self.cards.len().min(MOST_CARDS)).unwrap_or_default();
        let sets = 1_u32 << cards.len();
        let members = |set: u32| cards.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0).map(|(_, card)| *card).collect::<Vec<_>>();
        let of_size = |size: usize| {
            let of_it = (1..sets).filter(|set| usize::try_from(set.count_ones()).unwrap_or(0) == size);
            of_it.flat_map(|set| ways(&members(set))).collect::<Vec<_>>()
        };
        let few = (2..=cards.len()).map(of_size).find(|ways| !ways.is_empty());
        // Beyond those of which every set is tried there is still the set of all.
        few.unwrap_or_else(|| if self.cards.len() > MOST_CARDS { ways(&self.cards) } else { Vec::new() })
    }

    /// Puts so many layers on these cards, as many on each as go there.
    fn fill(&self, cards: &[usize], layers: usize, caps: &Caps<'_>) -> Option<Way> {
        let first = self.need.needs.layers.len().checked_sub(layers)?;
        let (mut counts, mut next) = (Vec::new(), first);
        for card in cards {
            let copy = if counts.is_empty() { signed(self.need.needs.copy) } else { 0 };
            let room = caps.left(*card).saturating_sub(self.beside_layers(*card, layers)).saturating_sub(copy);
            let from = self.sums.get(next).copied().unwrap_or(0);
            let end = self.sums.partition_point(|sum| sum.saturating_sub(from) <= room);
            let count = end.saturating_sub(1).saturating_sub(next).min(self.need.needs.layers.len() - next);
            if room >= 0 && count > 0 {
                counts.push((*card, count));
                next += count;
            }
        }
        let way = self.way(&counts);
        (next == self.need.needs.layers.len() && way.fits(caps)).then_some(way)
    }

    /// What a card holds beside its layers; where it is main memory as well, that is there too.
    fn beside_layers(&self, card: usize, layers: usize) -> i64 {
        let host = if Some(card) == self.memory { signed(self.need.needs.host_with(layers)) } else { 0 };
        signed(self.need.needs.device).saturating_add(host)
    }

    /// The bytes of so many layers on each of these cards; the rest of the layers is in main memory.
    fn way(&self, counts: &[(usize, usize)]) -> Way {
        let (needs, all) = (&self.need.needs, self.need.needs.layers.len());
        let layers: usize = counts.iter().map(|(_, count)| count).sum();
        let mut way = Way::default();
        let mut next = all.saturating_sub(layers);
        for (card, count) in counts {
            let sum = |to: usize| self.sums.get(to).copied().unwrap_or(0);
            let copy = if way.layers.is_empty() { signed(needs.copy) } else { 0 };
            way.add(*card, signed(needs.device) + copy + sum(next + count) - sum(next));
            way.layers.push((*card, u32::try_from(*count).unwrap_or(u32::MAX)));
            next += count;
        }
        if let Some(memory) = self.memory {
            way.add(memory, signed(needs.host_with(layers)));
        }
        let total = way.bytes.iter().map(|(_, bytes)| bytes).sum();
        if let Some(budget) = self.budget {
            way.add(budget, total);
        }
        way
    }
}
