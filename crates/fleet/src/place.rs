//! Whether an instance fits, and if not, whether it ever can.
//!
//! In: what it needs, the room, the ledger. Out: a [`Fit`] with the numbers. Pure. "Fits" means
//! `held + need + margin <= budget` and that the device itself shows the bytes free, less what was
//! promised to engines that have not taken it yet.

use base::ByteSize;
use spec::DeviceKind;

use crate::world::Room;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It fits now.
    Fits,
    /// It would fit if so many bytes were given back.
    NoRoom {
        /// What it needs.
        need: ByteSize,
        /// What must be given back.
        missing: ByteSize,
        /// What there is in all.
        budget: ByteSize,
    },
    /// It will never fit here.
    Never {
        /// What it needs.
        need: ByteSize,
        /// What there is in all, less the margin.
        budget: ByteSize,
    },
}

/// Who holds how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By everything that was started and has not ended.
    pub held: ByteSize,
    /// What of it no device shows as used yet.
    pub promised: ByteSize,
}

impl Ledger {
    /// One more is to be started.
    pub fn add(&mut self, need: ByteSize) {
        self.held += need;
        self.promised += need;
    }
}

/// Whether `need` more fits beside what is held.
pub fn place(need: ByteSize, room: &Room, ledger: Ledger) -> Fit {
    let total = memory(room, |device| device.total);
    let budget = room.budget.unwrap_or(total).saturating_sub(room.margin);
    if need > budget {
        return Fit::Never { need, budget };
    }
    let over_budget = (ledger.held + need).saturating_sub(budget);
    let free = memory(room, |device| device.free);
    let over_device = if total == ByteSize(0) { ByteSize(0) } else { (ledger.promised + need).saturating_sub(free) };
    let missing = over_budget.max(over_device);
    if missing == ByteSize(0) { Fit::Fits } else { Fit::NoRoom { need, missing, budget } }
}

fn memory(room: &Room, of: impl Fn(&spec::Device) -> ByteSize) -> ByteSize {
    room.nodes.iter().flat_map(|node| &node.devices).filter(|device| device.kind == DeviceKind::Ram).map(of).sum()
}
