//! When does what a service has moved from go?
//!
//! In: services, and deployments that are marked to make way. Out: such a deployment is deleted as soon as the one that its service
//! has moved to serves; until then it serves on, for ever where the new one never comes up. Where there is no room for both, the old one
//! goes once the new one has waited for a while. Fails: what cannot be read or stored now is tried again. Holds: nothing; all that it
//! goes by is stored, so it goes on after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Timestamp, chain};
use fleet::Snapshot;
use spec::{Cause, Event, EventKind, Name, Phase, ReasonCode, Record};

use super::LABEL;
use crate::House;
use crate::watch::closed;

/// The label of one that makes way.
pub(super) const LEAVES: &str = "modserv.leaves";
/// Whoever has waited for room so long does not get it beside the old one.
const NO_ROOM_FOR: Duration = Duration::from_secs(5);
/// Changes of so long a time are looked at together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Looks at every turn of the fleet, until the server stops.
pub(crate) fn follow(house: &House) -> Task {
    let house = House::clone(house);
    tasks::spawn("services that move", async move {
        let mut turns = house.fleet.watch();
        let mut closed = std::pin::pin!(closed(house.closing.clone()));
        loop {
            let seen = Arc::clone(&turns.borrow_and_update());
            for (id, names) in leaving(&seen) {
                if let Err(error) = make_way(&house, &seen, (id, &names)).await {
                    tracing::warn!(
                        service = id,
                        error = chain(&error),
                        "what the service has moved from could not be deleted; tried again at the fleet's next turn"
                    );
                }
            }
            tokio::select! {
                () = &mut closed => return,
                changed = turns.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(TOGETHER).await;
        }
    })
}

/// Deployments that make way, by the id of their service.
fn leaving(seen: &Snapshot) -> BTreeMap<&str, Vec<&Name>> {
    let mut all: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
    for record in seen.deployments.values().map(|view| &view.record).filter(|record| !record.deleting && leaves(record)) {
        if let Some(id) = record.spec.labels.get(LABEL) {
            all.entry(id).or_default().push(&record.spec.name);
        }
    }
    all
}

/// Whether it makes way.
pub(super) fn leaves(record: &Record) -> bool {
    record.spec.labels.contains_key(LEAVES)
}

async fn make_way(house: &House, seen: &Snapshot, (id, names): (&str, &[&Name])) -> Result<(), store::Error> {
    let Some(service) = house.store.get_service(id).await? else { return Ok(()) };
    let new = &service.deployment;
    if !(serves(seen, new) || has_no_room(seen, new)) {
        return Ok(());
    }
    for name in names.iter().copied().filter(|name| *name != new) {
        // It may have been changed since the fleet saw it.
        let is_it = |record: &Record| !record.deleting && leaves(record);
        if !house.store.get_deployment(name).await?.as_ref().is_some_and(is_it) {
            continue;
        }
        let Some(record) = house.store.mark_deployment_deleting(name).await? else { continue };
        if !leaves(&record) {
            house.store.put_deployment(&record.spec, record.origin, None).await?; // somebody has just moved the service back to it
            continue;
        }
        let message = format!("`{name}` is deleted: its service has moved to `{new}`");
        house.fleet.tell(Event::now(EventKind::DeploymentDeleting, Cause::Penstock, message).of(name)).await;
        house.fleet.poke();
    }
    Ok(())
}

/// As many instances of it serve as there are always to be.
fn serves(seen: &Snapshot, name: &Name) -> bool {
    let is_up = |view: &fleet::DeploymentView| !view.record.deleting && view.ready >= view.record.spec.replicas.min.max(1);
    seen.deployments.get(name).is_some_and(|view| is_up(view))
}

/// It waits for room, and has for long.
fn has_no_room(seen: &Snapshot, name: &Name) -> bool {
    let now = Timestamp::now();
    let lacks = |reason: &spec::Reason| reason.code == ReasonCode::NoRoom;
    let mut ours = seen.instances.iter().filter(|instance| instance.deployment == *name && instance.phase == Phase::Placing);
    ours.any(|instance| instance.reason.as_ref().is_some_and(lacks) && now.since(instance.since) >= NO_ROOM_FOR)
}
