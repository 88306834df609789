//! One running engine of one revision, its phase, and why it is not ready.

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::{EngineKind, RuntimeKind};
use crate::name::Name;
use crate::reason::Reason;

base::id! {
    /// The id of an instance: 16 hexadecimal digits; it names its folder, socket and keeper.
    InstanceId
}

/// Where in its life an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Decided, nothing done.
    Pending,
    /// Its files are being brought here and verified.
    Fetching,
    /// It waits for room.
    Placing,
    /// Its process is being started.
    Starting,
    /// Its engine reads the model.
    Loading,
    /// It answers, and is being tried.
    Warming,
    /// Callers may come.
    Ready,
    /// Its process is there, most of its memory is given back; a call wakes it.
    Sleeping,
    /// It was ready and no longer answers.
    Unhealthy,
    /// No new callers; the old ones finish.
    Draining,
    /// It has been told to end.
    Stopping,
    /// It has ended; its memory is awaited.
    Reclaiming,
    /// Gone.
    Stopped,
    /// It could not be brought up, or died.
    Failed,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 14] = [
        Self::Pending,
        Self::Fetching,
        Self::Placing,
        Self::Starting,
        Self::Loading,
        Self::Warming,
        Self::Ready,
        Self::Sleeping,
        Self::Unhealthy,
        Self::Draining,
        Self::Stopping,
        Self::Reclaiming,
        Self::Stopped,
        Self::Failed,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching => "fetching",
            Self::Placing => "placing",
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Sleeping => "sleeping",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Reclaiming => "reclaiming",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
    /// On the way up: it will be ready without anybody doing more.
    pub fn is_rising(self) -> bool {
        matches!(self, Self::Pending | Self::Fetching | Self::Placing | Self::Starting | Self::Loading | Self::Warming)
    }
    /// On the way down, or gone.
    pub fn is_falling(self) -> bool {
        matches!(self, Self::Draining | Self::Stopping | Self::Reclaiming | Self::Stopped)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// An instance as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The deployment it belongs to.
    pub deployment: Name,
    /// The revision it runs.
    pub revision: u64,
    /// What runs.
    pub engine: EngineKind,
    /// Where it runs.
    pub runtime: RuntimeKind,
    /// Where in its life it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Estimated memory, or measured once it runs.
    pub memory: ByteSize,
    /// What is kept for it: as it was measured of an earlier one of the same kind, else as it is estimated.
    #[serde(default)]
    pub reserved: ByteSize,
    /// Whether what is kept for it was measured.
    #[serde(default)]
    pub measured: bool,
    /// What it was seen to take, once the next one of its kind will be given that: of its card, where a card computes all of its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<ByteSize>,
    /// Process id, when it is a process here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Address, without its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Calls running on it now.
    pub in_flight: u32,
    /// Passed over for now: it failed, or was far slower than the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ejected: bool,
    /// Calls it takes at once.
    pub slots: u32,
    /// Last call's end or start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// When it was decided.
    pub created_at: Timestamp,
    /// From order to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<u64>,
}
