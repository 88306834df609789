//! What stands in the ledger.
//!
//! In: who takes what, the time. Out: the sums. Fails: never; what is not there is refused, and the
//! refusal stays in the book. A device that was asked for more than it had was over-committed by
//! whoever decided to start that engine, so a test looks at [`Book::refused`].

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};
use spec::{Device, DeviceKind, Use};

use super::Holder;

/// So many refusals are kept.
const MOST_REFUSED: usize = 1_000;

/// The ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// As it looks from outside, for whoever takes the file for a list of devices; nothing while the machine is gone.
    pub devices: Vec<Device>,
    /// What there is.
    pub stock: Vec<FakeDevice>,
    /// Who has what.
    pub holds: Vec<Hold>,
    /// What was asked for and was not there.
    pub refused: Vec<Refused>,
    /// The most that was ever held at once, by device.
    pub peak: BTreeMap<String, ByteSize>,
    /// Engines that have begun, by model.
    pub begun: BTreeMap<String, u64>,
    /// The machine cannot be reached.
    pub gone: bool,
}

/// Something with memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FakeDevice {
    /// As Penstock calls it.
    pub id: String,
    /// What it is.
    pub kind: DeviceKind,
    /// All of its memory.
    pub total: ByteSize,
    /// Held by somebody else.
    pub foreign: ByteSize,
    /// Percent of the time in which it computes, where it tells.
    #[serde(default)]
    pub utilization: Option<u32>,
}

/// Bytes that somebody has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub holder: Holder,
    /// Of which device.
    pub device: String,
    /// So many.
    pub bytes: ByteSize,
    /// For what.
    pub what: String,
    /// They come back so long after its end.
    #[serde(with = "base::clock::human")]
    pub late: Duration,
    /// When it was found dead.
    pub dead_at: Option<Timestamp>,
}

/// Bytes that were not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Who asked.
    pub holder: Holder,
    /// Of which device.
    pub device: String,
    /// For so many.
    pub asked: ByteSize,
    /// When so many were free.
    pub free: ByteSize,
}

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are yours.
    Yes,
    /// There are only so many.
    No {
        /// Free bytes.
        free: ByteSize,
    },
}

impl FakeDevice {
    fn new(id: String, kind: DeviceKind, total: ByteSize) -> Self {
        Self { id, kind, total, foreign: ByteSize(0), utilization: None }
    }
    /// It tells that it computes in so many percent of the time.
    #[must_use]
    pub fn busy(self, percent: u32) -> Self {
        Self { utilization: Some(percent), ..self }
    }
    /// A graphics card of NVIDIA.
    pub fn cuda(index: usize, total: ByteSize) -> Self {
        Self::new(format!("cuda:GPU-{index}"), DeviceKind::Cuda, total)
    }
    /// A graphics card of AMD.
    pub fn rocm(index: usize, total: ByteSize) -> Self {
        Self::new(format!("rocm:GPU-{index}"), DeviceKind::Rocm, total)
    }
    /// Main memory.
    pub fn ram(total: ByteSize) -> Self {
        Self::new("ram".to_owned(), DeviceKind::Ram, total)
    }
    /// Memory that processor and graphics share.
    pub fn unified(total: ByteSize) -> Self {
        Self::new("unified".to_owned(), DeviceKind::Unified, total)
    }
}

impl Book {
    pub(super) fn new(stock: Vec<FakeDevice>) -> Self {
        let peak = stock.iter().map(|device| (device.id.clone(), ByteSize(0))).collect();
        let (devices, holds, refused, begun) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let mut book = Self { devices, stock, holds, refused, peak, begun, gone: false };
        book.show();
        book
    }
    /// Held by engines.
    pub fn held(&self, device: &str) -> ByteSize {
        self.holds.iter().filter(|hold| hold.device == device).map(|hold| hold.bytes).sum()
    }
    /// Held by one process on one device.
    pub fn held_by(&self, pid: u32, device: &str) -> ByteSize {
        let its = |hold: &&Hold| hold.device == device && hold.holder.pid == pid;
        self.holds.iter().filter(its).map(|hold| hold.bytes).sum()
    }
    /// Neither held by engines nor by others.
    pub fn free(&self, device: &str) -> ByteSize {
        let all = self.stock.iter().find(|one| one.id == device);
        all.map_or(ByteSize(0), |one| one.total.saturating_sub(one.foreign).saturating_sub(self.held(device)))
    }

    /// Brings up to date how it looks from outside.
    pub(super) fn show(&mut self) {
        let device = |one: &FakeDevice| {
            let uses = self.uses(&one.id);
            let utilization = one.utilization;
            Device { uses, utilization, ..Device::new(one.id.clone(), one.kind, one.total, self.free(&one.id)) }
        };
        self.devices = if self.gone { Vec::new() } else { self.stock.iter().map(device).collect() };
    }

    /// Who has how much of a device; a driver does not know the dead any more, though their memory may not be back.
    fn uses(&self, device: &str) -> Vec<Use> {
        let mut uses = BTreeMap::<u32, ByteSize>::new();
        for hold in self.holds.iter().filter(|hold| hold.device == device && hold.dead_at.is_none()) {
            *uses.entry(hold.holder.pid).or_default() += hold.bytes;
        }
        uses.into_iter().map(|(pid, bytes)| Use { pid, bytes }).collect()
    }

    pub(super) fn take(&mut self, hold: Hold) -> Taken {
        let free = self.free(&hold.device);
        if hold.bytes > free {
            if self.refused.len() < MOST_REFUSED {
                self.refused.push(Refused { holder: hold.holder, device: hold.device, asked: hold.bytes, free });
            }
            return Taken::No { free };
        }
        let device = hold.device.clone();
        self.holds.push(hold);
        let held = self.held(&device);
        let peak = self.peak.entry(device).or_default();
        *peak = held.max(*peak);
        Taken::Yes
    }
    pub(super) fn end(&mut self, holder: Holder, now: Timestamp) {
        for hold in self.holds.iter_mut().filter(|hold| hold.holder == holder) {
            hold.dead_at = Some(now);
        }
        self.expire(now);
    }
    /// What the dead held is free, once its time has come.
    pub(super) fn bury(&mut self, now: Timestamp) {
        for hold in self.holds.iter_mut().filter(|hold| hold.dead_at.is_none() && !hold.holder.lives()) {
            hold.dead_at = Some(now);
        }
        self.expire(now);
    }
    fn expire(&mut self, now: Timestamp) {
        self.holds.retain(|hold| hold.dead_at.is_none_or(|at| now.since(at) < hold.late));
    }
    pub(super) fn enter(&mut self, model: &str) -> u64 {
        let begun = self.begun.entry(model.to_owned()).or_default();
        *begun += 1;
        *begun
    }
    pub(super) fn set_foreign(&mut self, device: &str, bytes: ByteSize) {
        for one in self.stock.iter_mut().filter(|one| one.id == device) {
            one.foreign = bytes;
        }
    }
}
