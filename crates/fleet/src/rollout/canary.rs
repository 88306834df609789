//! A new revision that gets a small share of the calls first, and more while it does well.
//!
//! In: the scene. Out: instances of both revisions, the next step, or why it is given up. Pure. It is compared with the old
//! revision beside it, by the calls that each has answered since the canary began, and by how long first tokens usually take lately.

use std::time::Duration;

use spec::{Phase, Reason, ReasonCode, RolloutStatus};

use super::{Decision, Scene, count, ready};
use crate::world::Item;

/// Fewer failed calls may be chance.
const TELLING: u64 = 3;
/// First tokens that differ by less are alike.
const FLOOR: Duration = Duration::from_millis(10);
const WHOLE: u32 = 100;

/// What instances of one revision have done.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Record {
    calls: u64,
    failures: u64,
    first_token: Option<Duration>,
}

impl Record {
    fn of(items: &[&Item], before: (u64, u64)) -> Self {
        let sum = |of: fn(&Item) -> u64| items.iter().map(|item| of(item)).sum::<u64>();
        let mut times: Vec<Duration> = items.iter().filter_map(|item| item.used.first_token).collect();
        times.sort_unstable();
        Self {
            calls: sum(|item| item.used.calls).saturating_sub(before.0),
            failures: sum(|item| item.used.failures).saturating_sub(before.1),
            first_token: times.get(times.len() / 2).copied(),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of calls needs no more than a float holds")]
    fn rate(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.failures as f64 / self.calls as f64 }
    }
}

/// Instances for its share: at least one.
fn share(wanted: u32, weight: u32) -> u32 {
    wanted.saturating_mul(weight).div_ceil(WHOLE).max(1)
}

/// The old revision has as many instances as are wanted, the new one as many as its share takes.
pub(super) fn keep<'a>(scene: &Scene<'a>, weight: u32, decision: &mut Decision<'a>) {
    let (status, wanted) = (scene.status(), scene.target.count);
    let (new, old) = (scene.newer(), scene.older());
    let (steady, rest): (Vec<&Item>, Vec<&Item>) = old.into_iter().partition(|item| item.revision.number == scene.steady());
    if count(&steady) < wanted {
        scene.create(scene.steady(), decision);
    }
    scene.trim(&steady, wanted, decision);
    if count(&new) < share(wanted, weight) {
        scene.create(status.to, decision);
    }
    scene.trim(&new, share(wanted, weight), decision);
    // A revision in between, which never served; until the new one is frozen its engines may be those of that.
    if scene.is_frozen() {
        decision.leave.extend(rest.into_iter().map(|item| (item, scene.superseded())));
    }
}

/// The canary has what its step takes, or has had it for long enough.
pub(super) fn step(scene: &Scene<'_>) -> Option<RolloutStatus> {
    let (status, settings, now) = (scene.status(), scene.settings(), scene.world.now);
    let weight = status.weight(settings)?;
    let (new, old) = (scene.newer(), scene.older());
    let complete = scene.target.count > 0 && ready(&new) >= share(scene.target.count, weight);
    match status.held_since {
        None if complete => {
            let begins = Record::of(&old, (0, 0));
            let before = if status.step == 0 { (begins.calls, begins.failures) } else { status.before };
            Some(RolloutStatus { held_since: Some(now), before, progress_at: now, ..status.clone() })
        }
        Some(_) if scene.target.count == 0 => Some(RolloutStatus { held_since: None, ..status.clone() }),
        Some(since) if complete && now.since(since) >= settings.canary.hold && is_tried(scene, weight, &new, &old) => {
            Some(RolloutStatus { step: status.step + 1, held_since: None, progress_at: now, ..status.clone() })
        }
        _ => None,
    }
}

/// It has answered something, unless there was too little to be answered.
fn is_tried(scene: &Scene<'_>, weight: u32, new: &[&Item], old: &[&Item]) -> bool {
    let old = Record::of(old, scene.status().before);
    Record::of(new, (0, 0)).calls > 0 || old.calls.saturating_mul(u64::from(weight)) < u64::from(WHOLE)
}

/// Whether it does so badly that it is given up.
pub(super) fn verdict(scene: &Scene<'_>) -> Option<Reason> {
    let (status, settings) = (scene.status(), &scene.settings().canary);
    status.weight(scene.settings())?;
    let old: Vec<&Item> = scene.older().into_iter().filter(|item| item.phase == Phase::Ready).collect();
    let (new, old) = (Record::of(&scene.newer(), (0, 0)), Record::of(&old, status.before));
    if new.failures >= TELLING && new.rate() > old.rate() + settings.max_error_rate {
        let message = format!(
            "{} of {} calls of revision {} failed, and {} of {} of the old one; more than {} beyond it is too much",
            new.failures,
            new.calls,
            status.to,
            old.failures,
            old.calls,
            percent(settings.max_error_rate)
        );
        return Some(Reason::new(ReasonCode::CanaryErrors, message, "see `penstock events`; change the deployment"));
    }
    let (fast, slow) = (old.first_token?, new.first_token?);
    if slow > fast.mul_f64(settings.max_latency_ratio) && slow > fast + FLOOR {
        let message = format!(
            "first tokens of revision {} take {} ms, and {} ms of the old one; more than {} times as long is too much",
            status.to,
            slow.as_millis(),
            fast.as_millis(),
            settings.max_latency_ratio
        );
        let remedy = "raise rollout.canary.max_latency_ratio if a slower model is meant; change the deployment";
        return Some(Reason::new(ReasonCode::CanarySlow, message, remedy));
    }
    None
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * f64::from(WHOLE))
}
