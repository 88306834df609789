//! What runs, and where.

use std::collections::BTreeMap;

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
    /// Bytes that are kept for it: as measured of an earlier one of the same kind, else as estimated.
    pub reserved: u64,
    /// Whether what is kept for it was measured.
    pub measured: bool,
    /// Bytes that it was seen to take, once the next one of its kind will be given that: of its card, where a card computes all of its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<u64>,
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
    /// `model_unknown`, `source_unreachable`, `disk_full`, `engine_missing`, `engine_rejected`, `engine_exited`,
    /// `out_of_memory`, `does_not_fit`, `no_room`, `start_timeout`, `unresponsive`,
    /// `remote_unreachable`, `key_missing`, `unloaded`, `keep_alive_over`, `superseded`,
    /// `shutting_down`, `device_lost`, `revision_failed`, `progress_deadline`, `canary_errors`, `canary_slow`, `paused`, `scaled_down`,
    /// `asleep`, `scheduled`; of a number of instances also `bounds`, `concurrency`, `queue`, `kv_use`, `first_token`, `recent_load`,
    /// `max_reached`, `in_use`.
    pub code: String,
    /// With the numbers, for people.
    pub message: String,
    /// What to do; absent when nothing needs to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub remedy: String,
    /// The numbers and names of the message, for programs: `need_bytes`, `for`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub facts: BTreeMap<String, serde_json::Value>,
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
    /// Memory that is set aside for work that is not Penstock's, oldest first.
    pub allocations: Vec<Allocation>,
}

/// Something with memory that a model can be put into, and who holds how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// `ram`, `cuda:GPU-5a1f…`, `rocm:GPU-7c2f…`: the same whatever the order in which the machine finds its devices.
    pub id: String,
    /// `ram`, `cuda`, `rocm`, `gpu` (another accelerator) or `unified` (one memory for processor and graphics).
    pub kind: String,
    /// What people call it: `0: NVIDIA H200`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub name: String,
    /// All of its memory, in bytes.
    pub total: u64,
    /// Free now by its own word, in bytes.
    pub free: u64,
    /// Which processes use how much of it, where it can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub uses: Vec<DeviceUse>,
    /// What engines call it, where that does not follow from its kind: `Vulkan0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_name: Option<String>,
    /// Percent of the last moment in which it computed, where its driver tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<u32>,
    /// Bytes held by our instances, by deployment.
    pub held: BTreeMap<String, u64>,
    /// Bytes of these that the device does not show as used yet.
    pub promised: u64,
    /// Bytes set aside for work that is not ours.
    pub allocated: u64,
    /// Bytes used by others than us.
    pub foreign: u64,
    /// Bytes that one more instance could be given now.
    pub available: u64,
}

/// Memory of a device that a process has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceUse {
    /// The process.
    pub pid: u32,
    /// So many bytes.
    pub bytes: u64,
}

/// Memory to be set aside for work that is not Penstock's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewAllocation {
    /// So many bytes: a number, or a text such as `24GiB`.
    #[schema(example = 8_589_934_592_u64)]
    pub bytes: u64,
    /// On which device; main memory when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// For whom, in your own words.
    #[schema(example = "training of tuesday")]
    pub holder: String,
    /// Given back by itself then: a time, or `30m`, `2h` from now; never when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2h")]
    pub expires: Option<String>,
}

/// Memory that is set aside for work that is not Penstock's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Allocation {
    /// Its id.
    pub id: String,
    /// On which machine.
    pub node: String,
    /// On which of its devices.
    pub device: String,
    /// So many bytes.
    pub bytes: u64,
    /// For whom.
    pub holder: String,
    /// Given back by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Bytes that others used of the device then: what they use beyond that is taken to be this work.
    pub foreign: u64,
}
