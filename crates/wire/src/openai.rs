//! What does OpenAI's wire look like, as far as a gateway must read and write it?
//!
//! In: a scanned body, an engine's error, a list of models. Out: an [`Ask`], an [`error::Body`], a model list.
//! Requests and answers themselves pass through as bytes; nothing here copies them. From: OpenAI's
//! published API description and the behaviour of its client libraries.

pub mod ask;

pub mod error;

pub mod models;

pub mod usage;

#[cfg(test)]
mod tests;

pub use ask::Ask;
pub use usage::Usage;

/// Which of the three calls a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
}

impl Shape {
    /// The path on an engine, below its base address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }
    /// The name of the operation in OpenTelemetry's conventions.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
        }
    }
    /// The `object` of a reply that is not a stream.
    pub fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Completions => "text_completion",
            Self::Embeddings => "list",
        }
    }
    /// The `object` of an event of a stream.
    pub fn chunk_object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completions => "text_completion",
            Self::Embeddings => "list",
        }
    }
}
