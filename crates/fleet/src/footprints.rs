//! What instances were seen to take, and what the next of their kind is therefore given.
//!
//! In: how much memory instances are seen to have. Out: the most that any of the same model, engine build,
//! arguments and device had; from then on it stands in place of the estimate. A card counts where it computes all layers. Fails: a store that cannot take
//! one is logged, and the next of its kind is estimated. An instance counts once it has served a call or has been ready
//! for [`SETTLED`]: before, it may not have touched all that it will. What was seen can only rise, so a model
//! that once needed more is never squeezed into less.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use spec::{EngineKind, Phase, Revision};
use store::FootprintKey;

use crate::turn::Owner;
use crate::world::{Item, Room, Sight, World};

/// An instance that nobody has called takes what it takes after this time.
const SETTLED: Duration = Duration::from_secs(30);
/// What a driver says of a process is as new as this, or newer.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Less than one part in so many more than what is known is not written down.
const WORTH_NOTING: u64 = 100;
/// The device of which processes have their memory.
const MAIN_MEMORY: &str = "ram";

/// What is known of earlier instances.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    seen: BTreeMap<FootprintKey, ByteSize>,
    builds: BTreeMap<EngineKind, String>,
}

impl Footprints {
    /// What an earlier Penstock has stored.
    pub(crate) fn of(stored: Vec<(FootprintKey, ByteSize)>) -> Self {
        Self { seen: stored.into_iter().collect(), builds: BTreeMap::new() }
    }
    /// The next instance of this engine will be of this build.
    pub(crate) fn next_build(&mut self, engine: EngineKind, build: String) {
        self.builds.insert(engine, build);
    }
    /// What an instance of this revision takes in main memory: as it was measured, or `None` when none was.
    pub fn measured(&self, revision: &Revision) -> Option<ByteSize> {
        let build = self.builds.get(&revision.spec.engine())?;
        let seen = self.seen.get(&key(revision, build)?)?;
        Some(*seen + ByteSize(seen.0 / WORTH_NOTING)) // as much more may have been seen and not written down
    }
    /// What one of this revision takes of a card that computes all of its layers: the most that any card was seen to give.
    pub fn measured_on_card(&self, revision: &Revision) -> Option<ByteSize> {
        let ram = key(revision, self.builds.get(&revision.spec.engine())?)?;
        let same = |key: &FootprintKey| (&key.digest, &key.build, &key.arguments) == (&ram.digest, &ram.build, &ram.arguments);
        let seen = self.seen.iter().filter(|(key, _)| key.device != MAIN_MEMORY && same(key)).map(|(_, bytes)| *bytes).max()?;
        Some(seen + ByteSize(seen.0 / WORTH_NOTING))
    }
    /// The same, or as it is estimated.
    pub fn memory(&self, revision: &Revision) -> ByteSize {
        let estimate = || engine::engine(revision.spec.engine()).memory(revision.version.as_ref(), &revision.spec).total();
        self.measured(revision).unwrap_or_else(estimate)
    }
}

/// The item holds what was measured, where something was.
pub(crate) fn recall(footprints: &Footprints, item: &mut Item) {
    if let Some(measured) = footprints.measured(&item.revision) {
        item.memory = measured;
        item.measured = true;
    }
    item.on_card = footprints.measured_on_card(&item.revision);
}

/// Writes down what instances were seen to take.
pub(crate) async fn note(owner: &mut Owner) {
    let now = owner.world.now;
    let grown = owner.world.items.values_mut().filter(|item| is_more(item.peak, item.noted) && counts(item, now));
    let seen = grown.filter_map(|item| {
        item.noted = item.peak;
        Some((key(&item.revision, &item.build)?, item.peak))
    });
    let mut seen: Vec<(FootprintKey, ByteSize)> = seen.collect();
    let World { items, room, .. } = &mut owner.world;
    let told = |item: &Item| is_settled(item, now) && item.ready_at.is_some_and(|at| now.since(at) >= TOLD_WITHIN);
    for item in items.values_mut().filter(|item| told(item)) {
        if let Some((card, bytes)) = on_card(item, room).filter(|(_, bytes)| is_more(*bytes, item.noted)) {
            item.noted = bytes;
            seen.extend(key(&item.revision, &item.build).map(|key| (FootprintKey { device: card, ..key }, bytes)));
        }
    }
    for (key, peak) in seen {
        if owner.world.footprints.seen.get(&key).is_some_and(|before| !is_more(peak, *before)) {
            continue;
        }
        match owner.store.put_footprint(&key, peak).await {
            Ok(()) => learn(&mut owner.world, key, peak),
            Err(error) => tracing::warn!(error = base::chain(&error), "a footprint could not be stored; the next of its kind is estimated"),
        }
    }
}

fn learn(world: &mut World, key: FootprintKey, peak: ByteSize) {
    let digest = key.digest.clone();
    world.footprints.seen.insert(key, peak);
    let World { wishes, footprints, .. } = world;
    let is_it = |revision: &Arc<Revision>| revision.version.as_ref().is_some_and(|version| version.digest == digest);
    for name in wishes.that(|wish| wish.revision().is_some_and(is_it)) {
        if let Some(wish) = wishes.get_mut(&name) {
            wish.memory = wish.revision().map_or(wish.memory, |revision| footprints.memory(revision));
        }
    }
}

fn is_more(now: ByteSize, before: ByteSize) -> bool {
    now.0 > before.0.saturating_add(before.0 / WORTH_NOTING)
}

/// The card that computes all of its layers, with what its driver says that the process has there. Of several cards the shares are
/// as they are estimated, since another split would take others.
fn on_card(item: &Item, room: &Room) -> Option<(String, ByteSize)> {
    let mut cards = item.grant.gpus();
    let (card, None) = (cards.next()?, cards.next()) else { return None };
    let Sight::Running { pid: Some(pid), .. } = item.sight else { return None };
    let node = room.nodes.iter().find(|node| node.name == item.grant.node)?;
    let bytes = node.device(&card.device)?.used_by(pid).filter(|bytes| is_more(*bytes, item.noted))?;
    let revision = &item.revision;
    let layers = engine::engine(item.engine).needs(revision.version.as_ref(), &revision.spec).layers.len();
    (usize::try_from(card.layers) == Ok(layers)).then(|| (card.device.clone(), bytes))
}

/// Whether all of its memory can be seen, and it has touched it.
fn counts(item: &Item, now: Timestamp) -> bool {
    is_settled(item, now) && item.peak > ByteSize(0) && item.grant.gpus().next().is_none()
}

/// Whether it has touched all that it will.
fn is_settled(item: &Item, now: Timestamp) -> bool {
    let served = item.used.in_flight == 0 && item.used.last_used.is_some();
    let settled = item.ready_at.is_some_and(|at| now.since(at) >= SETTLED);
    let up = matches!(item.phase, Phase::Ready | Phase::Draining);
    up && (served || settled)
}

fn key(revision: &Revision, build: &str) -> Option<FootprintKey> {
    let version = revision.version.as_ref()?;
    let known = !build.is_empty();
    known.then(|| FootprintKey {
        digest: version.digest.clone(),
        build: build.to_owned(),
        arguments: engine::arguments(version, &revision.spec),
        device: MAIN_MEMORY.to_owned(),
    })
}
