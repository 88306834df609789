//! An instance as calls are sent to it: what is the same for each of them is made once.
//!
//! In: a member of the board. Out: its address, paths and headers, ready to be sent, and its open connections. Fails: when
//! its address or key cannot stand in a request. Holds: a few short locks.

use std::sync::{Arc, OnceLock};

use base::Secret;
use board::{Lease, Member};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use spec::{Endpoint, HttpVersion, InstanceId};
use wire::openai::Shape;

use super::budget::Budget;
use super::pool::{Lines, Pool};
use crate::error::Error;

const AGENT: &str = concat!("penstock/", env!("CARGO_PKG_VERSION"));
/// All that a call to an engine may be.
const SHAPES: [Shape; 3] = [Shape::Chat, Shape::Completions, Shape::Embeddings];
/// Headers of a call, those of a trace included.
const MOST_HEADERS: usize = 16;

/// Where calls go.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) id: InstanceId,
    pub(super) endpoint: Endpoint,
    key: Option<Secret>,
    /// The HTTP that was asked for.
    pub(super) version: Option<HttpVersion>,
    /// The HTTP that an `https` server chose, once it has.
    chosen: OnceLock<HttpVersion>,
    /// Where a connection is opened to; only its scheme and authority count.
    pub(super) uri: Uri,
    /// How a request of HTTP/1.1 begins, for each shape, plain and streaming.
    starts: [[Bytes; 2]; SHAPES.len()],
    /// Where a request of HTTP/2 goes, for each shape, and what it carries.
    uris: [Uri; SHAPES.len()],
    headers: [HeaderMap; 2],
    pub(super) pool: Pool,
    pub(super) lines: Lines,
    /// Retries that its deployment may still make.
    pub(crate) budget: Arc<Budget>,
}

impl Target {
    /// It is an engine of this machine, on a socket of its own.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.endpoint, Endpoint::Unix(_))
    }

    /// The target of this lease's member.
    pub(super) fn new(lease: &Lease, budget: Arc<Budget>) -> Result<Self, Error> {
        let member = &lease.member;
        let uri = match &member.endpoint {
            Endpoint::Unix(_) => Uri::from_static("http://localhost"),
            Endpoint::Url(base) => base.parse().map_err(|source: http::uri::InvalidUri| unsendable(source.into()))?,
        };
        let headers = [headers(member, "application/json")?, headers(member, "text/event-stream")?];
        let path = |shape: Shape| match &member.endpoint {
            Endpoint::Unix(_) => shape.path().to_owned(),
            Endpoint::Url(_) => format!("{}{}", uri.path().trim_end_matches('/'), shape.path().trim_start_matches("/v1")),
        };
        let whole = |shape| {
            let whole = Uri::builder().scheme(uri.scheme_str().unwrap_or("http")).authority(authority(&uri));
            whole.path_and_query(path(shape)).build().map_err(unsendable)
        };
        let [chat, completions, embeddings] = SHAPES.map(whole);
        let uris = [chat?, completions?, embeddings?];
        let starts = SHAPES.map(|shape| headers.each_ref().map(|headers| start(&path(shape), authority(&uri), headers)));
        Ok(Self {
            id: member.id.clone(),
            endpoint: member.endpoint.clone(),
            key: member.key.clone(),
            version: lease.entry.spec.http_version,
            chosen: OnceLock::new(),
            uri,
            starts,
            uris,
            headers,
            pool: Pool::default(),
            lines: Lines::default(),
            budget,
        })
    }

    /// Whether this lease's member is the same, though it was published again.
    pub(super) fn is_of(&self, lease: &Lease) -> bool {
        let Member { id, endpoint, key, .. } = &*lease.member;
        self.id == *id && self.endpoint == *endpoint && self.key == *key && self.version == lease.entry.spec.http_version
    }

    /// Whether calls may be sent by this HTTP. Only who speaks TLS says by itself what it speaks.
    pub(super) fn may_speak(&self, version: HttpVersion) -> bool {
        match self.version.or_else(|| self.chosen.get().copied()) {
            Some(known) => known == version,
            None => version == HttpVersion::Http1 || self.uri.scheme_str() == Some("https"),
        }
    }

    /// What was agreed on with the server.
    pub(super) fn speaks(&self, version: HttpVersion) {
        let _ = self.chosen.set(version); // it was known, or another call found out first
    }

    /// How a request of HTTP/1.1 begins: its first line, and the headers that are the same for all.
    pub(super) fn start(&self, shape: Shape, streams: bool) -> &[u8] {
        self.starts.get(place(shape)).map_or(&[], |starts| &starts[usize::from(streams)])
    }

    /// What every request of HTTP/2 carries.
    pub(super) fn headers(&self, streams: bool) -> HeaderMap {
        self.headers[usize::from(streams)].clone()
    }

    /// Where a request of HTTP/2 goes.
    pub(super) fn uri_of(&self, shape: Shape) -> Uri {
        self.uris.get(place(shape)).unwrap_or(&self.uri).clone()
    }
}

fn place(shape: Shape) -> usize {
    SHAPES.iter().position(|known| *known == shape).unwrap_or(0)
}

/// Header values hold no line ends, and so does a path that was parsed.
fn start(path: &str, host: &str, headers: &HeaderMap) -> Bytes {
    let mut start = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            start.extend_from_slice(part);
        }
    }
    start.into()
}

fn unsendable(source: http::Error) -> Error {
    Error::Unsendable { source }
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("localhost", http::uri::Authority::as_str)
}

fn headers(member: &Member, accept: &'static str) -> Result<HeaderMap, Error> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|source| unsendable(source.into()));
    let mut headers = HeaderMap::with_capacity(MOST_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(key) = &member.key {
        let mut bearer = value(&format!("Bearer {}", key.expose()))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}
