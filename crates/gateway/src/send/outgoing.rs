//! What is sent to the engine: the client's body with a few members spliced, and headers of an allow-list.
//!
//! In: a call, the deployment and the member that will serve it. Out: path, headers, body. Fails: when
//! the member's address or key cannot stand in a request. The client's own `Authorization` stays
//! behind; so does `X-Conversation-Id`, which would make llama-server go on after its caller has left.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use board::{Entry, Member};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use spec::Endpoint;
use wire::openai::{Ask, Shape};
use wire::scan::Scan;
use wire::splice::{self, Edit};

use crate::call::Call;
use crate::error::Error;
use crate::http::REQUEST_ID;

/// Headers of the client that an engine may see: those that carry a trace.
const FORWARDED: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const AGENT: &str = concat!("penstock/", env!("CARGO_PKG_VERSION"));

/// A request to an engine.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Where a connection is opened to; only its scheme and authority count.
    pub(super) uri: Uri,
    /// Path below that.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the engine was asked for a stream.
    pub(crate) streams: bool,
}

impl Outgoing {
    /// For this call, to this member.
    pub(crate) fn new(call: &Call, entry: &Entry, member: &Member) -> Result<Self, Error> {
        let (uri, path) = address(&member.endpoint, call.ask.shape)?;
        let streams = call.ask.shape != Shape::Embeddings && (call.ask.stream || entry.dialect.always_stream);
        let headers = headers(call, member, uri.authority(), streams)?;
        let scan = call.scan();
        let edits = edits(&call.ask, &scan, entry, streams);
        let body = splice::apply_to_bytes(&call.body, &scan, &edits);
        Ok(Self { uri, path, headers, body, streams })
    }
}

fn address(endpoint: &Endpoint, shape: Shape) -> Result<(Uri, String), Error> {
    let below = shape.path();
    match endpoint {
        Endpoint::Unix(_) => Ok((Uri::from_static("http://localhost"), below.to_owned())),
        Endpoint::Url(base) => {
            let uri: Uri = base.parse().map_err(|source: http::uri::InvalidUri| Error::Unsendable { source: source.into() })?;
            let path = format!("{}{}", uri.path().trim_end_matches('/'), below.trim_start_matches("/v1"));
            Ok((uri, path))
        }
    }
}

fn headers(call: &Call, member: &Member, host: Option<&Authority>, streams: bool) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(12);
    let value = |text: &str| HeaderValue::from_str(text).map_err(|source| Error::Unsendable { source: source.into() });
    headers.insert(HOST, value(host.map_or("localhost", Authority::as_str))?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(if streams { "text/event-stream" } else { "application/json" }));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(REQUEST_ID, value(&call.arrival.id)?);
    for name in FORWARDED {
        if let Some(value) = call.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    if let Some(key) = &member.key {
        let mut bearer = value(&format!("Bearer {}", key.expose()))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
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
