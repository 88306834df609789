//! Engines of ours that nobody wants any more and that have not ended: what do they still hold?
//!
//! In: what runs and belongs to no instance, such as an engine that was on its way out when Penstock died. Out: who it was, and how much
//! of which device it has until it has ended. Pure. To the ledger these are ours: taken for strangers, their bytes would count as the work
//! that memory was set aside for, and be given away twice.

use std::collections::BTreeSet;

use base::ByteSize;
use spec::{Grant, InstanceId, Name, RuntimeKind, Seen, SeenState};

use crate::observe::Sightings;
use crate::world::World;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Its id.
    pub id: InstanceId,
    /// Its deployment, which may be gone.
    pub deployment: Name,
    /// Where it runs.
    pub runtime: RuntimeKind,
    /// The devices that it was given.
    pub grant: Grant,
    /// Its process.
    pub pid: Option<u32>,
    /// Memory that it has, as far as it can be seen.
    pub resident: ByteSize,
}

impl Leaving {
    /// What is kept for it until it has ended.
    pub fn memory(&self) -> ByteSize {
        self.grant.total()
    }
    fn of(seen: &Seen, runtime: RuntimeKind, resident: ByteSize) -> Self {
        let order = &seen.order;
        let mut grant = order.grant.clone();
        let more = resident.saturating_sub(grant.total());
        let on_card = grant.gpus().next().is_some();
        if let Some(host) = grant.shares.iter_mut().find(|share| share.kind.is_host()).filter(|_| !on_card) {
            host.bytes += more; // it has more than it was given, and on no card
        }
        Self { id: order.instance.clone(), deployment: order.deployment.clone(), runtime, grant, pid: seen.pid, resident }
    }
}

/// Takes in who runs and belongs to no instance. What a runtime showed that could not be read now is as it was; so is the memory of
/// engines whose machine was not `measured` since, or what they have taken by now would count as free as well.
pub(crate) fn take_in(world: &mut World, seen: &Sightings, measured: &BTreeSet<RuntimeKind>) {
    let before = std::mem::take(&mut world.leaving);
    let had = |id: &InstanceId| before.iter().find(|one| one.id == *id).map_or(ByteSize(0), |one| one.resident);
    let unread = before.iter().filter(|one| !seen.contains_key(&one.runtime)).cloned();
    let living = seen.iter().flat_map(|(kind, here)| here.values().map(move |one| (*kind, one)));
    let living = living.filter(|(_, one)| !matches!(one.state, SeenState::Exited(_))).map(|(kind, one)| {
        let resident = if measured.contains(&kind) { one.resident.unwrap_or_default() } else { had(&one.order.instance) };
        Leaving::of(one, kind, resident)
    });
    world.leaving = unread.chain(living).collect();
}
