//! What an instance needs, for whoever places it.
//!
//! In: an instance, what is known of engines. Out: a [`Need`]. Pure. What was measured of an earlier one
//! stands in place of the estimate: of main memory where all of it is there, and of the buffers of a card where one computed all
//! layers.

use base::ByteSize;
use engine::Needs;
use spec::{DeviceKind, EngineKind};

use crate::place::Need;
use crate::world::{Item, Room};

/// What this instance needs.
pub(crate) fn of(item: &Item, room: &Room) -> Need {
    let revision = &item.revision;
    let usable = usable(item.engine, room);
    if usable.is_empty() {
        return Need::host(item.memory);
    }
    let needs = engine::engine(item.engine).needs(revision.version.as_ref(), &revision.spec);
    let needs = item.on_card.map_or(needs.clone(), |seen| as_seen(needs, seen));
    Need { memory: item.memory, needs, gpu_layers: revision.spec.gpu_layers, usable }
}

/// With the buffers that make all layers on one card as large as they were seen to be: tensors and context are known to the byte, so
/// what an estimate misses is there.
fn as_seen(needs: Needs, seen: ByteSize) -> Needs {
    let others = needs.devices_with(needs.layers.len(), 1).saturating_sub(needs.device);
    Needs { device: seen.saturating_sub(others), ..needs }
}

/// The kinds of devices that an engine computes on: as its program says, else all that are there.
fn usable(engine: EngineKind, room: &Room) -> Vec<DeviceKind> {
    let kinds = room.nodes.iter().flat_map(|node| &node.devices).map(|device| device.kind).filter(|kind| kind.is_gpu());
    let able = room.able.get(&engine);
    kinds.filter(|kind| able.is_none_or(|able| able.contains(kind))).collect()
}
