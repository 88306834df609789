//! What ran before this process did, and what runs that nobody wants.
//!
//! In: sightings and the stored intents. Out: instances taken over, strangers told to end. An
//! instance is taken over only if its id, its fence and its revision are all known.

use std::sync::Arc;

use base::Timestamp;
use spec::{Cause, Event, EventKind, Phase, Revision, RuntimeKind, Seen, SeenState};
use store::Kept;

use crate::act::{ask_to_stop, new_item};
use crate::life::STOP_AGAIN;
use crate::observe::{self, Sightings};
use crate::reports::watch;
use crate::turn::Owner;
use crate::world::Start;

/// A stranger that was told to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// When.
    at: Timestamp,
    /// Whether it had ended by then; if not, it is told once more when it has, so that it is forgotten.
    ended: bool,
}

/// What runs, of every runtime. One that cannot be read ends the start: to go on without it would be to
/// take its engines for strangers.
pub(crate) async fn look(owner: &Owner) -> Result<Sightings, crate::Error> {
    let mut all = Sightings::new();
    for runtime in &owner.runtimes {
        all.insert(runtime.kind(), observe::sighting(runtime.as_ref()).await?);
    }
    Ok(all)
}

/// Takes over what ran before this process did, and what ended since unasked: an instance whose intent,
/// fence and revision are known.
pub(crate) async fn adopt(owner: &mut Owner, mut seen: Sightings) -> Result<(), crate::Error> {
    for kept in owner.store.list_instances().await? {
        let found = seen.values_mut().find_map(|here| here.get(&kept.id)).filter(|seen| seen.order.fence == kept.fence).cloned();
        let revision = owner.store.get_revision(&kept.deployment, kept.revision).await?;
        match (found, revision) {
            (Some(found), Some(revision)) if is_ours(&found.state) && owner.world.wishes.contains_key(&kept.deployment) => {
                take_over(owner, &kept, found, revision);
            }
            _ => {
                owner.store.remove_instance(&kept.id).await?;
            }
        }
    }
    Ok(())
}

/// One that was told to end is none of ours any more. Nor is one that never began, because Penstock died between its order and its
/// start: nothing is known to be wrong with it, so that another one is started at once and nothing is waited for.
fn is_ours(state: &SeenState) -> bool {
    match state {
        SeenState::Running => true,
        SeenState::Stopping => false,
        SeenState::Exited(exit) => !exit.asked && exit.spawn_error.is_none(),
    }
}

/// One that has ended is taken over as well: it fails in its first turn, with its last words for a reason.
fn take_over(owner: &mut Owner, kept: &Kept, seen: Seen, revision: Revision) {
    let now = owner.world.now;
    let runs = seen.state == SeenState::Running;
    let mut item = new_item(kept.id.clone(), Arc::new(revision), kept.key.clone(), kept.created_at.min(now));
    item.phase = Phase::Loading;
    item.cause = Cause::Penstock;
    item.since = now;
    item.start = Start::Done;
    item.fence = kept.fence;
    item.take(seen.order.grant.clone());
    item.endpoint = Some(seen.order.endpoint.clone());
    item.build.clone_from(&seen.order.build);
    observe::take_in(&mut item, seen, now);
    owner.world.items.insert(kept.id.clone(), item);
    if runs {
        let event =
            Event::now(EventKind::InstanceAdopted, Cause::Penstock, format!("{}: a running instance was found again", kept.deployment));
        owner.story.tell(Event { instance: Some(kept.id.clone()), ..event.of(&kept.deployment) });
        watch(owner, &kept.id);
    }
}

/// What runs and nobody knows is told to end, and once more when it has ended.
pub(crate) fn send_away(owner: &mut Owner, strangers: Vec<Seen>) {
    let mut before = std::mem::take(&mut owner.strangers);
    for seen in strangers {
        let id = seen.order.instance.clone();
        let kind = if seen.order.program == spec::Program::None { RuntimeKind::External } else { RuntimeKind::Process };
        let Some(runtime) = owner.runtime(kind) else { continue };
        let (now, ended) = (owner.world.now, matches!(seen.state, SeenState::Exited(_)));
        let told = before.remove(&id);
        if let Some(told) = told.filter(|told| told.ended == ended && now.since(told.at) < STOP_AGAIN) {
            owner.strangers.insert(id, told);
            continue;
        }
        if seen.state == SeenState::Running && told.is_none() {
            let event = Event::now(
                EventKind::InstanceOrphaned,
                Cause::Penstock,
                format!("{}: an instance that nobody wants is stopped", seen.order.deployment),
            );
            owner.story.tell(Event { instance: Some(id.clone()), ..event.of(&seen.order.deployment) });
        }
        owner.strangers.insert(id.clone(), Told { at: now, ended });
        ask_to_stop(owner, id, runtime);
    }
}
