//! Who holds how many bytes of which device, and what is left of each.
//!
//! In: the [`World`]. Out: for each device three numbers: what is left now, what could be left once
//! everything has left that may ever be made to leave, and what there is at all. Pure. Less than what a
//! device itself shows as free is never counted twice: bytes that were promised to an engine and not yet
//! taken are free to the device and not to us; what strangers use is not free to either. The memory budget
//! is one more device, of which everything takes its bytes.

use std::collections::{BTreeMap, BTreeSet};

use base::ByteSize;
use spec::{Allocation, Device, Grant, InstanceId, Name, Node, Phase};

use crate::leaving::Leaving;
use crate::world::{Item, Room, Sight, World};

/// A device whose memory cannot be read does not limit anybody.
const UNKNOWN: i64 = i64::MAX / 4;

/// All devices of all machines, with who holds what.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// In the order of the room.
    pub lines: Vec<Line>,
    /// Left now, by device; below zero where more was given than there is now.
    pub now: Vec<i64>,
    /// The same once all have left that may ever be made to.
    pub later: Vec<i64>,
    /// The same of empty machines.
    pub ever: Vec<i64>,
}

/// One device, and what is held of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its machine; none is the budget of all machines together.
    pub node: Option<String>,
    /// The device.
    pub device: Device,
    /// Held by our instances, and by engines of ours that are on their way out.
    pub held: ByteSize,
    /// What of it the device does not show as used yet.
    pub promised: ByteSize,
    /// Set aside for work that is not ours.
    pub reserved: ByteSize,
    /// What of that the device does not show as used yet.
    pub awaited: ByteSize,
    /// Used by strangers.
    pub foreign: ByteSize,
}

impl Ledger {
    /// How it stands in this world.
    pub fn of(world: &World) -> Self {
        let mut ledger = Self::empty(&world.room);
        let staying = staying(world);
        let mut movable = vec![0; ledger.lines.len()];
        let items = world.items.values().filter(|item| item.holds_memory());
        let items = items.map(|item| (ledger.of_item(item), Process::from(item), !staying.contains(&item.id)));
        let leaving = world.leaving.iter().map(|one| (ledger.of_leaving(one), Process::from(one), true));
        for (all, process, moves) in items.chain(leaving).collect::<Vec<_>>() {
            for (at, bytes) in all {
                let Some(line) = ledger.lines.get_mut(at) else { continue };
                line.held += bytes;
                line.promised += bytes.saturating_sub(process.taken(&line.device, bytes));
                if let Some(sum) = movable.get_mut(at).filter(|_| moves) {
                    *sum += signed(bytes);
                }
            }
        }
        ledger.set_aside(world);
        for (at, line) in ledger.lines.iter().enumerate() {
            let left = line.left(world.room.margin);
            ledger.ever.push(line.ever(world.room.margin));
            ledger.now.push(left);
            ledger.later.push(left.saturating_add(movable.get(at).copied().unwrap_or(0)));
        }
        ledger
    }

    fn empty(room: &Room) -> Self {
        let of = |node: Option<&Node>, device: Device| Line {
            node: node.map(|node| node.name.clone()),
            device,
            held: ByteSize(0),
            promised: ByteSize(0),
            reserved: ByteSize(0),
            awaited: ByteSize(0),
            foreign: ByteSize(0),
        };
        let devices = room.nodes.iter().flat_map(|node| node.devices.iter().map(move |device| of(Some(node), device.clone())));
        let budget = room.budget.map(|budget| of(None, Device::new("budget", spec::DeviceKind::Ram, budget, budget)));
        Self { lines: devices.chain(budget).collect(), ..Self::default() }
    }

    /// Takes in what strangers use, and what was set aside for them.
    fn set_aside(&mut self, world: &World) {
        for line in self.lines.iter_mut().filter(|line| line.node.is_some()) {
            line.foreign = line.device.used().saturating_sub(line.held.saturating_sub(line.promised));
            let for_it = |one: &&Allocation| one.is_of(line.node.as_deref(), &line.device.id) && one.holds(world.date());
            let all: Vec<&Allocation> = world.room.allocations.iter().filter(for_it).collect();
            line.reserved = all.iter().map(|one| one.bytes).sum();
            let before = all.iter().map(|one| one.foreign).min().unwrap_or_default();
            line.awaited = line.reserved.saturating_sub(line.foreign.saturating_sub(before));
        }
    }

    /// Where the budget stands, if there is one.
    pub fn budget(&self) -> Option<usize> {
        self.lines.iter().position(|line| line.node.is_none())
    }

    fn host(&self) -> Option<usize> {
        self.lines.iter().position(|line| line.node.is_some() && line.device.kind.is_host())
    }

    /// Where a device stands.
    pub fn find(&self, node: &str, device: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.node.as_deref() == Some(node) && line.device.id == device)
    }

    /// What an instance holds, by device. One that was given nothing by name holds main memory.
    pub fn of_item(&self, item: &Item) -> Vec<(usize, ByteSize)> {
        self.of_grant(&item.grant, item.memory)
    }

    /// The same of an engine that belongs to no instance any more.
    pub fn of_leaving(&self, one: &Leaving) -> Vec<(usize, ByteSize)> {
        self.of_grant(&one.grant, one.memory())
    }

    fn of_grant(&self, grant: &Grant, memory: ByteSize) -> Vec<(usize, ByteSize)> {
        let mut all: Vec<(usize, ByteSize)> = if grant.shares.is_empty() {
            self.host().map(|at| (at, memory)).into_iter().collect()
        } else {
            // A machine that was renamed, or whose memory is called otherwise since, still has it.
            let find = |share: &spec::Share| self.find(&grant.node, &share.device).or_else(|| self.host().filter(|_| share.kind.is_host()));
            grant.shares.iter().filter_map(|share| Some((find(share)?, share.bytes))).collect()
        };
        all.extend(self.budget().map(|at| (at, memory)));
        all
    }

    /// So much of each of these is given away, or kept for somebody.
    pub fn take(&mut self, bytes: &[(usize, i64)]) {
        for (at, bytes) in bytes {
            for left in [&mut self.now, &mut self.later] {
                if let Some(left) = left.get_mut(*at) {
                    *left = left.saturating_sub(*bytes);
                }
            }
        }
    }
}

impl Line {
    /// Left now: of what there is in all, and of what the device itself shows as free.
    fn left(&self, margin: ByteSize) -> i64 {
        let of_all = self.ever(margin).saturating_sub(signed(self.held + self.reserved));
        if self.node.is_none() || self.device.total == ByteSize(0) {
            return of_all;
        }
        of_all.min(signed(self.device.free).saturating_sub(signed(self.promised + self.awaited + margin)))
    }
    /// Of an empty machine.
    fn ever(&self, margin: ByteSize) -> i64 {
        if self.node.is_some() && self.device.total == ByteSize(0) {
            return UNKNOWN;
        }
        signed(self.device.total.saturating_sub(margin))
    }
}

/// Bytes that may be missing.
pub(crate) fn signed(bytes: ByteSize) -> i64 {
    i64::try_from(bytes.0).unwrap_or(UNKNOWN)
}

/// What can be seen of a process that was given memory.
struct Process<'a> {
    grant: &'a Grant,
    pid: Option<u32>,
    resident: ByteSize,
    is_up: bool,
}

impl Process<'_> {
    /// What it has taken of what it was given, as far as it can be seen.
    fn taken(&self, device: &Device, given: ByteSize) -> ByteSize {
        if device.kind.is_host() && self.grant.gpus().next().is_none() {
            return self.resident.min(given);
        }
        // A card's driver may not know processes by the numbers that they have here, or not tell; but what is up has all that it needs.
        if self.is_up {
            return given;
        }
        self.pid.and_then(|pid| device.used_by(pid)).unwrap_or_default().min(given)
    }
}

impl<'a> From<&'a Item> for Process<'a> {
    fn from(item: &'a Item) -> Self {
        let pid = match &item.sight {
            Sight::Running { pid, .. } => *pid,
            Sight::Unknown | Sight::Absent | Sight::Exited(_) => None,
        };
        Self { grant: &item.grant, pid, resident: item.resident(), is_up: !item.phase.is_rising() && item.ready_at.is_some() }
    }
}

impl<'a> From<&'a Leaving> for Process<'a> {
    fn from(one: &'a Leaving) -> Self {
        Self { grant: &one.grant, pid: one.pid, resident: one.resident, is_up: false } // nobody knows how far it had come
    }
}

/// Those that are never made to leave: the pinned, and of each deployment as many as it has at least.
pub(crate) fn staying(world: &World) -> BTreeSet<InstanceId> {
    let mut left: BTreeMap<&Name, u32> = BTreeMap::new();
    let mut staying = BTreeSet::new();
    // Who waits for room may have that of its own predecessors, whatever the deployment has at least.
    let newer: BTreeMap<&Name, u64> =
        world.items.values().filter(|item| item.waits_for_room()).map(|item| (&item.deployment, item.revision.number)).collect();
    let is_old = |item: &&Item| newer.get(&item.deployment).is_some_and(|number| item.revision.number < *number);
    let serving = world.items.values().filter(|item| item.is_serving() && !item.waits_for_room());
    let mut items: Vec<&Item> = serving.filter(|item| !is_old(item)).collect();
    items.sort_by_key(|item| (item.phase != Phase::Ready, std::cmp::Reverse(item.last_of_use())));
    for item in items {
        let floor = || match world.wishes.get(&item.deployment) {
            Some(wish) if wish.record.spec.pinned => u32::MAX,
            Some(wish) => wish.bounds(world.date()).0,
            None => 0,
        };
        let needed = left.entry(&item.deployment).or_insert_with(floor);
        if *needed > 0 {
            *needed -= 1;
            staying.insert(item.id.clone());
        }
    }
    staying
}
