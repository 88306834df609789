//! A row as the text of a record.
//!
//! In: a [`Usage`]. Out: a JSON array, so that a person can read it and it is short; and back. Fails: on a
//! text that is none. A later version adds members at the end; what an older file lacks takes its default.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use spec::{Ending, Usage, Usd};

#[derive(Serialize, Deserialize)]
struct Line<S>(
    i64,       // at
    S,         // request id
    Option<S>, // token
    Option<S>, // project
    S,         // model
    Option<S>, // deployment
    Option<S>, // instance
    S,         // operation
    u16,       // status
    Ending,
    Option<S>,   // error
    u64,         // prompt tokens
    u64,         // cached tokens
    u64,         // completion tokens
    u64,         // reasoning tokens
    u8,          // estimated
    u64,         // cost, in billionths of a dollar
    u64,         // duration in ms
    Option<u64>, // first byte in ms
    u64,         // wait in ms
    u32,         // retries
);

/// Appends the row's text.
pub(super) fn encode<S: AsRef<str>>(row: &Usage<S>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let line = Line(
        row.at.as_millis(),
        row.request_id.as_ref(),
        row.token.as_ref().map(AsRef::as_ref),
        row.project.as_ref().map(AsRef::as_ref),
        row.model.as_ref(),
        row.deployment.as_ref().map(AsRef::as_ref),
        row.instance.as_ref().map(AsRef::as_ref),
        row.operation.as_ref(),
        row.status,
        row.ending,
        row.error.as_ref().map(AsRef::as_ref),
        row.prompt_tokens,
        row.cached_tokens,
        row.completion_tokens,
        row.reasoning_tokens,
        u8::from(row.estimated),
        row.cost.0,
        row.duration_ms,
        row.first_byte_ms,
        row.wait_ms,
        row.retries,
    );
    serde_json::to_writer(out, &line)
}

/// Reads the row.
pub(super) fn decode(text: &[u8]) -> Result<Usage, serde_json::Error> {
    let line: Line<String> = serde_json::from_slice(text)?;
    Ok(Usage {
        at: Timestamp::from_millis(line.0),
        request_id: line.1,
        token: line.2,
        project: line.3,
        model: line.4,
        deployment: line.5,
        instance: line.6,
        operation: line.7,
        status: line.8,
        ending: line.9,
        error: line.10,
        prompt_tokens: line.11,
        cached_tokens: line.12,
        completion_tokens: line.13,
        reasoning_tokens: line.14,
        estimated: line.15 != 0,
        cost: Usd(line.16),
        duration_ms: line.17,
        first_byte_ms: line.18,
        wait_ms: line.19,
        retries: line.20,
    })
}
