//! Looks at the store, the runtimes and the callers, and brings the world up to date.
//!
//! In: what is stored, what runs, who waits. Out: the [`World`] of this turn. Fails: a part that
//! cannot be read leaves its share of the world as it was, and is logged: a database that stalls
//! must not stop engines. Holds: nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::Timestamp;
use board::{Board, Demand};
use runtime::Runtime;
use spec::deployment::Record;
use spec::{InstanceId, Name, Revision, RolloutStatus, RouteRecord, RuntimeKind, Seen, SeenState};

use store::Changes;

use crate::fetching::Fetching;
use crate::leaving;
use crate::restart::Restarts;
use crate::scale::Lately;
use crate::world::{Hand, Item, Resolve, Sight, Start, Wish, World};

/// Takes in what has been stored since the last look.
pub fn changes(world: &mut World, changes: Changes) {
    if changes.whole {
        wishes(world, changes.deployments);
    } else {
        changes.deployments.into_iter().for_each(|record| wish(world, record));
    }
    for name in &changes.gone {
        world.wishes.remove(name);
    }
    if let Some(records) = changes.routes {
        routes(world, records);
    }
}

/// Takes in all stored wishes: any other is gone.
pub fn wishes(world: &mut World, records: Vec<Record>) {
    let stored: BTreeSet<&Name> = records.iter().map(|record| &record.spec.name).collect();
    for name in world.wishes.that(|wish| !stored.contains(&wish.record.spec.name)) {
        world.wishes.remove(&name);
    }
    for record in records {
        wish(world, record);
    }
}

/// Takes in one wish, new or changed.
fn wish(world: &mut World, record: Record) {
    let (name, now) = (record.spec.name.clone(), world.now);
    let wish = match world.wishes.remove(&name) {
        Some(wish) if wish.record.generation == record.generation && wish.record.created_at == record.created_at => Wish { record, ..wish },
        // One of the same name that was deleted in between is another deployment.
        Some(wish) if wish.record.created_at == record.created_at => {
            let rollout = wish.rollout.aimed_at(record.generation, &record.spec.rollout, now);
            let interrupted = interrupted(&wish);
            let Wish { demand, hand, stable, refused, wanted, .. } = wish;
            Wish { demand, hand, stable, refused, wanted, rollout, interrupted, unsaved: true, ..fresh(record, now) }
        }
        Some(wish) => Wish { demand: wish.demand, hand: wish.hand, ..fresh(record, now) },
        None => fresh(record, now),
    };
    world.wishes.insert(name, wish);
}

/// What a change comes into: a rollout that is under way, or, where that is not frozen, what that came into itself.
fn interrupted(wish: &Wish) -> Option<(Arc<Revision>, RolloutStatus)> {
    let Some(revision) = wish.revision() else { return wish.interrupted.clone() };
    wish.rollout.moves_on().then(|| (Arc::clone(revision), wish.rollout.clone()))
}

/// Takes in the stored routes; one that did not change stays the same `Arc`.
pub fn routes(world: &mut World, records: Vec<RouteRecord>) {
    let taken = records.into_iter().map(|record| {
        let name = record.spec.name.clone();
        let route = world.routes.get(&name).filter(|old| ***old == record).map_or_else(|| Arc::new(record), Arc::clone);
        (name, route)
    });
    world.routes = taken.collect();
}

fn fresh(record: Record, now: Timestamp) -> Wish {
    let deployment = record.spec.name.clone();
    let rollout = RolloutStatus::first(record.generation, &record.spec.rollout, now);
    Wish {
        record,
        demand: Demand { deployment, waiting: 0, in_flight: 0, last_used: None, keep_alive: None },
        resolve: Resolve::Pending,
        hand: Hand::Off,
        failures: 0,
        restarts: Restarts::default(),
        retry_at: None,
        failure: None,
        load_ms: None,
        memory: base::ByteSize(0),
        rollout,
        unsaved: false,
        notice: None,
        fetching: Fetching::default(),
        stable: None,
        refused: None,
        wanted: Lately::default(),
        interrupted: None,
    }
}

/// Takes in what callers want and do.
pub fn demand(world: &mut World, board: &Board) {
    world.wishes.take_in_demand(board);
    for item in world.items.values_mut() {
        item.used = board.member_use(&item.deployment, &item.id);
    }
}

/// What each runtime shows; a runtime that did not answer is missing.
pub type Sightings = BTreeMap<RuntimeKind, BTreeMap<InstanceId, Seen>>;

/// Asks one runtime what runs.
pub async fn sighting(runtime: &dyn Runtime) -> Result<BTreeMap<InstanceId, Seen>, runtime::Error> {
    Ok(runtime.list().await?.into_iter().map(|seen| (seen.order.instance.clone(), seen)).collect())
}

/// Asks every runtime what runs.
pub async fn sightings(runtimes: &[Arc<dyn Runtime>]) -> Sightings {
    let mut all = Sightings::new();
    for runtime in runtimes {
        match sighting(runtime.as_ref()).await {
            Ok(seen) => drop(all.insert(runtime.kind(), seen)),
            Err(error) => tracing::warn!(runtime = %runtime.kind(), error = base::chain(&error), "the runtime could not be read"),
        }
    }
    all
}

/// Takes in what runs. Returns what runs and nobody knows. `measured`: the runtimes whose machines were read since; of the others the
/// memory of an engine is what it was, or what it has taken by now would count as free as well.
pub fn sights(world: &mut World, mut seen: Sightings, measured: &BTreeSet<RuntimeKind>) -> Vec<Seen> {
    let now = world.now;
    for item in world.items.values_mut() {
        let Some(here) = seen.get_mut(&item.runtime) else { continue };
        match here.remove(&item.id) {
            Some(mut seen) => {
                if !measured.contains(&item.runtime) {
                    seen.resident = seen.resident.map(|_| item.resident());
                }
                take_in(item, seen, now);
            }
            // What is being started may come to be there after this look.
            None if item.start == Start::Running && item.sight == Sight::Unknown => {}
            None => item.sight = Sight::Absent,
        }
    }
    leaving::take_in(world, &seen, measured);
    seen.into_values().flat_map(BTreeMap::into_values).collect()
}

/// What one sighting says of one instance. Lines and memory that grow are signs of progress.
pub fn take_in(item: &mut Item, seen: Seen, now: Timestamp) {
    if seen.log_lines != item.log_lines || seen.resident.unwrap_or_default() > item.resident() {
        item.log_lines = seen.log_lines;
        item.progress_at = now;
    }
    item.seen_at = Some(now);
    item.pulse.look(seen.cpu, now);
    item.grow(seen.resident.unwrap_or_default());
    item.sight = match seen.state {
        SeenState::Running | SeenState::Stopping => Sight::Running { pid: seen.pid, resident: seen.resident },
        SeenState::Exited(exit) => Sight::Exited(exit),
    };
}
