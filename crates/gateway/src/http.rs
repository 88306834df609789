//! In: what came over HTTP becomes a [`Call`]: scanned once, size-checked, with a request id.
//!
//! In: a request's head and body. Out: an [`Arrival`] (id and time), then the [`Call`]. Fails: media
//! type, size (told from `content-length` before a byte is read), a sender that falls silent, bad
//! JSON with its byte. The head is looked at first and the body read only once it is known who
//! sends it: nobody without a token makes us hold 32 MiB.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use axum::body::Body;
use base::Timestamp;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::error::Error;

/// The header of the request id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids are not repeated into logs and rows.
const LONGEST_ID: usize = 128;
/// A sender who is silent for so long in the middle of a body has gone.
const BODY_SILENCE: Duration = Duration::from_secs(30);
/// What is set aside at once on the word of a `content-length`.
const FIRST_GRANT: usize = 64 << 10;

/// When a request came, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// The client's own id if it is sane, else a new one.
    pub(crate) id: Arc<str>,
    /// True when the client chose the id, so that it may come again.
    pub(crate) borrowed_id: bool,
    /// For measuring.
    pub(crate) began: Instant,
    /// For the row.
    pub(crate) at: Timestamp,
}

impl Arrival {
    /// Of a request with these headers, now.
    pub(crate) fn now(headers: &HeaderMap) -> Self {
        const DIGITS: usize = 24;
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        let id = given.map_or_else(|| format!("req_{}", base::id::random_hex(DIGITS)), str::to_owned);
        Self { id: id.into(), borrowed_id: given.is_some(), began: Instant::now(), at: Timestamp::now() }
    }
}

/// A request whose sender is known and whose body is here, not scanned yet.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) arrival: Arrival,
    pub(crate) headers: HeaderMap,
    pub(crate) caller: Arc<Caller>,
    pub(crate) body: Bytes,
}

fn is_sane(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
}

/// Refuses by the head alone what cannot become a call.
pub(crate) fn check(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(kind) = text(CONTENT_TYPE)
        && !is_json(&kind)
    {
        return Err(Error::MediaType { found: kind });
    }
    if let Some(coding) = text(CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(Error::Encoding { found: coding });
    }
    match text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit as u64 => Err(Error::TooLarge { limit }),
        _ => Ok(()),
    }
}

fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut first = None;
    let mut more = BytesMut::new();
    while let Some(bytes) = next(&mut body).await? {
        let held = first.as_ref().map_or(0, Bytes::len).max(more.len());
        if held + bytes.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        match first.take() {
            None if more.is_empty() => first = Some(bytes), // most bodies come in one piece and are not copied
            None => more.extend_from_slice(&bytes),
            Some(start) => {
                more.reserve(FIRST_GRANT.min(limit));
                more.extend_from_slice(&start);
                more.extend_from_slice(&bytes);
            }
        }
    }
    Ok(first.unwrap_or_else(|| more.freeze()))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = tokio::time::timeout(BODY_SILENCE, body.frame());
        match frame.await.map_err(|_elapsed| Error::SlowBody { after: BODY_SILENCE })? {
            None => return Ok(None),
            Some(Err(source)) => return Err(Error::BodyLost { source }),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_trailers) => {}
            },
        }
    }
}
