//! Memory that is set aside for work that is not ours.
//!
//! In: who wants how many bytes of which device. Out: an allocation that is stored and counted by whoever places
//! instances, until it is given back or its time is over. Fails: with the numbers, when there is no such device,
//! when so much will never be there, and when it is not there now: nobody is made to leave for it.

use base::{ByteSize, Timestamp};
use spec::{Allocation, AllocationId, Cause, Event, EventKind};

use crate::Error;
use crate::ledger::Ledger;
use crate::turn::Owner;

/// What somebody wants set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// On which machine.
    pub node: String,
    /// On which of its devices; main memory when not said.
    pub device: Option<String>,
    /// So much.
    pub bytes: ByteSize,
    /// For whom, in their own words.
    pub holder: String,
    /// Given back by itself then.
    pub expires_at: Option<Timestamp>,
    /// Who asks.
    pub cause: Cause,
}

/// Takes in what an earlier Penstock has stored.
pub(crate) async fn take_up(owner: &mut Owner) -> Result<(), Error> {
    owner.world.room.allocations = owner.store.list_allocations().await?;
    Ok(())
}

/// Gives back what is over.
pub(crate) async fn expire(owner: &mut Owner) {
    owner.look_at_the_clock(); // it may have been set while something else was waited for
    let now = owner.world.date();
    let over: Vec<Allocation> = owner.world.room.allocations.extract_if(.., |one| !one.holds(now)).collect();
    for one in over {
        if let Err(error) = owner.store.remove_allocation(&one.id).await {
            tracing::warn!(allocation = %one.id, error = base::chain(&error), "what is over could not be removed; the next start does it");
        }
        tell(owner, (EventKind::AllocationReleased, Cause::Schedule), &one, "its time is over");
    }
}

/// Sets it aside, if it is there.
pub(crate) async fn allocate(owner: &mut Owner, wanted: Wanted) -> Result<Allocation, Error> {
    let ledger = Ledger::of(&owner.world);
    let of_node = |line: &&crate::ledger::Line| line.node.as_deref() == Some(wanted.node.as_str());
    if !ledger.lines.iter().any(|line| of_node(&line)) {
        return Err(Error::NoNode(wanted.node));
    }
    let is_it = |line: &crate::ledger::Line| match &wanted.device {
        Some(device) => line.device.id == *device,
        None => line.device.kind.is_host(),
    };
    let found = ledger.lines.iter().enumerate().find(|(_, line)| of_node(line) && is_it(line));
    let Some((at, line)) = found else {
        return Err(Error::NoDevice { node: wanted.node, device: wanted.device.unwrap_or_default() });
    };
    let device = line.device.id.clone();
    let size = |bytes: Option<&i64>| ByteSize(bytes.and_then(|bytes| u64::try_from(*bytes).ok()).unwrap_or(0));
    let (most, free) = (size(ledger.ever.get(at)), size(ledger.now.get(at)));
    if wanted.bytes > most {
        return Err(Error::NeverFree { device, asked: wanted.bytes, most });
    }
    if wanted.bytes > free {
        return Err(Error::NotFree { device, asked: wanted.bytes, free });
    }
    let allocation = Allocation {
        id: AllocationId::random(),
        node: wanted.node,
        device,
        bytes: wanted.bytes,
        holder: wanted.holder,
        expires_at: wanted.expires_at,
        created_at: Timestamp::now(),
        foreign: line.foreign,
    };
    owner.store.put_allocation(&allocation).await?;
    owner.world.room.allocations.push(allocation.clone());
    tell(owner, (EventKind::AllocationMade, wanted.cause), &allocation, "set aside");
    Ok(allocation)
}

/// Gives it back.
pub(crate) async fn release(owner: &mut Owner, node: &str, id: &AllocationId, cause: Cause) -> Result<(), Error> {
    let allocations = &owner.world.room.allocations;
    let Some(found) = allocations.iter().find(|one| one.id == *id && one.node == node).cloned() else {
        return Err(Error::NoAllocation(id.clone()));
    };
    owner.store.remove_allocation(id).await?;
    owner.world.room.allocations.retain(|one| one.id != *id);
    tell(owner, (EventKind::AllocationReleased, cause), &found, "given back");
    Ok(())
}

fn tell(owner: &mut Owner, (kind, cause): (EventKind, Cause), one: &Allocation, what: &str) {
    let message = format!("{} of {} on {} for `{}`: {what}", one.bytes, one.device, one.node, one.holder);
    owner.story.tell(Event::now(kind, cause, message));
}
