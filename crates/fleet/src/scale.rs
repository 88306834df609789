//! How many instances a deployment should have now.
//!
//! In: the wish, its demand, its instances. Out: a number, with the reason for having fewer. Pure.
//! From: Ollama's keep-alive (an instance stays for a while after its last call) and Knative's
//! scale from zero.

use base::Timestamp;
use spec::{Phase, Reason, ReasonCode};

use crate::world::{Hand, Item, Wish, World};

/// How many there should be, and why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// So many.
    pub count: u32,
    /// What to tell those that have to go.
    pub reason: Reason,
}

/// How many instances there should be of this wish, given those that serve or will.
pub fn target(wish: &Wish, serving: &[&Item], world: &World) -> Target {
    let spec = &wish.record.spec;
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
    let (current, old): (Vec<&Item>, Vec<&Item>) = serving.iter().copied().partition(|item| item.revision.number == wish.record.generation);
    let warm = |items: &[&Item]| items.iter().filter(|item| is_warm(item, wish, world.now)).count();
    let all_busy = wish.demand.waiting > 0 && serving.iter().all(|item| item.phase == Phase::Ready);
    // Old ones are replaced by as many: both at once must not count as more.
    let warm = warm(&current).max(warm(&old));
    let more = if all_busy { current.len().max(old.len()) + 1 } else { 0 };
    let used = u32::try_from(warm.max(more)).unwrap_or(u32::MAX);
    let count = wish.floor().max(u32::from(wish.is_asked_for())).max(used).min(spec.replicas.max);
    let idle = wish.keep_alive().map_or_else(String::new, base::clock::human::print);
    Target {
        count,
        reason: Reason::new(
            ReasonCode::KeepAliveOver,
            format!("no caller for {idle}"),
            "the next call loads it again; raise replicas.keep_alive or set pinned: true to keep it",
        ),
    }
}

/// In use, on its way up, or used not long ago. A start that has begun goes on without its caller; one
/// that still waits for room does not.
fn is_warm(item: &Item, wish: &Wish, now: Timestamp) -> bool {
    if item.phase.is_rising() {
        return !item.waits_for_room() || wish.is_asked_for();
    }
    item.used.in_flight > 0 || wish.keep_alive().is_none_or(|keep| now.since(item.last_of_use()) < keep)
}
