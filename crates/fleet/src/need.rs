//! What an instance needs, for whoever places it.
//!
//! In: an instance, what is known of engines. Out: a [`Need`]. Pure. What was measured of an earlier one
//! stands in place of the estimate where all of it is in main memory; on cards the pieces are as they are
//! estimated.

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
    Need { memory: item.memory, needs, gpu_layers: revision.spec.gpu_layers, usable }
}

/// The kinds of devices that an engine computes on: as its program says, else all that are there.
fn usable(engine: EngineKind, room: &Room) -> Vec<DeviceKind> {
    let kinds = room.nodes.iter().flat_map(|node| &node.devices).map(|device| device.kind).filter(|kind| kind.is_gpu());
    let able = room.able.get(&engine);
    kinds.filter(|kind| able.is_none_or(|able| able.contains(kind))).collect()
}
