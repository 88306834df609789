//! How does Ollama's API read, in front of an engine that speaks OpenAI's?
//!
//! In: the bodies of `/api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings`; then what the engine says
//! ([`crate::talk`]), or its embeddings. Out: a body for the engine; then lines of JSON, or one object. Fails: on members
//! that cannot be translated. From: Ollama's published API description and its client libraries.
//!
//! **What is not the caller's to say.** How a model is loaded is its deployment's business: `num_ctx`, `num_gpu`,
//! `num_thread` and their like, `template` and `context` are passed over. `suffix` is refused, since no chat has one.

mod embed;
mod keep;
mod lines;
mod request;
#[cfg(test)]
mod tests;

pub use embed::{Embed, Embedded};
pub use keep::{Keep, keep_alive};
pub use lines::Lines;
pub use request::{Kind, Request};

use bytes::Bytes;
use serde_json::json;

/// The body of an error, and its line in a stream.
pub fn error_line(message: &str) -> Bytes {
    format!("{}\n", json!({ "error": message })).into()
}
