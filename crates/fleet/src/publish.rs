//! Writes the ready set to the board.
//!
//! In: the world. Out: one table, in one swap. An instance that drains, or whose deployment is
//! being deleted, is not in it any more: it leaves in the same swap as its successor enters. While a rollout goes on, members of
//! two revisions stand beside each other, a canary with its share of the calls; each has its own limits and model. Routes
//! come with it in the same swap. An entry that did not change stays the same `Arc`, so that the board touches only what moved.

use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use board::{Entry, Member, Split, State, Table};
use spec::{Name, Phase, Revision, RolloutPhase, RuntimeKind};

use crate::world::{Item, Resolve, Wish, World};

/// An estimate never says that it is done.
const NEARLY: f64 = 0.99;

/// The table for this world; `before` is what is published now.
pub(crate) fn table(world: &World, before: &Table, remote_key: &dyn Fn(&Revision) -> Option<Secret>) -> Table {
    let wishes = world.wishes.iter().filter(|(_, wish)| !wish.record.deleting);
    let deployments = wishes.map(|(name, wish)| {
        let new = entry(name, wish, world, remote_key);
        let entry = match before.deployments.get(name) {
            Some(old) if **old == new => Arc::clone(old),
            _ => Arc::new(new),
        };
        (name.clone(), entry)
    });
    Table { deployments: deployments.collect(), routes: world.routes.clone() }
}

fn entry(name: &Name, wish: &Wish, world: &World, remote_key: &dyn Fn(&Revision) -> Option<Secret>) -> Entry {
    let ready: Vec<&Item> = world.items_of(name).filter(|item| item.phase == Phase::Ready).collect();
    let serving = serving(wish, ready);
    let main = main(wish, &serving);
    let revision = main.or_else(|| wish.revision());
    let percent = wish.rollout.weight(&wish.record.spec.rollout);
    let members = serving.iter().filter_map(|item| {
        let key = if item.runtime == RuntimeKind::External { remote_key(&item.revision) } else { Some(item.key.clone()) };
        let revision = item.revision.number;
        let is_other = main.is_some_and(|main| main.number != revision);
        let own = is_other.then(|| Arc::new(bare(name, wish, Some(&item.revision))));
        Some(Arc::new(Member { id: item.id.clone(), endpoint: item.endpoint.clone()?, key, slots: item.slots, revision, own }))
    });
    Entry {
        state: state(name, wish, world, !serving.is_empty()),
        instances: members.collect(),
        split: percent.map(|percent| Split { revision: wish.rollout.to, percent }),
        ..bare(name, wish, revision)
    }
}

/// A deployment as one of its revisions has it, without anybody who serves it.
fn bare(name: &Name, wish: &Wish, revision: Option<&Arc<Revision>>) -> Entry {
    let spec = revision.map_or_else(|| wish.record.spec.clone(), |revision| revision.spec.clone());
    Entry {
        name: name.clone(),
        revision: revision.map_or(wish.record.generation, |revision| revision.number),
        created: wish.record.created_at,
        dialect: engine::engine(spec.engine()).dialect(&spec),
        version: revision.and_then(|revision| revision.version.clone()).map(Arc::new),
        upstream_model: spec.upstream_model.clone().unwrap_or_else(|| name.to_string()),
        state: State::Ready,
        instances: Vec::new(),
        split: None,
        spec: Arc::new(spec),
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

/// The revision whose limits the line in front of them heeds: the new one, but that of a canary only when nobody else serves.
fn main<'a>(wish: &Wish, serving: &[&'a Item]) -> Option<&'a Arc<Revision>> {
    let is_canary = wish.rollout.weight(&wish.record.spec.rollout).is_some();
    let rank = |item: &&&Item| (!(is_canary && item.revision.number == wish.rollout.to), item.revision.number);
    serving.iter().max_by_key(rank).map(|item| &item.revision)
}

fn state(name: &Name, wish: &Wish, world: &World, serves: bool) -> State {
    if serves {
        return State::Ready;
    }
    let rising = world.items_of(name).filter(|item| item.phase.is_rising()).max_by_key(|item| item.phase);
    if let Some(item) = rising {
        let took = item.launched_at.map_or(Duration::ZERO, |at| world.now.since(at));
        let eta = wish.load_ms.map(|ms| Duration::from_millis(ms).saturating_sub(took));
        let progress = wish.load_ms.map(|ms| (took.as_secs_f64() / Duration::from_millis(ms.max(1)).as_secs_f64()).min(NEARLY));
        return State::Rising { phase: item.phase, since: item.created_at, progress, eta };
    }
    // A revision that can be gone back to will serve: callers wait, and are not told of the new one's troubles.
    if wish.rollout.phase == RolloutPhase::Progressing && wish.stable.is_some() {
        return State::Cold;
    }
    // Once its time has come it is cold again: only a caller who waits brings about the next try.
    if let Resolve::Failed(reason, at) = &wish.resolve
        && *at > world.now
        && wish.rollout.phase != RolloutPhase::RolledBack
    {
        return State::Down(reason.clone());
    }
    match (&wish.failure, wish.retry_at) {
        (Some(reason), Some(at)) if at > world.now => State::Down(reason.clone()),
        _ => State::Cold,
    }
}
