//! How many instances a deployment should have now.
//!
//! In: the wish, its demand, its instances, what they were lately worth. Out: a number, with the reason for having fewer, and
//! how it came about ([`explain`]). Pure. Without a `target` an instance comes when all are busy and somebody waits, and stays
//! for its keep-alive; with one, load decides ([`load`]). From: Ollama's keep-alive (an instance stays for a while
//! after its last call) and Knative's scale from zero.

use base::{ByteSize, Timestamp};
use spec::{Phase, Reason, ReasonCode};

use crate::ledger::Ledger;
use crate::need;
use crate::place::{Fit, place};
use crate::world::{Hand, Item, Wish, World};

pub mod load;

pub use load::Lately;

/// How many there should be, and why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// So many.
    pub count: u32,
    /// What to tell those that have to go.
    pub reason: Reason,
}

/// How the number came about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scaling {
    /// At least so many now.
    pub min: u32,
    /// At most so many now.
    pub max: u32,
    /// So many there should be.
    pub wanted: u32,
    /// So many serve or will.
    pub has: u32,
    /// Why, one reason for each thing that it depends on.
    pub because: Vec<Reason>,
}

/// How many instances there should be of this wish, given those that serve or will.
pub fn target(wish: &Wish, serving: &[&Item], world: &World) -> Target {
    let none = |code, message: &str| Target { count: 0, reason: Reason::new(code, message, "") };
    if world.stopping.is_some() {
        return none(ReasonCode::ShuttingDown, "penstock is stopping");
    }
    if wish.record.deleting {
        return none(ReasonCode::Superseded, "the deployment is being deleted");
    }
    if wish.hand == Hand::Unload && wish.demand.waiting == 0 {
        return none(ReasonCode::Unloaded, "unloaded by hand; the next call loads it again");
    }
    let (min, max) = wish.bounds(world.date());
    let wanted = by_use(wish, serving, world).max(by_load(wish, serving, world));
    let count = min.max(u32::from(wish.is_asked_for())).max(wanted).min(max);
    Target { count, reason: closed(wish, world.date()).unwrap_or_else(|| why_less(wish, serving, count)) }
}

/// Why there may be none now, where the schedule says so.
pub(crate) fn closed(wish: &Wish, now: Timestamp) -> Option<Reason> {
    let (_, max) = wish.bounds(now);
    let replicas = &wish.record.spec.replicas;
    if max > 0 || replicas.max == 0 {
        return None;
    }
    let Some(again) = replicas.allowed_from(now) else {
        let message = "its schedule never allows an instance";
        return Some(Reason::new(ReasonCode::Scheduled, message, "give replicas.schedule a time with a max above 0"));
    };
    let message = format!("its schedule allows no instance until {again}");
    let remedy = "call again then, or change replicas.schedule";
    let at = u64::try_from(again.as_millis()).unwrap_or(0);
    Some(Reason::new(ReasonCode::Scheduled, message, remedy).with(Reason::AGAIN_AT, at))
}

/// Why there is none: nobody asks for one now.
pub(crate) fn idle(wish: &Wish) -> Reason {
    if wish.demand.last_used.is_none() && wish.load_ms.is_none() && wish.failure.is_none() {
        return Reason::new(ReasonCode::Idle, "nobody has asked for it", "the first call, or `load`, starts it");
    }
    Reason::new(ReasonCode::Idle, "no caller now", "the next call, or `load`, starts it")
}

fn why_less(wish: &Wish, serving: &[&Item], count: u32) -> Reason {
    if count > 0 && !wish.record.spec.replicas.target.is_none() {
        let message = format!("{count} are enough for what is asked of them");
        let reason = Reason::new(ReasonCode::ScaledDown, message, "raise replicas.min or replicas.down_after to keep more");
        return reason.with("instances", count);
    }
    let Some(keep) = wish.keep_alive().filter(|_| !serving.is_empty()) else { return idle(wish) };
    let message = format!("no caller for {}", base::clock::human::print(keep));
    let remedy = "the next call loads it again; raise replicas.keep_alive or set pinned: true to keep it";
    Reason::new(ReasonCode::KeepAliveOver, message, remedy).with("keep_alive_ms", load::millis(keep))
}

/// Those that work or did so not long ago, and one more where all are busy.
fn by_use(wish: &Wish, serving: &[&Item], world: &World) -> u32 {
    // While the newest wish is not frozen, the one before it is still the one that replaces others.
    let newest = serving.iter().map(|item| item.revision.number).max();
    let (current, old): (Vec<&Item>, Vec<&Item>) = serving.iter().copied().partition(|item| Some(item.revision.number) == newest);
    let warm = |items: &[&Item]| items.iter().filter(|item| is_warm(item, wish, world.now)).count();
    // Old ones are replaced by as many: both at once must not count as more.
    let warm = warm(&current).max(warm(&old));
    if !wish.record.spec.replicas.target.is_none() {
        return u32::try_from(warm.min(1)).unwrap_or(1); // the last one has its keep-alive; of the others load decides
    }
    let all_busy = wish.demand.waiting > 0 && serving.iter().all(|item| item.phase == Phase::Ready);
    let more = if all_busy { current.len().max(old.len()) + 1 } else { 0 };
    u32::try_from(warm.max(more)).unwrap_or(u32::MAX)
}

/// What load was lately worth, as far as there is room for it. The first one comes for a caller, a hand or a minimum: what load was
/// worth before everybody left makes nobody else leave.
fn by_load(wish: &Wish, serving: &[&Item], world: &World) -> u32 {
    if serving.is_empty() {
        return 0;
    }
    let wanted = wish.wanted.most();
    let has = u32::try_from(serving.len()).unwrap_or(u32::MAX);
    if wanted <= has { wanted } else { wanted.min(room_for(wanted, serving, world)) }
}

/// So many there can be: those that are there, and as many more as fit beside everything that runs or waits for room.
fn room_for(wanted: u32, serving: &[&Item], world: &World) -> u32 {
    let has = u32::try_from(serving.len()).unwrap_or(u32::MAX);
    let Some(like) = serving.iter().max_by_key(|item| item.memory).filter(|item| item.memory > ByteSize(0)) else { return wanted };
    let mut ledger = Ledger::of(world);
    let mut fits = |item: &Item| match place(&need::of(item, &world.room), &ledger, world.room.packing) {
        Fit::Fits(way) => {
            ledger.take(&way.bytes);
            true
        }
        Fit::NoRoom { .. } | Fit::Never { .. } => false,
    };
    for item in world.items.values().filter(|item| item.waits_for_room()) {
        fits(item);
    }
    let more = (has..wanted).take_while(|_| fits(like)).count();
    has.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).max(1)
}

/// In use, on its way up, or used not long ago. A start that has begun goes on without its caller; one
/// that still waits for room does not.
fn is_warm(item: &Item, wish: &Wish, now: Timestamp) -> bool {
    if item.phase.is_rising() {
        return !item.waits_for_room() || wish.is_asked_for();
    }
    item.used.in_flight > 0 || wish.keep_alive().is_none_or(|keep| now.since(item.last_of_use()) < keep)
}

fn in_use(serving: &[&Item], waiting: u32) -> Reason {
    let count = u32::try_from(serving.iter().filter(|item| !item.waits_for_room()).count()).unwrap_or(u32::MAX);
    let message = format!("{count} work or are kept, {waiting} wait in line");
    Reason::new(ReasonCode::InUse, message, "").with("instances", count).with("waiting", waiting)
}

/// How the number came about.
pub fn explain(wish: &Wish, serving: &[&Item], world: &World) -> Scaling {
    let (min, max) = wish.bounds(world.date());
    let target = target(wish, serving, world);
    let has = u32::try_from(serving.len()).unwrap_or(u32::MAX);
    let mut because = Vec::new();
    let replicas = &wish.record.spec.replicas;
    if (min, max) != (replicas.min, replicas.max) {
        let message = format!("between {min} and {max} now, by the schedule or because it is pinned");
        because.push(Reason::new(ReasonCode::Bounds, message, "").with("min", min).with("max", max));
    }
    because.extend(load::wants(wish, serving).into_iter().map(|want| want.because));
    let most = wish.wanted.most();
    if !replicas.target.is_none() && most > 0 {
        because.push(load::lately(most, replicas.down_after));
    }
    let room = if most > has && has > 0 { room_for(most, serving, world) } else { u32::MAX };
    if room < most {
        let remedy = "unload others or make them smaller, or raise the memory budget";
        let reason = Reason::new(ReasonCode::NoRoom, format!("there is room for {room}"), remedy);
        because.push(reason.with("room_instances", room).with("wanted", most));
    }
    if most.min(room) > max {
        let reason = Reason::new(ReasonCode::MaxReached, format!("replicas.max allows {max}"), "");
        because.push(reason.with("max", max).with("wanted", most));
    }
    if target.count == 0 {
        because.push(target.reason);
    } else if replicas.target.is_none() {
        because.push(in_use(serving, wish.demand.waiting));
    }
    Scaling { min, max, wanted: target.count, has, because }
}
