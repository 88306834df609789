//! Takes in what became of what was done.
//!
//! In: reports of the owner's own tasks. Out: a changed world. A report of something that is no
//! longer wanted changes nothing but what is known of it. Fails: a revision that cannot be stored
//! is one that cannot be served, since it could not be found again.

use std::sync::Arc;
use std::time::Duration;

use base::{Fault, Timestamp};
use spec::{HttpVersion, InstanceId, Name, Order, Phase, Reason, ReasonCode, Revision, RuntimeKind};

use crate::launch::Unstarted;
use crate::probe::Watched;
use crate::sleep::Nap;
use crate::turn::{Owner, Which};
use crate::world::{Health, Item, Resolve, Start, Wish};
use crate::{act, follow, probe, steps};

/// A wish that could not be frozen is tried again after this time.
const RESOLVE_AGAIN: Duration = Duration::from_secs(10);

/// A wish was frozen, or could not be.
pub(crate) async fn resolved(owner: &mut Owner, which: &Which, result: Result<Arc<Revision>, Reason>) {
    let engine = result.as_ref().map(|revision| revision.spec.engine());
    if let Some((engine, build)) = engine.ok().and_then(|engine| Some((engine, owner.yard.programs.version(engine)?))) {
        owner.world.footprints.next_build(engine, build);
    }
    let memory = result.as_ref().map(|revision| owner.world.footprints.memory(revision)).unwrap_or_default();
    let is_it = |wish: &&mut Wish| wish.record.generation == which.generation && wish.record.created_at == which.created_at;
    if let (Ok(revision), Some(wish)) = (&result, owner.world.wishes.get_mut(&which.name).filter(is_it)) {
        let (revision, record) = (Arc::clone(revision), wish.record.clone());
        if follow::is_another(owner, &record, &revision).await {
            // The next generation is frozen instead; where there is none, because it was deleted or changed meanwhile, it is
            // frozen again should it come back as it was.
            if let Some(wish) = owner.world.wishes.get_mut(&which.name).filter(is_it) {
                wish.resolve = Resolve::Pending;
            }
            return;
        }
    }
    let Some(wish) = owner.world.wishes.get_mut(&which.name).filter(is_it) else { return };
    let result = match result {
        Ok(revision) => {
            let stored = owner.store.put_revision(&which.name, &revision, &wish.record.cause).await;
            stored.map(|()| revision).map_err(|error| unstored(&error))
        }
        Err(reason) => Err(reason),
    };
    match result {
        Ok(revision) => {
            wish.resolve = Resolve::Done(Arc::clone(&revision));
            wish.memory = memory;
            steps::frozen(owner, &which.name, &revision).await;
            watch_anew(owner, &which.name);
            // Its tag may have moved while it was being frozen.
            if let Err(error) = follow::hold_against(owner, &which.name).await {
                tracing::warn!(deployment = %which.name, error, "it could not be held against its tag; a later turn tries again");
                owner.followed = None;
            }
        }
        Err(reason) => {
            tracing::warn!(deployment = %which.name, reason = reason.message, "the model cannot be served");
            wish.resolve = Resolve::Failed(reason, Timestamp::steady().plus(RESOLVE_AGAIN));
        }
    }
}

fn unstored(error: &store::Error) -> Reason {
    Reason::new(ReasonCode::Progressing, base::chain(error), error.hint().unwrap_or_default())
}

/// A start has been handed to its runtime, or failed.
pub(crate) fn started(owner: &mut Owner, id: &InstanceId, result: Result<Order, Unstarted>) {
    let Some(item) = owner.world.items.get_mut(id) else { return };
    match result {
        Ok(order) => {
            item.start = Start::Done;
            item.fence = order.fence;
            item.build = order.build;
            item.endpoint = Some(order.endpoint);
            item.progress_at = Timestamp::steady();
            if item.phase == Phase::Starting {
                watch(owner, id);
            }
        }
        Err(Unstarted::Failed(reason)) => item.start = Start::Failed(reason),
        Err(Unstarted::Changed(reason)) => {
            item.start = Start::Failed(reason.clone());
            changed(owner, id, reason);
        }
    }
}

/// The files of one that is to wake were looked at.
pub(crate) fn at_hand(owner: &mut Owner, id: &InstanceId, result: Result<(), Unstarted>) {
    match result {
        Ok(()) if owner.world.items.get(id).is_some_and(|item| item.nap == Nap::Waking) => {
            owner.probes.get(id).into_iter().for_each(Watched::wake);
        }
        Ok(()) => {} // it goes
        Err(Unstarted::Changed(reason)) => changed(owner, id, reason),
        Err(Unstarted::Failed(reason)) => make_way(owner, id, reason),
    }
}

/// The files of its version are not what they were. What its wish means is looked at anew: another version is another revision; where there is
/// none the wish says why, and what runs goes on. Of a revision that is gone back to there is no other version, so there the start has failed.
fn changed(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    let Some(item) = owner.world.items.get(id) else { return };
    let Some(wish) = owner.world.wishes.get_mut(&item.deployment) else { return };
    let is_wanted = wish.record.generation == item.revision.number;
    if is_wanted && matches!(wish.resolve, Resolve::Done(_)) {
        wish.resolve = Resolve::Pending;
    }
    if is_wanted || item.phase != Phase::Starting {
        make_way(owner, id, reason);
    }
}

/// Unless it does already.
fn make_way(owner: &mut Owner, id: &InstanceId, reason: Reason) {
    if owner.world.items.get(id).is_some_and(|item| item.phase.is_rising()) {
        act::go(owner, id, Phase::Draining, Some(reason));
    }
}

/// Begins to ask an instance whether it is up.
pub(crate) fn watch(owner: &mut Owner, id: &InstanceId) {
    let Some(item) = owner.world.items.get(id) else { return };
    let Some(endpoint) = item.endpoint.clone() else { return };
    let spec = &item.revision.spec;
    let key = match item.runtime {
        RuntimeKind::Process => Some(item.key.clone()),
        RuntimeKind::External => spec.key_from().and_then(|from| (owner.secrets)(from)),
    };
    let http2 = spec.http_version == Some(HttpVersion::Http2);
    let engine = engine::engine(item.engine);
    let (outbound, sleeps, fills) = (owner.outbound.clone(), spec.replicas.sleep_after.is_some(), fills(item));
    let asks = engine.probe();
    #[cfg(test)]
    let asks = engine::Probe { sleep: asks.sleep.or_else(crate::tests::owner::sleep), ..asks };
    let target = probe::Target { id: id.clone(), engine, endpoint, key, probe: asks, http2, sleeps, fills, outbound };
    let watched = probe::Watched::new(target, owner.messages.clone());
    owner.probes.insert(id.clone(), watched);
}

/// Somebody goes by how full its cache is.
fn fills(item: &Item) -> bool {
    item.revision.spec.replicas.target.kv_use.is_some()
}

/// Those that stay may serve a wish by now that wants to know something else of them.
fn watch_anew(owner: &mut Owner, name: &Name) {
    let is_other = |item: &&Item| owner.probes.get(&item.id).is_some_and(|watched| watched.fills != fills(item));
    let others: Vec<InstanceId> = owner.world.items_of(name).filter(is_other).map(|item| item.id.clone()).collect();
    for id in others {
        watch(owner, &id);
    }
}

/// Keys of remote engines may say something else: their wishes are looked at anew, and their probes show what they say now.
pub(crate) fn keys_changed(owner: &mut Owner) {
    let now = Timestamp::steady();
    let with_key = |(name, wish): (&Name, &Wish)| wish.record.spec.key_from().is_some().then(|| name.clone());
    let names: Vec<Name> = owner.world.wishes.iter().filter_map(with_key).collect();
    for name in &names {
        if let Some(Resolve::Failed(_, again)) = owner.world.wishes.get_mut(name).map(|wish| &mut wish.resolve) {
            *again = now;
        }
    }
    let remote = |(id, item): (&InstanceId, &Item)| item.revision.spec.key_from().is_some().then(|| id.clone());
    let watched: Vec<InstanceId> = owner.world.items.iter().filter_map(remote).filter(|id| owner.probes.contains_key(id)).collect();
    for id in watched {
        watch(owner, &id);
    }
}

/// A probe's answer changed.
pub(crate) fn probed(owner: &mut Owner, id: &InstanceId, health: Health) {
    if let Some(item) = owner.world.items.get_mut(id) {
        item.health = health;
    }
}

/// An end could not be asked for: it is asked for again.
pub(crate) fn not_stopped(owner: &mut Owner, id: &InstanceId) {
    owner.strangers.remove(id);
    if let Some(item) = owner.world.items.get_mut(id) {
        item.stop_asked = None;
    }
}
