//! In: what came over HTTP becomes a call: its head looked at, its body read and size-checked.
//!
//! In: a request's head and body. Out: a [`Raw`] that becomes the [`Call`](crate::call::Call). Fails: media
//! type, size (told from `content-length` before a byte is read), a sender that falls silent, bad
//! JSON with its byte. The head is looked at first and the body read only once it is known who
//! sends it: nobody without a token makes us hold 32 MiB.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use wire::scan::{self, Reader, Scan, Spans};

use crate::clock::within;
use crate::error::Error;
pub(crate) use crate::passage::{Arrival, REQUEST_ID};

/// A sender who is silent for so long in the middle of a body has gone.
const BODY_SILENCE: Duration = Duration::from_secs(30);
/// What is set aside at once on the word of a `content-length`.
const FIRST_GRANT: usize = 64 << 10;
/// Who has sent so much is believed how much will come.
const TRUSTED: usize = 1 << 20;
/// A body is scanned on when so much has come.
const FEED: usize = 64 << 10;

/// A request that has come, of whom nothing is known yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) arrival: Arrival,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Arrived {
    /// Of a request that has gone through the router.
    pub(crate) fn of(request: Request) -> Self {
        let (head, body) = request.into_parts();
        let arrival = head.extensions.get::<Arrival>().cloned().unwrap_or_else(|| Arrival::now(&head.headers));
        Self { arrival, headers: head.headers, body }
    }
}

/// A request whose sender is known and whose body is here, not scanned yet.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) arrival: Arrival,
    pub(crate) headers: HeaderMap,
    pub(crate) caller: Arc<Caller>,
    pub(crate) body: Bytes,
    /// Its scan, as far as it was made while the body came; nothing for a body that came in one piece.
    pub(crate) reader: Option<Reader>,
}

impl Raw {
    /// Where the members of the body lie.
    pub(crate) fn spans(&mut self) -> Result<Spans, Error> {
        let spans = match self.reader.take() {
            Some(reader) => reader.finish(&self.body),
            None => scan::object(&self.body).map(Scan::into_spans),
        };
        Ok(spans.map_err(wire::Error::Json)?)
    }

    /// Bytes that still have to be looked at one by one.
    pub(crate) fn unread(&self) -> usize {
        self.body.len() - self.reader.as_ref().map_or(0, Reader::in_long_strings)
    }
}

/// Refuses by the head alone what cannot become a call.
pub(crate) fn check(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()));
    if let Some(kind) = text(CONTENT_TYPE)
        && !is_json(&kind)
    {
        return Err(Error::MediaType { found: kind.into_owned() });
    }
    if let Some(coding) = text(CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(Error::Encoding { found: coding.into_owned() });
    }
    if announced(headers).unwrap_or(0) > limit as u64 { Err(Error::TooLarge { limit }) } else { Ok(()) }
}

/// The length that the sender says its body has.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || is_kind_of_json(&kind.to_ascii_lowercase())
}

fn is_kind_of_json(kind: &str) -> bool {
    kind.starts_with("application/") && kind.ends_with("+json")
}

/// The whole body, of at most `limit` bytes, and its scan. A large body is copied once, to one place, and scanned piece by
/// piece while it comes: what has just been written is still in the processor's cache.
pub(crate) async fn read(mut body: Body, limit: usize, announced: usize) -> Result<(Bytes, Option<Reader>), Error> {
    let Some(first) = next(&mut body).await? else { return Ok((Bytes::new(), None)) };
    if first.len() > limit {
        return Err(Error::TooLarge { limit });
    }
    match next(&mut body).await? {
        None => Ok((first, None)), // as most bodies come: in one piece, and that is not copied
        Some(second) => Box::pin(read_on(body, [first, second], limit, announced.min(limit))).await,
    }
}

async fn read_on(mut body: Body, [first, second]: [Bytes; 2], limit: usize, announced: usize) -> Result<(Bytes, Option<Reader>), Error> {
    let mut arriving = Arriving { all: BytesMut::new(), reader: Some(Reader::default()), fed: 0 };
    arriving.all.reserve(FIRST_GRANT.min(announced.max(first.len() + second.len())));
    arriving.all.extend_from_slice(&first);
    let mut next_one = Some(second);
    while let Some(piece) = next_one {
        arriving.add(&piece, announced);
        if arriving.all.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        next_one = next(&mut body).await?;
    }
    Ok(arriving.done())
}

/// A body on its way.
struct Arriving {
    all: BytesMut,
    reader: Option<Reader>,
    fed: usize,
}

impl Arriving {
    fn add(&mut self, piece: &[u8], announced: usize) {
        let length = self.all.len() + piece.len();
        if length > self.all.capacity() {
            // Who has sent so much will send the rest; until then memory is set aside as it is filled.
            let more = if length >= TRUSTED { announced.saturating_sub(self.all.len()) } else { 3 * length };
            self.all.reserve(more.max(piece.len()));
        }
        self.all.extend_from_slice(piece);
        if length - self.fed >= FEED {
            self.fed = length;
            // What is wrong with it is said in the face's own way, by whoever scans it then.
            self.reader = self.reader.take().and_then(|mut reader| reader.feed(&self.all).is_ok().then_some(reader));
        }
    }

    fn done(self) -> (Bytes, Option<Reader>) {
        (self.all.freeze(), self.reader.filter(|_| self.fed > 0))
    }
}

/// Why a body ends that whoever accepted its connection waited for: its client is too slow.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too little of the body came in {}", base::clock::human::print(*waited))]
pub struct TooSlow {
    /// How long it was waited for.
    pub waited: Duration,
}

fn lost(source: axum::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
    while let Some(error) = cause {
        if let Some(TooSlow { waited }) = error.downcast_ref() {
            return Error::SlowBody { after: *waited };
        }
        cause = error.source();
    }
    Error::BodyLost { source }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = within(BODY_SILENCE, body.frame());
        match frame.await.ok_or(Error::SlowBody { after: BODY_SILENCE })? {
            None => return Ok(None),
            Some(Err(source)) => return Err(lost(source)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_trailers) => {}
            },
        }
    }
}
