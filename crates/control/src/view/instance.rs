//! What runs, and where.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One running engine of one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// The deployment it belongs to.
    pub deployment: String,
    /// The revision it runs.
    pub revision: u64,
    /// What runs: `llama-server`, `openai` or `echo`.
    pub engine: String,
    /// Where it runs: `process` or `external`.
    pub runtime: String,
    /// Where in its life it is: `pending`, `fetching`, `placing`, `starting`, `loading`, `warming`,
    /// `ready`, `sleeping`, `unhealthy`, `draining`, `stopping`, `reclaiming`, `stopped`, `failed`.
    pub phase: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Memory in bytes: estimated, or measured once it runs.
    pub memory: u64,
    /// Process id, when it is a process here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Address, without its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Calls running on it now.
    pub in_flight: u32,
    /// Passed over for now: it failed, or was far slower than the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false, required = false)]
    pub ejected: bool,
    /// Calls it takes at once.
    pub slots: u32,
    /// When a call last began or ended on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_used: Option<String>,
    /// When it was decided.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Milliseconds from order to ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<u64>,
}

/// Why something is not ready: a code, the numbers, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// The code, for programs: `idle`, `progressing`, `model_missing`, `model_corrupt`,
    /// `model_unknown`, `source_unreachable`, `engine_missing`, `engine_rejected`, `engine_exited`,
    /// `out_of_memory`, `does_not_fit`, `no_room`, `start_timeout`, `unresponsive`,
    /// `remote_unreachable`, `key_missing`, `unloaded`, `keep_alive_over`, `superseded`,
    /// `shutting_down`.
    pub code: String,
    /// With the numbers, for people.
    pub message: String,
    /// What to do; absent when nothing needs to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub remedy: String,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// Cores that may be used.
    pub cores: u32,
    /// What holds models.
    pub devices: Vec<Device>,
    /// Bytes that our instances hold there, by estimate or measure.
    pub used: u64,
    /// Bytes that they may hold at most, when a budget is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
}

/// Something with memory that a model can be put into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// `ram`, `cuda:0`, …
    pub id: String,
    /// `ram` or `gpu`.
    pub kind: String,
    /// All of its memory, in bytes.
    pub total: u64,
    /// Free now by its own word, in bytes.
    pub free: u64,
}
