//! Why something is as it is: a code of a closed list, the numbers, and what to do about it.

use std::collections::BTreeMap;

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

mod about;

pub use about::About;

/// The closed list of reasons: for not being ready, and for so many instances and no other number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Nobody has asked for it.
    Idle,
    /// Asked for, on its way.
    Progressing,
    /// The model's file is not there.
    ModelMissing,
    /// The file is damaged or not a model.
    ModelCorrupt,
    /// The engine does not know this architecture.
    ModelUnknown,
    /// The source cannot be fetched from here.
    SourceUnreachable,
    /// There is no room on the disk for the model's files.
    DiskFull,
    /// The engine's program cannot be found.
    EngineMissing,
    /// The engine refused the order.
    EngineRejected,
    /// The engine ended by itself.
    EngineExited,
    /// The engine ran out of memory.
    OutOfMemory,
    /// It will never fit on this machine.
    DoesNotFit,
    /// It would fit if something else left.
    NoRoom,
    /// No progress for too long.
    StartTimeout,
    /// It does not answer its probe.
    Unresponsive,
    /// The remote server does not answer, or refuses.
    RemoteUnreachable,
    /// Its environment variable with the key is not set.
    KeyMissing,
    /// Somebody asked for it to be unloaded.
    Unloaded,
    /// Nobody used it for its keep-alive.
    KeepAliveOver,
    /// Its deployment changed or was deleted.
    Superseded,
    /// Penstock is stopping.
    ShuttingDown,
    /// A device that it works on is gone.
    DeviceLost,
    /// The new revision failed again and again.
    RevisionFailed,
    /// The new revision made no progress for too long.
    ProgressDeadline,
    /// More of the new revision's calls failed than of the old one's.
    CanaryErrors,
    /// The new revision is slower than the old one.
    CanarySlow,
    /// The rollout waits until somebody resumes it.
    Paused,
    /// There are more instances than are needed now.
    ScaledDown,
    /// Nobody has called for a while, so that it sleeps.
    Asleep,
    /// Its schedule allows no instance now.
    Scheduled,
    /// Its schedule, or its pin, sets how many instances there may be now.
    Bounds,
    /// So many calls run or wait that its target asks for so many instances.
    Concurrency,
    /// So many callers wait that its target asks for so many instances.
    Queue,
    /// So much of the KV cache is used that its target asks for so many instances.
    KvUse,
    /// First tokens take so long that its target asks for so many instances.
    FirstToken,
    /// The most that was wanted of late counts, so that the number does not flap.
    RecentLoad,
    /// It may not have more instances.
    MaxReached,
    /// So many instances work or are kept, and so many callers wait.
    InUse,
}

impl ReasonCode {
    /// All of them.
    pub const ALL: [Self; 38] = [
        Self::Idle,
        Self::Progressing,
        Self::ModelMissing,
        Self::ModelCorrupt,
        Self::ModelUnknown,
        Self::SourceUnreachable,
        Self::DiskFull,
        Self::EngineMissing,
        Self::EngineRejected,
        Self::EngineExited,
        Self::OutOfMemory,
        Self::DoesNotFit,
        Self::NoRoom,
        Self::StartTimeout,
        Self::Unresponsive,
        Self::RemoteUnreachable,
        Self::KeyMissing,
        Self::Unloaded,
        Self::KeepAliveOver,
        Self::Superseded,
        Self::ShuttingDown,
        Self::RevisionFailed,
        Self::ProgressDeadline,
        Self::CanaryErrors,
        Self::CanarySlow,
        Self::Paused,
        Self::ScaledDown,
        Self::DeviceLost,
        Self::Asleep,
        Self::Scheduled,
        Self::Bounds,
        Self::Concurrency,
        Self::Queue,
        Self::KvUse,
        Self::FirstToken,
        Self::RecentLoad,
        Self::MaxReached,
        Self::InUse,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Progressing => "progressing",
            Self::ModelMissing => "model_missing",
            Self::ModelCorrupt => "model_corrupt",
            Self::ModelUnknown => "model_unknown",
            Self::SourceUnreachable => "source_unreachable",
            Self::DiskFull => "disk_full",
            Self::EngineMissing => "engine_missing",
            Self::EngineRejected => "engine_rejected",
            Self::EngineExited => "engine_exited",
            Self::OutOfMemory => "out_of_memory",
            Self::DoesNotFit => "does_not_fit",
            Self::NoRoom => "no_room",
            Self::StartTimeout => "start_timeout",
            Self::Unresponsive => "unresponsive",
            Self::RemoteUnreachable => "remote_unreachable",
            Self::KeyMissing => "key_missing",
            Self::Unloaded => "unloaded",
            Self::KeepAliveOver => "keep_alive_over",
            Self::Superseded => "superseded",
            Self::ShuttingDown => "shutting_down",
            Self::RevisionFailed => "revision_failed",
            Self::ProgressDeadline => "progress_deadline",
            Self::CanaryErrors => "canary_errors",
            Self::CanarySlow => "canary_slow",
            Self::Paused => "paused",
            Self::ScaledDown => "scaled_down",
            Self::DeviceLost => "device_lost",
            Self::Asleep => "asleep",
            Self::Scheduled => "scheduled",
            Self::Bounds => "bounds",
            Self::Concurrency => "concurrency",
            Self::Queue => "queue",
            Self::KvUse => "kv_use",
            Self::FirstToken => "first_token",
            Self::RecentLoad => "recent_load",
            Self::MaxReached => "max_reached",
            Self::InUse => "in_use",
        }
    }
}

/// Why it is so: a code, the numbers, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// With the numbers, for people.
    pub message: String,
    /// What to do; empty when nothing needs to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The numbers and names of the message, for programs; a unit stands in the name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Fact>,
}

/// A number or a name that a reason is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A count, or an amount of the unit that its name says.
    Number(u64),
    /// A name.
    Text(String),
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Fact {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<ByteSize> for Fact {
    fn from(size: ByteSize) -> Self {
        Self::Number(size.0)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Reason {
    /// A reason with a remedy; that of its code where none is said.
    pub fn new(code: ReasonCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy: String = remedy.into();
        let remedy = if remedy.is_empty() { code.about().remedy.to_owned() } else { remedy };
        Self { code, message: message.into(), remedy, facts: BTreeMap::new() }
    }
    /// With a number or a name of its message, for programs.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.facts.insert(name.to_owned(), fact.into());
        self
    }
    /// The fact that says when to ask again: milliseconds of Unix time.
    pub const AGAIN_AT: &'static str = "again_at_ms";

    /// When to ask again, where that is known.
    pub fn again_at(&self) -> Option<Timestamp> {
        match self.facts.get(Self::AGAIN_AT)? {
            Fact::Number(ms) => i64::try_from(*ms).ok().map(Timestamp::from_millis),
            Fact::Text(_) => None,
        }
    }
    /// A fact as text.
    pub fn fact(&self, name: &str) -> Option<String> {
        self.facts.get(name).map(ToString::to_string)
    }
}
