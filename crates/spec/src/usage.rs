//! One row for each call: who, what, tokens in and out, what it cost, how it ended.
//!
//! A row is written by the gateway with texts that it only borrows, and read back with texts of its
//! own; `S` is the text.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::budget::Usd;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// With a whole answer.
    Completed,
    /// The caller went away.
    #[default]
    Cancelled,
    /// The engine failed, or the stream broke.
    Failed,
    /// It never reached an engine.
    Rejected,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Cancelled, Self::Failed, Self::Rejected];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
        }
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage<S = String> {
    /// The request id, as the caller and the log know it; a client may use one twice.
    pub request_id: S,
    /// When it began.
    pub at: Timestamp,
    /// Whose token.
    pub token: Option<S>,
    /// Booked on which project.
    pub project: Option<S>,
    /// The public model name, as it was asked for.
    pub model: S,
    /// The deployment that was found for it; none when there is no such model.
    pub deployment: Option<S>,
    /// The instance that was asked last.
    pub instance: Option<S>,
    /// `chat`, `completions`, `embeddings`, `infer`, ...
    pub operation: S,
    /// The status that the caller saw.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// What went wrong, in a word.
    pub error: Option<S>,
    /// Tokens in, the cached ones included.
    pub prompt_tokens: u64,
    /// Of those, the ones that the engine had cached.
    pub cached_tokens: u64,
    /// Tokens out, reasoning included.
    pub completion_tokens: u64,
    /// Of those, the ones of reasoning, where the engine says so.
    pub reasoning_tokens: u64,
    /// Counted by us, not by the engine.
    pub estimated: bool,
    /// What it cost, by the deployment's prices of that time.
    pub cost: Usd,
    /// From first byte in to last byte out.
    pub duration_ms: u64,
    /// Until the first byte of the answer.
    pub first_byte_ms: Option<u64>,
    /// In line for a slot, or for the model to come up.
    pub wait_ms: u64,
    /// Times that it was sent anew.
    pub retries: u32,
}
