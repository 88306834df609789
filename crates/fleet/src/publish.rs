//! Writes the ready set to the board.
//!
//! In: the world, and whom to look at. Out: one table, in one swap. An instance that drains, or whose deployment is
//! being deleted, is not in it any more: it leaves in the same swap as its successor enters. While a rollout goes on, members of
//! two revisions stand beside each other, a canary with its share of the calls; each has its own limits and model. Routes
//! come with it in the same swap. An entry that did not change stays the same `Arc`, so that the board touches only what moved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use board::{Entry, Member, Split, State, Table};
use spec::{Name, Phase, Revision, RolloutPhase, RuntimeKind};

use crate::wishes::Active;
use crate::world::{Item, Resolve, Wish, World};
use crate::{fetching, rollout, scale};

/// An estimate never says that it is done.
const NEARLY: f64 = 0.99;

/// Finds the key of a remote server.
type RemoteKey<'a> = &'a dyn Fn(&Revision) -> Option<Secret>;

/// The table that follows `before`, once these names have been looked at again; nothing when it is the same one.
pub(crate) fn renewed(
    world: &World,
    active: &Active<'_>,
    before: &Table,
    names: &BTreeSet<Name>,
    remote_key: RemoteKey<'_>,
) -> Option<Table> {
    let mut deployments = before.deployments.clone();
    let mut moved = !world.routes.changes(&before.routes, Arc::ptr_eq).is_empty();
    for name in names {
        let old = before.deployments.get(name);
        let Some(wish) = world.wishes.get(name).filter(|wish| !wish.record.deleting) else {
            moved |= deployments.remove(name).is_some();
            continue;
        };
        let items = active.get(name).map(Vec::as_slice).unwrap_or_default();
        let new = entry(&Subject { wish, items, old: old.map(Arc::as_ref), world }, remote_key);
        if old.is_none_or(|old| **old != new) {
            deployments.insert(name.clone(), Arc::new(new));
            moved = true;
        }
    }
    moved.then(|| Table { deployments, routes: world.routes.clone() })
}

/// The whole table for this world; `before` is what is published now.
#[cfg(test)]
pub(crate) fn table(world: &World, before: &Table, remote_key: RemoteKey<'_>) -> Table {
    let mut active = world.active();
    for (name, _) in &world.wishes {
        active.entry(name).or_default();
    }
    let names = active.keys().copied().chain(before.deployments.keys()).cloned().collect();
    renewed(world, &active, before, &names, remote_key).unwrap_or_else(|| before.clone())
}

/// As many, as a number that is kept.
pub(crate) fn count(names: &BTreeSet<Name>) -> u64 {
    u64::try_from(names.len()).unwrap_or(u64::MAX)
}

/// Of whom an entry is made.
struct Subject<'a> {
    wish: &'a Wish,
    items: &'a [&'a Item],
    /// As it is published.
    old: Option<&'a Entry>,
    world: &'a World,
}

fn entry(subject: &Subject<'_>, remote_key: RemoteKey<'_>) -> Entry {
    let Subject { wish, items, old, .. } = *subject;
    let ready: Vec<&Item> = items.iter().copied().filter(|item| item.phase == Phase::Ready).collect();
    let serving = serving(wish, ready);
    let split = split(wish, &serving);
    let main = main(split, &serving);
    let revision = main.or_else(|| wish.revision());
    let members = serving.iter().filter_map(|item| {
        let key = if item.runtime == RuntimeKind::External { remote_key(&item.revision) } else { Some(item.key.clone()) };
        let revision = item.revision.number;
        let is_other = main.is_some_and(|main| main.number != revision);
        let own = is_other.then(|| Arc::new(bare(wish, Some(&item.revision), None)));
        Some(Arc::new(Member { id: item.id.clone(), endpoint: item.endpoint.clone()?, key, slots: item.slots, revision, own }))
    });
    Entry { state: state(subject, !serving.is_empty()), instances: members.collect(), split, ..bare(wish, revision, old) }
}

/// A deployment as one of its revisions has it, without anybody who serves it. What is as it was is shared with the old entry.
fn bare(wish: &Wish, revision: Option<&Arc<Revision>>, old: Option<&Entry>) -> Entry {
    let name = &wish.record.spec.name;
    let spec = revision.map_or(&wish.record.spec, |revision| &revision.spec);
    let version = revision.and_then(|revision| revision.version.as_ref());
    let old_spec = old.map(|old| &old.spec).filter(|old| ***old == *spec);
    let old_version = old.and_then(|old| old.version.as_ref()).filter(|old| Some(old.as_ref()) == version);
    Entry {
        name: name.clone(),
        revision: revision.map_or(wish.record.generation, |revision| revision.number),
        generation: wish.record.generation,
        created: wish.record.created_at,
        dialect: engine::engine(spec.engine()).dialect(spec),
        version: old_version.cloned().or_else(|| version.cloned().map(Arc::new)),
        upstream_model: spec.upstream_model.clone().unwrap_or_else(|| name.to_string()),
        state: State::Ready,
        instances: Vec::new(),
        split: None,
        notice: wish.notice.clone(),
        spec: old_spec.map_or_else(|| Arc::new(spec.clone()), Arc::clone),
    }
}

/// Who serves: while a rollout goes on, everybody who can; after it, only the revision that it ended with, if that can.
fn serving<'a>(wish: &Wish, ready: Vec<&'a Item>) -> Vec<&'a Item> {
    let status = &wish.rollout;
    let alone = match status.phase {
        RolloutPhase::Complete => Some(status.to),
        RolloutPhase::RolledBack => status.from,
        RolloutPhase::Progressing => None,
    };
    let is_it = |item: &&Item| alone.is_some_and(|number| item.revision.number == number);
    if ready.iter().any(is_it) { ready.into_iter().filter(is_it).collect() } else { ready }
}

/// The share of a canary. Until it is known whether its engines can serve the wish as it is now, they are one of another revision.
fn split(wish: &Wish, serving: &[&Item]) -> Option<Split> {
    let status = &wish.rollout;
    let percent = status.weight(&wish.record.spec.rollout)?;
    let canary = serving.iter().map(|item| item.revision.number).filter(|number| Some(*number) != status.from).max();
    Some(Split { revision: canary.unwrap_or(status.to), percent })
}

/// The revision whose limits the line in front of them heeds: the new one, but that of a canary only when nobody else serves.
fn main<'a>(split: Option<Split>, serving: &[&'a Item]) -> Option<&'a Arc<Revision>> {
    let is_canary = |number: u64| split.is_some_and(|split| split.revision == number);
    let rank = |item: &&&Item| (!is_canary(item.revision.number), item.revision.number);
    serving.iter().max_by_key(rank).map(|item| &item.revision)
}

fn state(&Subject { wish, items, world, .. }: &Subject<'_>, serves: bool) -> State {
    let now = world.now;
    if serves {
        return State::Ready;
    }
    if let Some(reason) = scale::closed(wish, world.date()) {
        return State::Down(reason);
    }
    let rising = items.iter().filter(|item| item.phase.is_rising()).max_by_key(|item| item.phase);
    if let Some(item) = rising {
        let took = item.launched_at.map_or(Duration::ZERO, |at| now.since(at));
        let eta = wish.load_ms.map(|ms| Duration::from_millis(ms).saturating_sub(took));
        let progress = wish.load_ms.map(|ms| (took.as_secs_f64() / Duration::from_millis(ms.max(1)).as_secs_f64()).min(NEARLY));
        return State::Rising { phase: item.phase, since: item.created_at.shifted(world.drift), progress, eta };
    }
    // A revision that can be gone back to will serve: callers wait, and are not told of the new one's troubles.
    let is_shared = wish.failure.as_ref().is_some_and(|reason| rollout::is_shared(wish, reason));
    if wish.rollout.phase == RolloutPhase::Progressing && wish.stable.is_some() && !is_shared {
        return State::Cold;
    }
    if let Some(seen) = fetching::seen(wish) {
        let progress = Some(seen.share().min(NEARLY));
        return State::Rising { phase: Phase::Fetching, since: wish.record.updated_at, progress, eta: seen.eta };
    }
    // Once its time has come it is cold again: only a caller who waits brings about the next try.
    if let Resolve::Failed(reason, at) = &wish.resolve
        && *at > now
        && wish.rollout.phase != RolloutPhase::RolledBack
    {
        return State::Down(reason.clone());
    }
    match (&wish.failure, wish.retry_at) {
        (Some(reason), Some(at)) if at > now => State::Down(reason.clone()),
        _ => State::Cold,
    }
}
