//! What a runtime is told to run, and what it reports back.
//!
//! An engine writes an [`Order`]; a runtime carries it out and never needs to know which engine it
//! is. The instance id makes every call idempotent, and the fence number tells a newer writer from
//! an older one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

use crate::instance::InstanceId;
use crate::name::Name;
use crate::node::DeviceKind;

/// Everything that is needed to run one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The instance.
    pub instance: InstanceId,
    /// Its deployment.
    pub deployment: Name,
    /// The revision.
    pub revision: u64,
    /// Rises with every order that this installation writes.
    pub fence: u64,
    /// What to run.
    pub program: Program,
    /// What the program says of its version.
    #[serde(default)]
    pub build: String,
    /// Its arguments; never a secret.
    pub args: Vec<String>,
    /// Its environment beside the few variables that every child gets; secrets go here.
    pub env: BTreeMap<String, String>,
    /// Where it will listen, or where it already does.
    pub endpoint: Endpoint,
    /// How long it may take to end after the first TERM.
    #[serde(with = "base::clock::human")]
    pub grace: Duration,
    /// How long it may live with nobody claiming it.
    #[serde(with = "base::clock::human")]
    pub orphan_ttl: Duration,
    /// How much of its log is kept.
    pub log_bytes: ByteSize,
    /// Estimated memory, for the ledger.
    pub memory: ByteSize,
    /// Words for the engine that do not belong on its command line but must survive a crash of
    /// ours: how many calls at once it takes.
    pub slots: u32,
    /// The devices that it was given; nothing when it needs none.
    #[serde(default)]
    pub grant: Grant,
}

/// What an instance was given: bytes of the devices of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The machine.
    pub node: String,
    /// In the order in which its layers lie on them; main memory last.
    pub shares: Vec<Share>,
}

/// What an instance was given of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The device.
    pub device: String,
    /// What it is.
    pub kind: DeviceKind,
    /// So many bytes.
    pub bytes: ByteSize,
    /// Layers that are computed by the device itself; none of main memory.
    #[serde(default)]
    pub layers: u32,
    /// What engines call it, where that does not follow from its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_name: Option<String>,
}

impl Grant {
    /// All of it.
    pub fn total(&self) -> ByteSize {
        self.shares.iter().map(|share| share.bytes).sum()
    }
    /// The shares of devices that compute.
    pub fn gpus(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter().filter(|share| share.layers > 0)
    }
    /// The share of this device.
    pub fn of(&self, node: &str, device: &str) -> ByteSize {
        if self.node != node {
            return ByteSize(0);
        }
        self.shares.iter().filter(|share| share.device == device).map(|share| share.bytes).sum()
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// A program of this machine.
    Path(PathBuf),
    /// The engine that this binary carries.
    Carried,
    /// This very binary.
    Own,
    /// Nothing: it runs elsewhere.
    None,
}

/// An engine's program, as it was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// What to run.
    pub program: Program,
    /// What it says of its version.
    pub version: String,
    /// The flags that it understands, as they stand in its help: `--ctx-size`.
    pub flags: std::collections::BTreeSet<String>,
}

/// Where an instance listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// A Unix socket; HTTP/1.1 without TLS, paths begin with `/v1`.
    Unix(PathBuf),
    /// A base URL that already holds `/v1`.
    Url(String),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// One instance as the runtime finds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The order that it carries out.
    pub order: Order,
    /// Alive or ended.
    pub state: SeenState,
    /// The engine's process, when it is a process here.
    pub pid: Option<u32>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Resident memory now, when it can be seen.
    pub resident: Option<ByteSize>,
    /// CPU time that its process has used so far, when it can be seen.
    #[serde(default)]
    pub cpu: Option<Duration>,
    /// Lines logged so far; a rise is a sign of progress.
    pub log_lines: u64,
}

/// Alive or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenState {
    /// Its process lives.
    Running,
    /// It has been told to end.
    Stopping,
    /// It has ended.
    Exited(Exit),
}

/// How an engine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit status.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether we had asked for it.
    pub asked: bool,
    /// Why it could not even be started.
    pub spawn_error: Option<String>,
    /// Its last lines.
    pub last_lines: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Its keeper was killed, and it with it: nothing of this was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}
