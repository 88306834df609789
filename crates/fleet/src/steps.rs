//! What becomes of a rollout: taken up after a crash, moved on, paused and resumed, written down.
//!
//! In: states that [`crate::rollout`] decided on, and verbs of operators. Out: wishes that know them, rows that survive, and the
//! story. Fails: what cannot be stored now is stored by a later turn; until then a crash repeats a step, and loses none.

use std::sync::Arc;

use base::Timestamp;
use spec::{Cause, Event, EventKind, Name, Reason, Revision, RolloutPhase, RolloutStatus};
use store::Kept;

use crate::clock::{dated, not_ahead};
use crate::rollout::{is_shared, told};
use crate::turn::Owner;
use crate::world::{Item, Resolve, Wish};
use crate::{Error, scale};

/// What an operator may do to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It goes no further.
    Pause,
    /// It goes on; one that went back is tried again.
    Resume,
    /// The canary is good enough: all calls go to the new revision as soon as it can take them.
    Promote,
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
        })
    }
}

/// How far each deployment was.
pub(crate) async fn take_up(owner: &mut Owner) -> Result<(), Error> {
    for (name, status) in owner.store.list_rollouts().await? {
        let stable = match status.stable() {
            Some(number) => owner.store.get_revision(&name, number).await?.map(Arc::new),
            None => None,
        };
        let now = owner.world.now;
        let unproven = match status.phase {
            RolloutPhase::Complete => None,
            _ => owner.store.get_revision(&name, status.to).await?.map(Arc::new),
        };
        let reason = status.reason.clone().filter(|_| status.phase == RolloutPhase::RolledBack);
        let Some(wish) = owner.world.wishes.get_mut(&name) else { continue };
        let status = not_ahead(status, now);
        let generation = wish.record.generation;
        wish.unsaved = status.to != generation;
        wish.interrupted = unproven.clone().filter(|_| wish.unsaved && status.moves_on()).map(|revision| (revision, status.clone()));
        wish.rollout = if wish.unsaved { status.aimed_at(generation, &wish.record.spec.rollout, now) } else { status };
        (wish.stable, wish.refused) = (stable, unproven.zip(reason));
    }
    Ok(())
}

/// It is so far.
pub(crate) fn roll(owner: &mut Owner, name: &Name, status: RolloutStatus) {
    let now = owner.world.now;
    let Some(wish) = owner.world.wishes.get_mut(name) else { return };
    let event = told(&wish.rollout, &status, now);
    match status.phase {
        RolloutPhase::Complete => (wish.stable, wish.refused) = (wish.revision().cloned(), None),
        RolloutPhase::RolledBack => {
            // What failed was the other one: this one is not kept waiting for it.
            (wish.failures, wish.retry_at, wish.failure) = (0, None, None);
            wish.refused = wish.revision().cloned().zip(status.reason.clone());
        }
        RolloutPhase::Progressing => {}
    }
    let (reason, revision) = (status.reason.clone(), status.to);
    (wish.rollout, wish.unsaved) = (status, true);
    if let Some((kind, message)) = event {
        owner.story.tell(Event { reason, ..Event::now(kind, Cause::Rollout { revision }, format!("{name}: {message}")).of(name) });
    }
}

/// An instance of this revision failed; that counts against it, unless the old one would have failed as well.
pub(crate) fn note_failure(wish: &mut Wish, number: u64, reason: &Reason) {
    if wish.rollout.phase == RolloutPhase::Progressing && wish.rollout.to == number && !is_shared(wish, reason) {
        wish.rollout.failures = wish.rollout.failures.saturating_add(1);
        wish.unsaved = true;
    }
}

/// A revision was frozen: instances whose engine would be started just so serve it from now on, and the others make way.
pub(crate) async fn frozen(owner: &mut Owner, name: &Name, revision: &Arc<Revision>) {
    let (mut joined, drift) = (Vec::new(), owner.world.drift);
    for item in owner.world.items.values_mut().filter(|item| item.deployment == *name && item.is_serving()) {
        if item.revision.number != revision.number && !revision.needs_new_engine(&item.revision) {
            item.revision = Arc::clone(revision);
            joined.push(kept(item, drift));
        }
    }
    // One that has not been started has no row yet; its order will name the revision.
    for kept in joined.iter().filter(|kept| kept.fence > 0) {
        if let Err(error) = owner.store.put_instance(kept).await {
            tracing::warn!(instance = %kept.id, error = base::chain(&error), "its new revision could not be stored; the next start finds out anew");
        }
    }
    let Some(wish) = owner.world.wishes.get_mut(name) else { return };
    if let Some((before, status)) = wish.interrupted.take().filter(|(before, _)| !revision.needs_new_engine(before)) {
        let goes_on = wish.rollout.going_on_from(&status, &revision.spec.rollout, &before.spec.rollout);
        (wish.rollout, wish.unsaved) = (goes_on, true);
    }
    let wish = &*wish;
    let status = &wish.rollout;
    let (Some(from), RolloutPhase::Progressing) = (status.from, status.phase) else { return };
    // What only we heed needs no proof.
    let proven = wish.stable.as_ref().is_some_and(|stable| !revision.needs_new_engine(stable));
    if !proven && let Some(refused) = still_refused(wish, revision, owner.world.now) {
        let message =
            format!("{name}: revision {} starts the engine of the one before, which was not good; revision {from} goes on", refused.to);
        let (by, reason) = (Cause::Rollout { revision: refused.to }, refused.reason.clone());
        if let Some(wish) = owner.world.wishes.get_mut(name) {
            (wish.rollout, wish.unsaved) = (refused, true);
        }
        owner.story.tell(Event { reason, ..Event::now(EventKind::RolloutRolledBack, by, message).of(name) });
        return;
    }
    let complete =
        proven.then(|| RolloutStatus { phase: RolloutPhase::Complete, progress_at: owner.world.now, reason: None, ..status.clone() });
    let how = if joined.is_empty() { String::new() } else { "; its instances stay, since no engine has to start anew for it".to_owned() };
    let message = format!("{name}: from revision {from} to {} by {}, because of {}{how}", status.to, strategy(status), wish.record.cause);
    let by = Cause::Rollout { revision: status.to };
    owner.story.tell(Event::now(EventKind::RolloutStarted, by, message).of(name));
    if let Some(complete) = complete {
        roll(owner, name, complete);
    }
}

/// What would start just the engine that was not good is not tried before somebody says so.
fn still_refused(wish: &Wish, revision: &Revision, now: Timestamp) -> Option<RolloutStatus> {
    let (_, reason) = wish.refused.as_ref().filter(|(refused, _)| !revision.needs_new_engine(refused))?;
    Some(RolloutStatus { phase: RolloutPhase::RolledBack, progress_at: now, reason: Some(reason.clone()), ..wish.rollout.clone() })
}

fn kept(item: &Item, drift: i64) -> Kept {
    Kept {
        id: item.id.clone(),
        deployment: item.deployment.clone(),
        revision: item.revision.number,
        fence: item.fence,
        key: item.key.clone(),
        created_at: item.created_at.shifted(drift),
    }
}

fn strategy(status: &RolloutStatus) -> &'static str {
    match status.strategy {
        spec::Strategy::Rolling => "rolling",
        spec::Strategy::Recreate => "recreate",
        spec::Strategy::Canary => "canary",
    }
}

/// An operator's verb; answered when it is stored.
pub(crate) async fn by_hand(owner: &mut Owner, name: &Name, verb: Verb, by: Cause) -> Result<RolloutStatus, Error> {
    let (now, drift) = (owner.world.now, owner.world.drift);
    let wish = owner.world.wishes.get_mut(name).filter(|wish| !wish.record.deleting).ok_or_else(|| Error::NoDeployment(name.clone()))?;
    let (status, kind, message) = done(wish, verb, now).ok_or_else(|| Error::NotRolling { name: name.clone(), verb })?;
    let tries_again = wish.rollout.phase == RolloutPhase::RolledBack;
    let shown = dated(&status, drift);
    owner.store.put_rollout(name, &shown).await?;
    (wish.rollout, wish.unsaved) = (status, false);
    if tries_again {
        wish.refused = None;
        (wish.failures, wish.retry_at, wish.failure) = (0, None, None);
        if matches!(wish.resolve, Resolve::Failed(..)) {
            wish.resolve = Resolve::Pending;
        }
    }
    owner.story.tell(Event::now(kind, by, format!("{name}: {message}")).of(name));
    Ok(shown)
}

/// What the verb makes of it; nothing where there is nothing to do it to.
fn done(wish: &Wish, verb: Verb, now: Timestamp) -> Option<(RolloutStatus, EventKind, String)> {
    let (status, settings) = (&wish.rollout, &wish.record.spec.rollout);
    let to = status.to;
    match (verb, status.phase) {
        (Verb::Pause, _) => Some((status.paused(), EventKind::RolloutPaused, format!("its rollout is paused at revision {to}"))),
        (Verb::Resume, RolloutPhase::RolledBack) => {
            Some((status.again(settings, now), EventKind::RolloutResumed, format!("revision {to} is tried again")))
        }
        (Verb::Resume, _) if status.paused => {
            let held_since = status.held_since.map(|_| now);
            let resumed = RolloutStatus { paused: false, progress_at: now, held_since, reason: None, ..status.clone() };
            Some((resumed, EventKind::RolloutResumed, format!("its rollout goes on to revision {to}")))
        }
        (Verb::Promote, RolloutPhase::Progressing) if status.weight(settings).is_some() => {
            let step = settings.canary.weights.len();
            let promoted = RolloutStatus { step, paused: false, progress_at: now, held_since: None, reason: None, ..status.clone() };
            Some((promoted, EventKind::RolloutStep, format!("revision {to} was promoted: all calls go to it")))
        }
        (Verb::Resume | Verb::Promote, _) => None,
    }
}

/// Writes down what has changed.
pub(crate) async fn save(owner: &mut Owner) {
    let Owner { world, store, .. } = owner;
    let drift = world.drift;
    for name in world.wishes.that(|wish| wish.unsaved && !wish.record.deleting) {
        let Some(wish) = world.wishes.get_mut(&name) else { continue };
        match store.put_rollout(&name, &dated(&wish.rollout, drift)).await {
            Ok(()) => wish.unsaved = false,
            Err(error) => {
                tracing::warn!(deployment = %name, error = base::chain(&error), "how far its rollout is could not be stored; a later turn tries again");
                return; // one wait is enough
            }
        }
    }
}

/// What the load is worth now; the story tells when that is another number of instances than before.
pub(crate) fn look_at_load(owner: &mut Owner) {
    let Owner { world, story, .. } = owner;
    let now = world.now;
    let mut serving: std::collections::BTreeMap<Name, Vec<_>> = std::collections::BTreeMap::new();
    let wants = |wish: &Wish| !wish.record.spec.replicas.target.is_none();
    for item in world.items.values().filter(|item| item.is_serving()) {
        if world.wishes.get(&item.deployment).is_some_and(wants) {
            serving.entry(item.deployment.clone()).or_default().push(item);
        }
    }
    for name in world.wishes.that(|wish| wants(wish) || wish.wanted.most() > 0) {
        let Some(wish) = world.wishes.get_mut(&name) else { continue };
        let replicas = &wish.record.spec.replicas;
        if replicas.target.is_none() {
            wish.wanted.forget();
            continue;
        }
        let items = serving.get(&name).map(Vec::as_slice).unwrap_or_default();
        let (before, worth) = (wish.wanted.most(), scale::load::worth(wish, items));
        wish.wanted.note(worth, now, replicas.down_after);
        let most = wish.wanted.most();
        if most != before {
            let reason = scale::load::decided(wish, items);
            let message = format!("{name}: its load is worth {most} instances, {before} before ({})", reason.message);
            let event = Event::now(EventKind::Scaled, Cause::Load, message).of(&name);
            story.tell(Event { reason: Some(reason), ..event });
        }
    }
}

/// The revision whose instances are shown as those of the deployment.
pub(crate) fn shown(wish: &Wish, ready: &[&Item]) -> u64 {
    let of = |number: u64| ready.iter().any(|item| item.revision.number == number);
    let status = &wish.rollout;
    let canary = status.weight(&wish.record.spec.rollout).is_some() || status.phase == RolloutPhase::RolledBack;
    let stable = status.from.filter(|from| canary && of(*from));
    stable.or_else(|| ready.iter().map(|item| item.revision.number).max()).unwrap_or(wish.record.generation)
}
