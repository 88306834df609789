//! Machines and their accelerators or memory.

use base::ByteSize;
use serde::{Deserialize, Serialize};

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
    /// `ram`, `cuda:0`, …
    pub id: String,
    /// What it is.
    pub kind: DeviceKind,
    /// All of its memory.
    pub total: ByteSize,
    /// Free now, by its own word.
    pub free: ByteSize,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Main memory.
    Ram,
    /// A graphics card.
    Gpu,
}
