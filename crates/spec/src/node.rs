//! Machines and their accelerators or memory, and what of them is set aside.

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

base::id! {
    /// The id of an allocation.
    AllocationId
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// Cores that may be used.
    pub cores: u32,
    /// What holds models.
    pub devices: Vec<Device>,
}

/// Something with memory that a model can be put into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `ram`, `cuda:GPU-5a1f…`, `rocm:GPU-7c…`: the same whatever the order in which the machine finds them.
    pub id: String,
    /// What it is.
    pub kind: DeviceKind,
    /// What people call it: `0: NVIDIA H200`; empty when it has no other name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// All of its memory.
    pub total: ByteSize,
    /// Free now, by its own word.
    pub free: ByteSize,
    /// Who uses how much of it, where it can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// What engines call it, where that does not follow from its kind: `Vulkan0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_name: Option<String>,
    /// Percent of the last moment in which it computed, where its driver tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<u32>,
}

/// Memory of a device that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The process.
    pub pid: u32,
    /// So much.
    pub bytes: ByteSize,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Main memory.
    Ram,
    /// A graphics card of NVIDIA.
    Cuda,
    /// A graphics card of AMD.
    Rocm,
    /// Another accelerator.
    Gpu,
    /// Main memory that a graphics unit works in as well: one pool for both.
    Unified,
}

/// Memory that is set aside for work that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Its id.
    pub id: AllocationId,
    /// On which machine.
    pub node: String,
    /// On which of its devices.
    pub device: String,
    /// So much.
    pub bytes: ByteSize,
    /// For whom, in their own words.
    pub holder: String,
    /// Given back by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What strangers used of the device then: what they use beyond that is taken to be this work.
    #[serde(default)]
    pub foreign: ByteSize,
}

impl Allocation {
    /// Whether it is of this device.
    pub fn is_of(&self, node: Option<&str>, device: &str) -> bool {
        node == Some(self.node.as_str()) && self.device == device
    }
    /// Whether it has not been given back by itself yet.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl Node {
    /// The device of this id.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }
}

impl Device {
    /// One without a name of its own, that cannot tell who uses it.
    pub fn new(id: impl Into<String>, kind: DeviceKind, total: ByteSize, free: ByteSize) -> Self {
        let (name, uses) = (String::new(), Vec::new());
        Self { id: id.into(), kind, name, total, free: free.min(total), uses, engine_name: None, utilization: None }
    }
    /// Used by anybody.
    pub fn used(&self) -> ByteSize {
        self.total.saturating_sub(self.free)
    }
    /// Used by this process, where the device can tell.
    pub fn used_by(&self, pid: u32) -> Option<ByteSize> {
        let of_it = |one: &&Use| one.pid == pid;
        if self.uses.is_empty() { None } else { Some(self.uses.iter().filter(of_it).map(|one| one.bytes).sum()) }
    }
}

impl DeviceKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ram => "ram",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Gpu => "gpu",
            Self::Unified => "unified",
        }
    }
    /// Whether layers of a model can be computed there by something else than the processor.
    pub fn is_gpu(self) -> bool {
        self != Self::Ram
    }
    /// Whether it is a card with memory of its own.
    pub fn is_card(self) -> bool {
        matches!(self, Self::Cuda | Self::Rocm | Self::Gpu)
    }
    /// Whether the memory of processes is taken of it.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Ram | Self::Unified)
    }
}

impl std::fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
