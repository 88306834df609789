//! Where an instance goes, and if it fits nowhere now, whether it ever can.
//!
//! In: what it needs, the ledger. Out: a [`Fit`] with the devices, or with the numbers. Pure. The best way of
//! running it that the machines could ever offer is the one it gets: all of it on one card, else spread over
//! several cards of one machine, else as many layers as go there, else main memory; it does not settle for
//! less only because something that may leave is in the way now. Several cards are no less: where all of it fits there,
//! nobody leaves so that it has one for itself. Of several places it takes the one that is
//! filled best, so that what is large finds room later, or the emptiest, as the setting says.

use base::ByteSize;
use engine::Needs;
use spec::{DeviceKind, Grant, Share};

use crate::ledger::{Ledger, signed};
use crate::ways::{Caps, Host, Way};
use crate::world::Packing;

/// What an instance needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// When all of it is in main memory.
    pub memory: ByteSize,
    /// Piece by piece.
    pub needs: Needs,
    /// Layers that have to be on cards; as many as go there when not said.
    pub gpu_layers: Option<u32>,
    /// Kinds of devices that its engine computes on.
    pub usable: Vec<DeviceKind>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It fits now, so.
    Fits(Way),
    /// It would fit if something left.
    NoRoom {
        /// What it needs.
        need: ByteSize,
        /// What must be given back.
        missing: ByteSize,
        /// What there is where it would go.
        of: ByteSize,
        /// How it could go there; none if only others than us could make room.
        ways: Vec<Way>,
    },
    /// It will never fit here.
    Never {
        /// What it needs.
        need: ByteSize,
        /// The most that there is for it.
        most: ByteSize,
    },
}

/// The ways of running it, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    /// So many layers on one card.
    One(usize),
    /// So many layers on several cards.
    Several(usize),
    /// As many layers as go on cards.
    Some,
    /// In main memory.
    Host,
}

/// Where it goes.
pub fn place(need: &Need, ledger: &Ledger, packing: Packing) -> Fit {
    let hosts = Host::all(ledger, need);
    let mut hopes: Vec<Way> = Vec::new();
    for tier in tiers(need, &hosts) {
        let later = ways(tier, &hosts, &ledger.later);
        if later.is_empty() {
            if hopes.is_empty() {
                hopes = ways(tier, &hosts, &ledger.ever);
            }
            continue;
        }
        return match choose(ways_now(tier, &hosts, ledger, &later), ledger, packing) {
            Some(way) => Fit::Fits(way),
            None => no_room(need, ledger, of_which(tier, &hosts, ledger, later)),
        };
    }
    if hopes.is_empty() {
        return never(need, &hosts, ledger);
    }
    match no_room(need, ledger, hopes) {
        Fit::NoRoom { need, missing, of, .. } => Fit::NoRoom { need, missing, of, ways: Vec::new() },
        other => other,
    }
}

/// What the way means for the order.
pub fn grant(way: &Way, ledger: &Ledger) -> Grant {
    let lines = way.bytes.iter().filter_map(|(at, bytes)| Some((ledger.lines.get(*at)?, *at, *bytes)));
    let mut shares: Vec<Share> = Vec::new();
    let mut node = String::new();
    for (line, at, bytes) in lines {
        let Some(name) = &line.node else { continue };
        node.clone_from(name);
        shares.push(Share {
            device: line.device.id.clone(),
            kind: line.device.kind,
            bytes: ByteSize(u64::try_from(bytes).unwrap_or(0)),
            layers: way.layers.iter().find(|(card, _)| *card == at).map_or(0, |(_, layers)| *layers),
            engine_name: line.device.engine_name.clone(),
        });
    }
    Grant { node, shares }
}

fn tiers(need: &Need, hosts: &[Host<'_>]) -> Vec<Tier> {
    let all = need.needs.layers.len();
    let wanted = need.gpu_layers.map(|n| usize::try_from(n).unwrap_or(all).min(all));
    let has_cards = all > 0 && hosts.iter().any(|host| !host.cards.is_empty());
    match wanted {
        _ if !has_cards => vec![Tier::Host],
        Some(0) => vec![Tier::Host],
        Some(n) => vec![Tier::One(n), Tier::Several(n)],
        None => vec![Tier::One(all), Tier::Several(all), Tier::Some, Tier::Host],
    }
}

fn ways(tier: Tier, hosts: &[Host<'_>], left: &[i64]) -> Vec<Way> {
    let caps = Caps(left);
    let of = |host: &Host<'_>| match tier {
        Tier::One(layers) => host.on_one(layers, &caps),
        Tier::Several(layers) => host.on_several(layers, &caps),
        Tier::Some => host.as_many_as_go(&caps).into_iter().collect(),
        Tier::Host => host.in_memory(&caps).into_iter().collect(),
    };
    hosts.iter().flat_map(of).collect()
}

/// The ways of this tier that are free, and of one that does as well.
fn ways_now(tier: Tier, hosts: &[Host<'_>], ledger: &Ledger, later: &[Way]) -> Vec<Way> {
    let now = |tier| ways(tier, hosts, &ledger.now);
    match tier {
        Tier::Some => enough(hosts, ledger, later),
        Tier::One(layers) => Some(now(tier)).filter(|ways| !ways.is_empty()).unwrap_or_else(|| now(Tier::Several(layers))),
        Tier::Several(_) | Tier::Host => now(tier),
    }
}

/// Nearly as many layers as could ever go on cards are enough to go now: one layer is not worth an eviction.
fn enough(hosts: &[Host<'_>], ledger: &Ledger, later: &[Way]) -> Vec<Way> {
    const OF_TEN: u32 = 9;
    let most = later.iter().map(Way::on_cards).max().unwrap_or(0);
    let now = ways(Tier::Some, hosts, &ledger.now);
    now.into_iter().filter(|way| way.on_cards() * 10 >= most * OF_TEN).collect()
}

/// Of layers on several cards there are many ways to make room; those count that need least beside what is free.
fn of_which(tier: Tier, hosts: &[Host<'_>], ledger: &Ledger, later: Vec<Way>) -> Vec<Way> {
    match tier {
        Tier::Several(layers) => hosts.iter().flat_map(|host| host.beside(layers, &Caps(&ledger.now), &Caps(&ledger.later))).collect(),
        _ => later,
    }
}

fn choose(ways: Vec<Way>, ledger: &Ledger, packing: Packing) -> Option<Way> {
    let spare = |way: &Way| way.where_it_counts().map(|(at, bytes)| ledger.now.get(*at).map_or(0, |left| left - bytes)).sum::<i64>();
    let price = |way: &Way| match packing {
        Packing::Pack => (way.layers.len(), spare(way)),
        Packing::Spread => (way.layers.len(), -spare(way)),
    };
    ways.into_iter().min_by_key(price)
}

fn no_room(need: &Need, ledger: &Ledger, ways: Vec<Way>) -> Fit {
    let short = |way: &Way| way.missing(&Caps(&ledger.now)).iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let nearest = ways.iter().min_by_key(|way| short(way));
    let missing = nearest.map_or(0, short);
    let total = nearest.map_or(0, |way| way.bytes.iter().filter(|(at, _)| Some(*at) != ledger.budget()).map(|(_, bytes)| *bytes).sum());
    let of = nearest.map_or(0, |way| most(way, ledger));
    Fit::NoRoom { need: if total > 0 { size(total) } else { need.memory }, missing: size(missing), of: size(of), ways }
}

/// What there is where the way goes, where that is least.
fn most(way: &Way, ledger: &Ledger) -> i64 {
    let devices = way.where_it_counts().filter_map(|(at, _)| ledger.ever.get(*at)).fold(0_i64, |sum, there| sum.saturating_add(*there));
    ledger.budget().and_then(|at| ledger.ever.get(at)).map_or(devices, |budget| devices.min(*budget))
}

fn never(need: &Need, hosts: &[Host<'_>], ledger: &Ledger) -> Fit {
    let there = |at: &usize| ledger.ever.get(*at).copied().unwrap_or(0);
    let of = |host: &Host<'_>| {
        let cards = host.cards.iter().filter(|card| Some(**card) != host.memory).map(there).fold(0_i64, i64::saturating_add);
        let memory = host.memory.as_ref().map_or(0, there);
        if need.gpu_layers.is_some_and(|layers| layers > 0) && cards > 0 { cards } else { memory.saturating_add(cards) }
    };
    let devices = hosts.iter().map(of).max().unwrap_or(0);
    let budget = ledger.budget().as_ref().map(there);
    Fit::Never { need: need.memory, most: size(budget.map_or(devices, |budget| budget.min(devices))) }
}

fn size(bytes: i64) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or(0))
}

impl Need {
    /// All of it in main memory.
    pub fn host(memory: ByteSize) -> Self {
        Self { memory, ..Self::default() }
    }
    pub(crate) fn whole(&self) -> i64 {
        signed(self.memory)
    }
}
