//! Who holds what of the machines, as operators see it.
//!
//! In: the world. Out: each machine with its devices, and of each device who holds how much. Pure: the numbers are
//! those by which instances are placed ([`Ledger`]).

use std::collections::BTreeMap;

use base::ByteSize;
use serde::Serialize;
use spec::{Allocation, Device, Name, Node};

use crate::ledger::{Ledger, Line};
use crate::world::World;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// The machine.
    pub node: Node,
    /// What our instances hold of it.
    pub held: ByteSize,
    /// Its devices.
    pub devices: Vec<DeviceView>,
    /// What is set aside for work that is not ours.
    pub allocations: Vec<Allocation>,
}

/// A device, and who holds how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Held by our instances, by deployment.
    pub held: BTreeMap<Name, ByteSize>,
    /// What of that the device does not show as used yet.
    pub promised: ByteSize,
    /// Set aside for work that is not ours.
    pub allocated: ByteSize,
    /// Used by others than us.
    pub foreign: ByteSize,
    /// What one more instance could be given now.
    pub available: ByteSize,
}

/// The machines of this world.
pub(crate) fn nodes(world: &World) -> Vec<NodeView> {
    let ledger = Ledger::of(world);
    let mut holders: Vec<BTreeMap<Name, ByteSize>> = vec![BTreeMap::new(); ledger.lines.len()];
    let items = world.items.values().filter(|item| item.holds_memory()).map(|item| (&item.deployment, ledger.of_item(item)));
    for (name, all) in items.chain(world.leaving.iter().map(|one| (&one.deployment, ledger.of_leaving(one)))) {
        for (at, bytes) in all {
            if let Some(held) = holders.get_mut(at).filter(|_| bytes > ByteSize(0)) {
                *held.entry(name.clone()).or_default() += bytes;
            }
        }
    }
    let lines: Vec<(&Line, i64, BTreeMap<Name, ByteSize>)> =
        ledger.lines.iter().zip(ledger.now.iter().copied()).zip(holders).map(|((line, now), held)| (line, now, held)).collect();
    let of = |node: &Node| {
        let devices: Vec<DeviceView> =
            lines.iter().filter(|(line, ..)| line.node.as_deref() == Some(node.name.as_str())).map(device).collect();
        NodeView {
            held: devices.iter().flat_map(|device| device.held.values().copied()).sum(),
            devices,
            allocations: world.room.allocations.iter().filter(|one| one.node == node.name && one.holds(world.date())).cloned().collect(),
            node: node.clone(),
        }
    };
    world.room.nodes.iter().map(of).collect()
}

fn device((line, now, held): &(&Line, i64, BTreeMap<Name, ByteSize>)) -> DeviceView {
    let most = line.device.total;
    DeviceView {
        device: line.device.clone(),
        held: held.clone(),
        promised: line.promised,
        allocated: line.reserved,
        foreign: line.foreign,
        available: ByteSize(u64::try_from(*now).unwrap_or(0)).min(most),
    }
}
