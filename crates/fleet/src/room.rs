//! Who gets room, and who leaves for them.
//!
//! In: the [`World`], and whom something was already decided about. Out: starts, with the devices given, and
//! ends of those who make room. Pure. The one who waited longest is next; others pass only where they
//! take nothing that it needs. Whoever came up for callers is safe for a while, so that two models which
//! exclude each other serve many calls between two swaps, and not one: as long as the next one's wait
//! stays within the room's patience, but always as long as half of a load took. Whoever is idle for half
//! of its load time is not waited for: its callers have gone. From: the rent-or-buy rule (waiting as long
//! as a mistake costs is never more than twice as dear as knowing the future).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{ByteSize, Timestamp};
use spec::{Grant, InstanceId, Name, Phase, Reason, ReasonCode};

use crate::cause;
use crate::evict::{Candidate, Victims, evict};
use crate::ledger::{Ledger, signed, staying};
use crate::need;
use crate::place::{Fit, grant, place};
use crate::plan::Action;
use crate::ways::{Caps, Way};
use crate::world::{Item, Wish, World};

/// Bytes that are loaded in a millisecond, where no load was measured: a gibibyte in a second.
const BYTES_IN_MS: u64 = 1 << 20;
/// Those for whom an instance came up are on it by then.
const SEATED: Duration = Duration::from_millis(100);
/// Ways of which the victims are searched; the nearest first.
const MOST_WAYS: usize = 24;

/// Lets in whoever fits, in the order of asking, and makes room for the first who does not.
pub(crate) fn give_room(world: &World, decided: &BTreeSet<InstanceId>) -> Vec<Action> {
    let mut waiting: Vec<&Item> = world.items.values().filter(|item| item.waits_for_room() && !decided.contains(&item.id)).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    waiting.sort_by_key(|item| item.created_at);
    let mut ledger = Ledger::of(world);
    let mut actions = Vec::new();
    let mut first: Option<&Item> = None;
    for item in waiting {
        if item.memory == ByteSize(0) {
            actions.push(Action::Launch(item.id.clone(), Grant::default()));
            continue;
        }
        match (place(&need::of(item, &world.room), &ledger, world.room.packing), first) {
            (Fit::Never { need, most }, _) => actions.push(Action::Fail(item.id.clone(), never(need, most))),
            (Fit::Fits(way), _) => {
                ledger.take(&way.bytes);
                actions.push(Action::Launch(item.id.clone(), grant(&way, &ledger)));
            }
            (Fit::NoRoom { need, missing, of, ways }, None) => {
                let message = format!("it needs {need}, {missing} more than is free of {of}");
                let reason = Reason::new(ReasonCode::NoRoom, message, "it starts when another model is unloaded");
                let reason = reason.with("need_bytes", need).with("missing_bytes", missing).with("of_bytes", of);
                if ways.is_empty() && !actions.iter().any(|action| matches!(action, Action::Launch(..))) {
                    actions.extend(wait_for_keepers(item, reason, &ledger, world));
                    continue; // nobody can make room for it, and nobody waits for it
                }
                actions.extend(wait_for_room(item, reason));
                if let Some(way) = make_room(item, world, &ledger, ways, (decided, &mut actions)) {
                    first = Some(item);
                    ledger.take(&way.bytes);
                }
            }
            (Fit::NoRoom { need, .. }, Some(first)) => {
                let is_own = first.deployment == item.deployment;
                let who = if is_own { "another instance of it".to_owned() } else { format!("`{}`", first.deployment) };
                let message = format!("it needs {need}; {who} asked first and waits for room");
                let reason = Reason::new(ReasonCode::NoRoom, message, "it starts when another model is unloaded");
                actions.extend(wait_for_room(item, reason.with("need_bytes", need)));
            }
        }
    }
    actions
}

/// When to look again, though nothing happens: somebody's time to stay may be over.
pub(crate) fn next_look(world: &World) -> Option<Timestamp> {
    let first = world.items.values().filter(|item| item.waits_for_room()).min_by_key(|item| item.created_at)?;
    let asker = Asker { item: first, is_urgent: is_urgent(first, world) };
    let ready = world.items.values().filter(|item| item.phase == Phase::Ready);
    let until = ready.filter_map(|other| match stays(other, &asker, world) {
        Stays::Until(at) => Some(at),
        Stays::Over => None,
    });
    until.min()
}

/// What it says is as true as the numbers of this turn.
fn wait_for_room(item: &Item, reason: Reason) -> Option<Action> {
    match item.phase {
        Phase::Placing if item.reason.as_ref() == Some(&reason) => None,
        Phase::Placing => Some(Action::Tell(item.id.clone(), reason)),
        _ => Some(Action::Move(item.id.clone(), Phase::Placing, Some(reason))),
    }
}

/// Nobody of ours who may leave can make room for it. Where pins and minima are why, its callers are told so once they have waited
/// for as long as anybody is to wait until another makes room.
fn wait_for_keepers(item: &Item, reason: Reason, ledger: &Ledger, world: &World) -> Option<Action> {
    let keepers = keepers(item, ledger, world);
    if keepers.is_empty() {
        let remedy = "it starts when others than penstock's models give memory back, or lower its context";
        return wait_for_room(item, Reason { remedy: remedy.to_owned(), ..reason });
    }
    let names: Vec<String> = keepers.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    let reason = Reason {
        message: format!("{}, and what is pinned or has a minimum stays: {names}", reason.message),
        remedy: "unpin one of them, or lower its replicas.min; or raise the memory budget".to_owned(),
        ..reason.with("keepers", names.as_str())
    };
    let is_asked_for = world.wishes.get(&item.deployment).is_some_and(Wish::is_asked_for);
    if is_asked_for && world.now.since(item.since) >= world.room.patience && item.phase == Phase::Placing {
        return Some(Action::Fail(item.id.clone(), reason));
    }
    wait_for_room(item, reason)
}

/// Those without whose pins and minima there could be room for it; nobody where that would not help.
fn keepers<'a>(item: &Item, ledger: &Ledger, world: &'a World) -> BTreeSet<&'a Name> {
    let staying = staying(world);
    let kept = || world.items.values().filter(|other| staying.contains(&other.id) && other.deployment != item.deployment);
    let mut without = ledger.clone();
    for (at, bytes) in kept().flat_map(|other| ledger.of_item(other)) {
        if let Some(left) = without.later.get_mut(at) {
            *left = left.saturating_add(signed(bytes));
        }
    }
    match place(&need::of(item, &world.room), &without, world.room.packing) {
        Fit::NoRoom { ways, .. } if ways.is_empty() => BTreeSet::new(),
        _ => kept().filter(|other| other.memory > ByteSize(0)).map(|other| &other.deployment).collect(),
    }
}

fn never(need: ByteSize, most: ByteSize) -> Reason {
    let message = format!("it needs {need}, and there are {most} in all");
    let remedy = "lower context or parallel, use a smaller quantisation, or raise the memory budget";
    Reason::new(ReasonCode::DoesNotFit, message, remedy).with("need_bytes", need).with("most_bytes", most)
}

/// Drains the cheapest set of those who may leave, unless what already leaves is enough. Gives the way that is kept free for it.
fn make_room(
    item: &Item,
    world: &World,
    ledger: &Ledger,
    mut ways: Vec<Way>,
    (decided, actions): (&BTreeSet<InstanceId>, &mut Vec<Action>),
) -> Option<Way> {
    let holders = || world.items.values().filter(|other| other.holds_memory());
    let mut soon = ledger.now.clone();
    let leaving = world.leaving.iter().flat_map(|other| ledger.of_leaving(other));
    for (at, bytes) in holders().filter(|other| !other.is_serving()).flat_map(|other| ledger.of_item(other)).chain(leaving) {
        if let Some(left) = soon.get_mut(at) {
            *left = left.saturating_add(signed(bytes));
        }
    }
    let missing = |way: &Way| way.missing(&Caps(&soon));
    ways.sort_by_key(|way| missing(way).iter().map(|(_, bytes)| *bytes).sum::<i64>());
    let nearest = ways.first().cloned()?;
    // What has just been decided may give back enough; the next round knows.
    if missing(&nearest).is_empty() || holders().any(|other| decided.contains(&other.id)) {
        return Some(nearest);
    }
    // Those who have left for it are gone and their memory is on its way back: no other has to go in the meantime.
    if item.cleared.as_ref().is_some_and(|cleared| cleared.is_returning(ledger, world.now)) {
        return Some(nearest);
    }
    let candidates = candidates(item, world, ledger, decided);
    let victims = |way: &Way| {
        let short: Vec<(usize, ByteSize)> =
            missing(way).into_iter().map(|(at, bytes)| (at, ByteSize(u64::try_from(bytes).unwrap_or(0)))).collect();
        evict(&short, &candidates)
    };
    let found = ways.iter().take(MOST_WAYS).filter_map(|way| Some((victims(way)?, way)));
    let Some((Victims { ids, .. }, way)) = found.min_by_key(|(victims, _)| victims.cost) else { return Some(nearest) };
    let reason =
        Reason::new(ReasonCode::NoRoom, format!("unloaded to make room for `{}`", item.deployment), "the next call loads it again")
            .with(cause::FOR, item.deployment.as_str());
    actions.extend(ids.into_iter().map(|id| Action::Move(id, Phase::Draining, Some(reason.clone()))));
    Some(way.clone())
}

/// Who may leave for this one: those whose time to stay is over and that are not pinned, as many of each deployment as
/// it has above its minimum, the longest unused first.
fn candidates(item: &Item, world: &World, ledger: &Ledger, decided: &BTreeSet<InstanceId>) -> Vec<Candidate> {
    let mut ready: BTreeMap<&Name, u32> = BTreeMap::new();
    for other in world.items.values().filter(|other| is_up(other)) {
        *ready.entry(&other.deployment).or_default() += 1;
    }
    let mut spare: BTreeMap<&Name, u32> =
        ready.into_iter().filter_map(|(name, ready)| Some((name, spare(world.wishes.get(name)?, ready, world.date())))).collect();
    let mut others: Vec<&Item> = world.items.values().filter(|other| is_up(other) && !decided.contains(&other.id)).collect();
    others.sort_by_key(|other| (other.used.in_flight > 0, other.last_of_use()));
    let asker = Asker { item, is_urgent: is_urgent(item, world) };
    others.retain(|other| {
        if other.deployment == item.deployment {
            return false; // which of its own revisions go is for the rollout to say
        }
        let left = spare.get_mut(&other.deployment);
        stays(other, &asker, world) == Stays::Over && left.is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
    });
    others.into_iter().map(|other| candidate(other, world, ledger)).collect()
}

fn is_up(item: &Item) -> bool {
    matches!(item.phase, Phase::Ready | Phase::Sleeping)
}

fn spare(wish: &Wish, ready: u32, now: Timestamp) -> u32 {
    if wish.record.spec.pinned { 0 } else { ready.saturating_sub(wish.bounds(now).0) }
}

/// Whether somebody may be asked to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// Not before then, as it looks now.
    Until(Timestamp),
    /// It may.
    Over,
}

/// Who waits for room.
struct Asker<'a> {
    item: &'a Item,
    is_urgent: bool,
}

/// How long `other` stays though somebody waits for its room.
fn stays(other: &Item, asker: &Asker<'_>, world: &World) -> Stays {
    let patience = world.room.patience;
    let load = Duration::from_millis(reload_ms(other)).min(patience);
    let came_up = other.ready_at.unwrap_or(other.since);
    let due = came_up.min(asker.item.created_at).plus(patience);
    let hold = due.max(came_up.plus(load / 2)).min(came_up.plus(patience)).max(came_up.plus(SEATED));
    let waiting = world.wishes.get(&other.deployment).map_or(0, |wish| wish.demand.waiting);
    let until = if other.used.in_flight == 0 && waiting == 0 {
        hold.min(other.last_of_use().plus(load / 2))
    } else if asker.is_urgent {
        hold.max(asker.item.created_at.plus(patience))
    } else {
        return Stays::Until(world.now.plus(patience).plus(patience)); // it works, and nobody goes without the other
    };
    if until <= world.now { Stays::Over } else { Stays::Until(until) }
}

/// Its deployment serves nobody before it has room, nor has another that comes up.
fn is_urgent(item: &Item, world: &World) -> bool {
    !world.items_of(&item.deployment).any(|other| is_up(other) || (other.phase.is_rising() && other.holds_memory()))
}

fn candidate(item: &Item, world: &World, ledger: &Ledger) -> Candidate {
    Candidate { id: item.id.clone(), gives: ledger.of_item(item), cost: cost(item, world), last_used: item.last_of_use() }
}

/// How long loading it again takes, or took last time.
pub(crate) fn reload_ms(item: &Item) -> u64 {
    item.load_ms().unwrap_or(item.memory.0 / BYTES_IN_MS).max(1)
}

/// What its leaving costs: its reload, up to four times as much when it was used just now, and once more for
/// each caller who would have to wait for it.
fn cost(item: &Item, world: &World) -> u64 {
    const THOUSANDTHS: u64 = 1_000;
    const HOT: u64 = 3_000;
    const COOLS_IN: u64 = 60;
    let idle = world.now.since(item.last_of_use()).as_secs();
    let hot = if item.used.in_flight > 0 { HOT } else { HOT * COOLS_IN / (COOLS_IN + idle) };
    let waiting = world.wishes.get(&item.deployment).map_or(0, |wish| u64::from(wish.demand.waiting));
    let times = THOUSANDTHS + hot + THOUSANDTHS * (waiting + u64::from(item.used.in_flight));
    reload_ms(item).saturating_mul(times) / THOUSANDTHS
}
