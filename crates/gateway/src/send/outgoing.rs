//! What is sent to the engine: the client's body with a few members spliced, and headers of an allow-list.
//!
//! In: a call, the deployment and the target that will serve it. Out: headers and body. Fails: never. The client's own `Authorization` stays
//! behind; so does `X-Conversation-Id`, which would make llama-server go on after its caller has left.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use board::Entry;
use http::header::HOST;
use http::{HeaderMap, HeaderName, Method, Request};
use spec::EngineKind;
use spec::HttpVersion;
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

    /// As one connection sends it. It may be made again for another one.
    pub(super) fn request(&self, target: &Target, version: HttpVersion) -> Request<Pieces> {
        let http2 = version == HttpVersion::Http2;
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri_of(self.call.ask.shape, http2);
        *request.headers_mut() = self.headers(target);
        if http2 {
            request.headers_mut().remove(HOST); // its URI says it
        }
        request
    }

    fn headers(&self, target: &Target) -> HeaderMap {
        let call = self.call;
        let mut headers = target.headers(self.streams);
        headers.insert(REQUEST_ID, call.arrival.id.header());
        for name in FORWARDED {
            for value in call.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        call.arrival.put_trace(&call.headers, &mut headers);
        headers
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
