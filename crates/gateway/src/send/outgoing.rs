//! What is sent to the engine: the client's body with a few members spliced, and headers of an allow-list.
//!
//! In: a call, the deployment and the target that will serve it. Out: headers and body. Fails: never. The client's own `Authorization` stays
//! behind; so does `X-Conversation-Id`, which would make llama-server go on after its caller has left.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;

use board::Entry;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, Request};
use spec::EngineKind;
use wire::openai::{Ask, Shape};
use wire::scan::Scan;
use wire::splice::{self, Edit};

use super::pieces::Pieces;
use super::target::Target;
use crate::call::Call;
use crate::http::REQUEST_ID;

/// Headers of the client that an engine may see: those that carry a trace.
const FORWARDED: [HeaderName; 3] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate"), HeaderName::from_static("baggage")];

/// A request to an engine.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    call: &'a Call,
    body: Pieces,
    /// Whether the engine was asked for a stream.
    pub(crate) streams: bool,
}

impl<'a> Outgoing<'a> {
    /// For this call, to a member of this deployment.
    pub(crate) fn new(call: &'a Call, entry: &Entry) -> Self {
        let streams = call.ask.shape != Shape::Embeddings && (call.ask.stream || entry.dialect.always_stream);
        let scan = call.scan();
        let mut edits = edits(&call.ask, &scan, entry, streams);
        if !call.for_llama.is_empty() && entry.spec.engine() == EngineKind::LlamaServer {
            edits.extend_from_slice(&call.for_llama);
        }
        Self { call, body: Pieces::of(&call.body, &scan, &edits), streams }
    }

    /// As HTTP/1.1 has it: the head, and the body behind it. It may be made again for another connection.
    pub(super) fn parts(&self, target: &Target) -> Vec<Bytes> {
        const LENGTH: usize = 512; // an id, a trace, the length
        let small = self.body.small();
        let start = target.start(self.call.ask.shape, self.streams);
        let mut head = BytesMut::with_capacity(start.len() + LENGTH + small.map_or(0, Bytes::len));
        head.put_slice(start);
        put(&mut head, REQUEST_ID.as_str(), self.call.arrival.id.as_bytes());
        for (name, value) in &self.own_headers() {
            put(&mut head, name.as_str(), value.as_bytes());
        }
        let _ = write!(head, "content-length: {}\r\n\r\n", self.body.len()); // bytes in memory do not fail
        if let Some(body) = small {
            head.put_slice(body); // one part is written at less cost than two
            return vec![head.freeze()];
        }
        let mut parts = vec![head.freeze()];
        parts.extend_from_slice(self.body.parts());
        parts
    }

    /// As HTTP/2 has it.
    pub(super) fn request(&self, target: &Target) -> Request<Pieces> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri_of(self.call.ask.shape);
        let mut headers = target.headers(self.streams);
        headers.insert(REQUEST_ID, self.call.arrival.id.header());
        headers.extend(self.own_headers());
        *request.headers_mut() = headers;
        request
    }

    /// Those of this call alone; mostly none.
    fn own_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in FORWARDED {
            for value in self.call.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        self.call.arrival.put_trace(&self.call.headers, &mut headers);
        headers
    }
}

fn put(head: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.put_slice(part);
    }
}

/// The few members that we change.
fn edits<'a>(ask: &Ask, scan: &Scan<'_>, entry: &Entry, streams: bool) -> Vec<Edit<'a>> {
    let mut edits = Vec::new();
    if entry.upstream_model != ask.model {
        edits.push(Edit::text("model", &entry.upstream_model));
    }
    if streams && !ask.stream {
        edits.push(Edit::raw("stream", "true"));
    }
    if streams && entry.dialect.stream_usage && !ask.include_usage {
        edits.push(Edit::raw("stream_options", stream_options(scan)));
    }
    edits
}

/// The client's own options with our wish for the usage.
fn stream_options(scan: &Scan<'_>) -> Cow<'static, str> {
    match scan.object("stream_options") {
        Some(options) => splice::apply_to_text(&options, &[Edit::raw("include_usage", "true")]).into(),
        None => r#"{"include_usage":true}"#.into(),
    }
}
