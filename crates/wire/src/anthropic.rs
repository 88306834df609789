//! How does Anthropic's Messages API read, in front of an engine that only knows chat?
//!
//! In: the body of `POST /v1/messages` or of its `count_tokens`; then what the engine says ([`crate::talk`]). Out: a body for
//! the engine's chat path; then a message, or its named events. Fails: on members that cannot be translated, with their name;
//! nothing that changes the answer is dropped without a word. From: Anthropic's published API description and its SDKs.
//!
//! Passed over, because they change no word of the answer: `metadata`, `service_tier`, `cache_control`, `container`,
//! `signature`s, and the thinking of earlier turns. Reasoning is shown only to those who ask for it with `thinking`.

mod error;
mod message;
mod request;
#[cfg(test)]
mod tests;

pub use error::{Shown, error_body, error_event};
pub use message::Message;
pub use request::Request;

use bytes::Bytes;
use serde_json::json;

use crate::sse;

/// What keeps a silent stream alive.
pub fn ping() -> Bytes {
    event("ping", &json!({ "type": "ping" }))
}

/// The body of an answer to `count_tokens`.
pub fn token_count(tokens: u64) -> Bytes {
    json!({ "input_tokens": tokens }).to_string().into()
}

/// A model as Anthropic's clients list it: its id, when it was made (RFC 3339).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The public name.
    pub id: String,
    /// RFC 3339.
    pub created_at: String,
}

impl Model {
    fn to_json(&self) -> serde_json::Value {
        json!({ "type": "model", "id": self.id, "display_name": self.id, "created_at": self.created_at })
    }
}

/// The body of `GET /v1/models/{id}` for Anthropic's clients.
pub fn model(model: &Model) -> Bytes {
    model.to_json().to_string().into()
}

/// The body of `GET /v1/models` for Anthropic's clients; all of them, on one page.
pub fn models(models: &[Model]) -> Bytes {
    let data: Vec<_> = models.iter().map(Model::to_json).collect();
    let id = |model: Option<&Model>| model.map(|model| model.id.clone());
    json!({ "data": data, "has_more": false, "first_id": id(models.first()), "last_id": id(models.last()) }).to_string().into()
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    sse::named(name, data.to_string())
}
