//! How does a list of models read on OpenAI's wire?
//!
//! In: models. Out: the body of `GET /v1/models` or of `GET /v1/models/{id}`. Fails: never.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// One model as a client sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// The public name; it may contain slashes and colons.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// Who runs it.
    pub owned_by: String,
    /// Members beside the four that OpenAI names.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Model {
    /// A model with the four members.
    pub fn new(id: impl Into<String>, created: i64, owned_by: impl Into<String>) -> Self {
        Self { id: id.into(), object: "model", created, owned_by: owned_by.into(), more: Map::new() }
    }
    /// Adds a member beside the four.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if !["id", "object", "created", "owned_by"].contains(&key) {
            self.more.insert(key.to_owned(), value.into());
        }
        self
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: &'a [Model],
}

/// The body of `GET /v1/models`.
pub fn list(models: &[Model]) -> Bytes {
    write(&List { object: "list", data: models })
}

/// The body of `GET /v1/models/{id}`.
pub fn one(model: &Model) -> Bytes {
    write(model)
}

/// Strings, integers and maps with string keys: there is nothing here that cannot be written.
fn write(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
