//! How many instances a deployment should have now.
//!
//! In: the wish, its demand, its instances. Out: a number, with the reason for having fewer. Pure.
//! From: Ollama's keep-alive (an instance stays for a while after its last call) and Knative's
//! scale from zero.

use std::time::Duration;

use base::Timestamp;
use spec::{Phase, Reason, ReasonCode};

use crate::world::{Hand, Item, Wish};

/// How many there should be, and why not more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// So many.
    pub count: u32,
    /// What to tell those that have to go.
    pub reason: Reason,
}

/// How many instances there should be of this wish.
pub fn target(wish: &Wish, items: &[&Item], now: Timestamp, stopping: bool) -> Target {
    let spec = &wish.record.spec;
    let none = |code, message: &str| Target { count: 0, reason: Reason::new(code, message, "") };
    if stopping {
        return none(ReasonCode::ShuttingDown, "penstock is stopping");
    }
    if wish.record.deleting {
        return none(ReasonCode::Superseded, "the deployment is being deleted");
    }
    if wish.hand == Hand::Unload && wish.demand.waiting == 0 {
        return none(ReasonCode::Unloaded, "unloaded by hand; the next call loads it again");
    }
    let keep_alive = wish.keep_alive();
    let floor = spec.replicas.min.max(u32::from(spec.pinned));
    let asked = u32::from(wish.is_asked_for() || wish.hand == Hand::Load);
    let warm = items.iter().filter(|item| is_warm(item, keep_alive, now)).count();
    let warm = u32::try_from(warm).unwrap_or(u32::MAX);
    let more = u32::from(wish.demand.waiting > 0 && all_ready(items)) * (count(items) + 1);
    let count = floor.max(asked).max(warm).max(more).min(spec.replicas.max);
    let idle = keep_alive.map_or_else(String::new, base::clock::human::print);
    Target {
        count,
        reason: Reason::new(
            ReasonCode::KeepAliveOver,
            format!("no caller for {idle}"),
            "the next call loads it again; raise replicas.keep_alive or set pinned: true to keep it",
        ),
    }
}

/// In use, on its way up, or used not long ago.
fn is_warm(item: &Item, keep_alive: Option<Duration>, now: Timestamp) -> bool {
    if !item.is_serving() {
        return false;
    }
    item.used.in_flight > 0 || item.phase.is_rising() || keep_alive.is_none_or(|keep| now.since(item.last_of_use()) < keep)
}

fn all_ready(items: &[&Item]) -> bool {
    items.iter().filter(|item| item.is_serving()).all(|item| item.phase == Phase::Ready)
}

fn count(items: &[&Item]) -> u32 {
    u32::try_from(items.iter().filter(|item| item.is_serving()).count()).unwrap_or(u32::MAX)
}
