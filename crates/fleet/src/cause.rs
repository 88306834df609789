//! Who or what brought a change about.
//!
//! In: what is about to change, and why. Out: a [`Cause`]. Pure. An instance is created for a cause, and all of its way up is due
//! to that one; its way down is due to the reason that it was told to go.

use base::Timestamp;
use spec::{Cause, Phase, Reason, ReasonCode, RolloutPhase};

use crate::world::{Hand, Item, Wish};

/// Why one more instance of this revision is wanted.
pub fn of_creation(wish: &Wish, revision: u64, now: Timestamp) -> Cause {
    let (rollout, replicas) = (&wish.rollout, &wish.record.spec.replicas);
    if wish.hand == Hand::Load {
        return Cause::Hand;
    }
    if rollout.phase == RolloutPhase::Progressing && rollout.from.is_some() && rollout.to == revision {
        return Cause::Rollout { revision };
    }
    if let Some(failure) = &wish.failure {
        return Cause::Failure { of: wish.record.spec.name.to_string(), code: failure.code };
    }
    if wish.demand.waiting > 0 {
        return Cause::Demand { waiting: wish.demand.waiting };
    }
    match wish.bounds(now).0 {
        min if min > replicas.min && !wish.record.spec.pinned => Cause::Schedule,
        0 => Cause::Load,
        _ => Cause::Wish,
    }
}

/// Why one that sleeps is woken.
pub fn of_waking(wish: &Wish) -> Cause {
    if wish.hand == Hand::Load { Cause::Hand } else { Cause::Demand { waiting: wish.demand.waiting } }
}

/// Why an instance goes to another phase.
pub fn of_move(item: &Item, to: Phase, reason: Option<&Reason>, wish: Option<&Wish>) -> Cause {
    match (to, reason) {
        (Phase::Failed | Phase::Unhealthy, Some(reason)) => failure(item, reason.code),
        (to, Some(reason)) if to.is_falling() => of_leaving(item, reason, wish),
        (Phase::Sleeping, _) => Cause::Idle,
        (Phase::Ready, _) if item.phase > Phase::Ready => Cause::Engine, // it answers again
        (to, _) if to.is_falling() => Cause::Engine,
        _ => item.cause.clone(),
    }
}

fn of_leaving(item: &Item, reason: &Reason, wish: Option<&Wish>) -> Cause {
    match reason.code {
        ReasonCode::NoRoom => Cause::Eviction { of: reason.fact(FOR).unwrap_or_default() },
        ReasonCode::Unloaded => Cause::Hand,
        ReasonCode::KeepAliveOver | ReasonCode::Idle | ReasonCode::Asleep => Cause::Idle,
        ReasonCode::ScaledDown => Cause::Load,
        ReasonCode::Scheduled => Cause::Schedule,
        ReasonCode::ShuttingDown => Cause::Penstock,
        ReasonCode::Superseded => match wish.filter(|wish| !wish.record.deleting) {
            Some(wish) => Cause::Rollout { revision: wish.rollout.to },
            None => Cause::Deletion,
        },
        code => failure(item, code),
    }
}

fn failure(item: &Item, code: ReasonCode) -> Cause {
    Cause::Failure { of: item.id.to_string(), code }
}

/// The fact of a reason that names the deployment which the room is for.
pub const FOR: &str = "for";

#[cfg(test)]
mod tests;
