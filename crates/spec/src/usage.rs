//! One row for each call: who, what, tokens in and out, how it ended.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::TokenId;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// With a whole answer.
    Completed,
    /// The caller went away.
    Cancelled,
    /// The engine failed, or the stream broke.
    Failed,
    /// It never reached an engine.
    Rejected,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// The request id; a row is stored once for each.
    pub request_id: String,
    /// When it began.
    pub at: Timestamp,
    /// Whose token.
    pub token: Option<TokenId>,
    /// Booked on which project.
    pub project: Option<String>,
    /// The public model name.
    pub model: String,
    /// `chat`, `completions`, `embeddings`, `infer`.
    pub operation: String,
    /// The status that the caller saw.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// Tokens in.
    pub prompt_tokens: u64,
    /// Tokens out.
    pub completion_tokens: u64,
    /// Counted by us, not by the engine.
    pub estimated: bool,
    /// From first byte in to last byte out.
    pub duration_ms: u64,
    /// Until the first byte of the answer.
    pub first_byte_ms: Option<u64>,
}
