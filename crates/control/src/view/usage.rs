//! What was used: sums, and single calls.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sum of the calls that have something in common within a span of time. Of the first eight fields
/// those are there by which it was asked to be summed; one that is missing then stands for none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The day (UTC): `2026-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The beginning of the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub hour: Option<String>,
    /// The public model name; missing for models that nobody serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The deployment that was found for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What that token is called, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `chat`, `completions`, `embeddings`, `responses`, `messages`, `infer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// `completed`, `cancelled`, `failed` or `rejected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// Calls, however they ended.
    pub calls: u64,
    /// Calls that got a whole answer.
    pub completed: u64,
    /// Calls whose caller went away.
    pub cancelled: u64,
    /// Calls whose engine failed, or whose stream broke.
    pub failed: u64,
    /// Calls that never reached an engine.
    pub rejected: u64,
    /// Tokens in, the cached ones included.
    pub prompt_tokens: u64,
    /// Of those, the ones that the engine had cached.
    pub cached_tokens: u64,
    /// Tokens out, reasoning included.
    pub completion_tokens: u64,
    /// Of those, the ones of reasoning, where the engine says so.
    pub reasoning_tokens: u64,
    /// Calls whose tokens were counted here, not by the engine.
    pub estimated: u64,
    /// What they cost, in US dollars, by the prices of their time.
    pub cost_usd: f64,
    /// Their durations, added up.
    pub duration_ms: u64,
    /// Their time in line, added up.
    pub wait_ms: u64,
    /// Times that they were sent anew.
    pub retries: u64,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// The request id, as its answer carried it.
    pub request_id: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub at: String,
    /// The id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The model, as it was asked for.
    pub model: String,
    /// The deployment that was found for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The instance that was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `chat`, `completions`, `embeddings`, `responses`, `messages`, `infer`.
    pub operation: String,
    /// The status that the caller saw; 499 when it had left before.
    pub status: u16,
    /// `completed`, `cancelled`, `failed` or `rejected`.
    pub ending: String,
    /// What went wrong, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tokens in, the cached ones included.
    pub prompt_tokens: u64,
    /// Of those, the ones that the engine had cached.
    pub cached_tokens: u64,
    /// Tokens out, reasoning included.
    pub completion_tokens: u64,
    /// Of those, the ones of reasoning.
    pub reasoning_tokens: u64,
    /// Counted here, not by the engine.
    pub estimated: bool,
    /// What it cost, in US dollars.
    pub cost_usd: f64,
    /// From first byte in to last byte out.
    pub duration_ms: u64,
    /// Until the first byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// In line.
    pub wait_ms: u64,
    /// Times that it was sent anew.
    pub retries: u32,
}
