//! Whether a new revision is given up.
//!
//! In: the scene. Out: why, with the numbers and what to do. Pure. One failure may be chance; three in a row, a canary that
//! fares worse than the old revision beside it, or no progress within the deadline are not.

use std::sync::Arc;

use base::clock::human;
use spec::{Phase, Reason, ReasonCode, Revision};

use super::{Scene, canary};
use crate::world::{Resolve, Wish};

/// So many failures of its instances and the new revision is given up.
pub const MOST_FAILURES: u32 = 3;

/// Why it goes back to `from`, if it does.
pub(super) fn against(scene: &Scene<'_>, from: u64) -> Option<Reason> {
    failed(scene, from).or_else(|| late(scene, from)).or_else(|| canary::verdict(scene))
}

/// Whether a failure says nothing of the new revision: the program is missing that the old one needs as well.
pub(crate) fn is_shared(wish: &Wish, reason: &Reason) -> bool {
    let runs_on = |revision: &Arc<Revision>| (revision.spec.engine(), revision.spec.runtime());
    let (stable, new) = (wish.stable.as_ref().map(runs_on), wish.revision().map(runs_on));
    reason.code == ReasonCode::EngineMissing && stable.is_some() && stable == new
}

/// It failed again and again, can never fit, or there is no program for it.
fn failed(scene: &Scene<'_>, from: u64) -> Option<Reason> {
    let status = scene.status();
    let last = scene.wish.failure.as_ref();
    let never = |reason: &Reason| matches!(reason.code, ReasonCode::DoesNotFit | ReasonCode::EngineMissing);
    let hopeless = last.is_some_and(|reason| never(reason) && !is_shared(scene.wish, reason));
    if status.failures < MOST_FAILURES && !(hopeless && status.failures > 0) {
        return None;
    }
    let why = last.map(|reason| format!(", last: {}", reason.message)).unwrap_or_default();
    let message = format!("revision {} failed {} times{why}; revision {from} goes on", status.to, status.failures);
    Some(Reason::new(ReasonCode::RevisionFailed, message, remedy(last)))
}

/// It made no progress for too long: nothing of it came up, or it could not even be frozen.
fn late(scene: &Scene<'_>, from: u64) -> Option<Reason> {
    let (status, deadline) = (scene.status(), scene.settings().progress_deadline);
    let rising = scene.newer().into_iter().filter(|item| item.phase != Phase::Ready).min_by_key(|item| item.created_at);
    let (since, why) = match (rising, &scene.wish.resolve) {
        (Some(item), _) => (item.created_at.max(status.progress_at), item.reason.clone()),
        (None, Resolve::Failed(reason, _)) => (status.progress_at, Some(reason.clone())),
        (None, _) => return None,
    };
    if scene.world.now.since(since) < deadline {
        return None;
    }
    let what = why.as_ref().map(|reason| format!(" ({})", reason.message)).unwrap_or_default();
    let message = format!("revision {} made no progress within {}{what}; revision {from} goes on", status.to, human::print(deadline));
    Some(Reason::new(ReasonCode::ProgressDeadline, message, remedy(why.as_ref())))
}

fn remedy(why: Option<&Reason>) -> String {
    let own = why.map(|reason| reason.remedy.as_str()).filter(|remedy| !remedy.is_empty());
    let own = own.map(|remedy| format!("{remedy}; ")).unwrap_or_default();
    format!("{own}change the deployment, or `penstock rollout resume` to try the same again")
}
