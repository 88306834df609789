//! A call as the walk carries it: who asked what, scanned once.

use std::sync::Arc;

use access::Caller;
use board::KeepAlive;
use bytes::Bytes;
use http::HeaderMap;
use wire::openai::{Ask, Shape};
use wire::scan::{Scan, Spans};
use wire::splice::Edit;

use crate::http::Arrival;
use crate::kept::Ticket;

/// In whose manner the client speaks, and is told of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// OpenAI's.
    OpenAi,
    /// Lines of JSON, `/infer`.
    Lines,
    /// Anthropic's.
    Messages,
    /// Ollama's.
    Ollama,
}

/// How the answer is put.
#[derive(Debug)]
pub(crate) enum Manner {
    /// As the engine says it.
    Plain,
    /// Embeddings, as numbers or as base64.
    Vectors {
        /// As base64.
        base64: bool,
    },
    /// Lines of `/infer`.
    Lines,
    /// A response object or its events, which may be kept.
    Response(Box<Ticket>),
    /// A message of Anthropic's, or its events.
    Message {
        /// With the reasoning.
        thinks: bool,
        /// The texts at which it stops.
        stops: Vec<String>,
    },
    /// Lines of Ollama's, or one object.
    Ollama {
        /// Which of the two calls it is.
        kind: wire::ollama::Kind,
        /// With the reasoning.
        thinks: bool,
    },
    /// Embeddings in Ollama's words.
    Embedded {
        /// The older of the two calls.
        old: bool,
    },
}

/// A request for a model.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) face: Face,
    pub(crate) arrival: Arrival,
    pub(crate) headers: HeaderMap,
    pub(crate) caller: Arc<Caller>,
    /// The body in OpenAI's terms.
    pub(crate) body: Bytes,
    pub(crate) spans: Spans,
    pub(crate) ask: Ask,
    /// How the answer is put.
    pub(crate) manner: Manner,
    /// The model as the client calls it, where that is not the name it is published by.
    pub(crate) alias: Option<String>,
    /// Members for llama-server alone: other engines refuse what they do not know.
    pub(crate) for_llama: Vec<Edit<'static>>,
    /// How long the deployment that serves it shall stay loaded, where the client says so.
    pub(crate) keep: Option<KeepAlive>,
    /// The client wants the answer as it is made.
    pub(crate) streamed: bool,
}

impl Call {
    /// The members of the body.
    pub(crate) fn scan(&self) -> Scan<'_> {
        self.spans.on(&self.body)
    }
    /// The word for this call in usage rows.
    pub(crate) fn operation(&self) -> &'static str {
        match (&self.manner, self.ask.shape) {
            (Manner::Lines, _) => "infer",
            (Manner::Response(_), _) => "responses",
            (Manner::Message { .. }, _) => "messages",
            (_, Shape::Chat) => "chat",
            (_, Shape::Completions) => "completions",
            (_, Shape::Embeddings) => "embeddings",
        }
    }
    /// Who asked waits for the answer; one that is made in the background is kept for whoever fetches it.
    pub(crate) fn is_awaited(&self) -> bool {
        !matches!(&self.manner, Manner::Response(ticket) if ticket.background)
    }
    /// The model as the client calls it.
    pub(crate) fn model(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.ask.model)
    }
}
