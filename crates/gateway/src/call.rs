//! A call as the walk carries it: who asked what, scanned once.

use std::sync::Arc;

use access::Caller;
use bytes::Bytes;
use http::HeaderMap;
use wire::openai::Ask;
use wire::scan::{Scan, Spans};

use crate::http::Arrival;

/// In whose manner the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// OpenAI's.
    OpenAi,
    /// Lines of JSON, `/infer`.
    Lines,
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
    /// The client wants the answer as it is made.
    pub(crate) streamed: bool,
}

impl Call {
    /// The members of the body.
    pub(crate) fn scan(&self) -> Scan<'_> {
        // The spans come from a scan that has checked these bytes to be UTF-8.
        self.spans.on(std::str::from_utf8(&self.body).unwrap_or_default())
    }
    /// The word for this call in usage rows.
    pub(crate) fn operation(&self) -> &'static str {
        match (self.face, self.ask.shape) {
            (Face::Lines, _) => "infer",
            (Face::OpenAi, wire::openai::Shape::Chat) => "chat",
            (Face::OpenAi, wire::openai::Shape::Completions) => "completions",
            (Face::OpenAi, wire::openai::Shape::Embeddings) => "embeddings",
        }
    }
}
