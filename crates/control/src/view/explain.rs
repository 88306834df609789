//! What the engine room would decide, and why things are as they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::Reason;
use super::story::Cause;

/// An instance, and why it is where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Here {
    /// Its id.
    pub id: String,
    /// Its revision.
    pub revision: u64,
    /// Where in its life it is.
    pub phase: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// What it was created for.
    pub cause: Cause,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// What would happen if an instance were wanted now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trial {
    /// `fits` (it would be started at once), `after_others` (as soon as those in `leave` have left), `waits` (those who could leave may
    /// stay for now, or others asked first) or `never`.
    pub verdict: String,
    /// Bytes that it needs.
    pub memory: u64,
    /// Whether that was measured of an earlier one; else it is an estimate.
    pub measured: bool,
    /// Where it would be; empty where it would wait or fail, or needs none.
    pub grant: Grant,
    /// Why it would wait or fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Who would leave for it, or already does.
    pub leave: Vec<Leaver>,
    /// What their leaving costs: milliseconds that loading all of them again takes.
    pub cost_ms: u64,
    /// When somebody may be asked to leave at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub again_at: Option<String>,
}

/// The devices that an instance is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The machine.
    #[serde(default)]
    #[schema(required = false)]
    pub node: String,
    /// What it is given of each device.
    #[serde(default)]
    #[schema(required = false)]
    pub shares: Vec<Share>,
}

/// What an instance is given of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The device: `ram`, `cuda:0`, …
    pub device: String,
    /// `ram`, `cuda`, `rocm`, `gpu` or `unified`.
    pub kind: String,
    /// Bytes of it.
    pub bytes: u64,
    /// Layers that lie on it.
    #[serde(default)]
    #[schema(required = false)]
    pub layers: u32,
    /// What the engine calls the device, where that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_name: Option<String>,
}

/// Somebody who would leave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Leaver {
    /// The instance.
    pub instance: String,
    /// Its deployment.
    pub deployment: String,
    /// Bytes that it gives back.
    pub memory: u64,
    /// Milliseconds that loading it again takes.
    pub reload_ms: u64,
    /// Calls that run on it, and would be waited for.
    pub in_flight: u32,
    /// When it was last of use.
    #[schema(format = DateTime)]
    pub last_used: String,
}
