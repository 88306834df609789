//! Out: the engine's reply becomes the client's answer.
//!
//! In: a [`Reply`], the lease it runs on, the account. Out: an HTTP answer. Fails: with a real status
//! as long as nothing has been said to the client; after that inside the stream. A stream that is long in coming gets its
//! head early ([`early`]). Three ways:
//! [`stream`] (events as they come), [`fold`](whole::fold) (a stream made into one reply), [`whole`]
//! (one reply as it is).

pub(crate) mod early;
mod shaper;
mod stream;
mod whole;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use board::{Entry, Lease};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::fold::Fold;
use wire::ollama::Embedded;
use wire::vectors;

use shaper::Shaper;
use stream::Stream;

use crate::Gateway;
use crate::account::Account;
use crate::call::{Call, Face, Manner};
use crate::clock::Clock;
use crate::error::{self, Again, Error, Said};
use crate::send::{self, Reply};

/// What of an engine's error is read.
const MOST_ERROR: usize = 1 << 20;

/// What a call holds until its last byte is out.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    pub(crate) account: Box<Account>,
    pub(crate) clock: Clock,
    /// The engine was asked for a stream.
    pub(crate) streams: bool,
}

/// An answer that did not begin: nothing has been said to the client.
#[derive(Debug)]
pub(crate) struct Unsaid {
    pub(crate) error: Error,
    pub(crate) account: Box<Account>,
}

/// The client's answer.
pub(crate) async fn relay(gateway: &Gateway, call: &Call, reply: Reply, held: Held) -> Result<Response, Unsaid> {
    if call.streamed && reply.status.is_success() {
        let stream = Box::pin(Stream::begin(gateway, call, reply.flow, held)).await?;
        return Ok(answer(call, stream_headers(call.face), Body::new(stream)));
    }
    let Held { lease, mut account, clock, streams } = held;
    let outcome = gateway.stopping().unless_ended(whole(call, reply, (&clock, streams, &lease), &mut account)).await;
    match &outcome {
        Ok(_) => lease.answered(),
        Err(error) => send::report(&lease, error),
    }
    drop(lease);
    match outcome {
        Ok(body) => {
            account.completed();
            let kind = if call.face == Face::Lines { NDJSON } else { JSON };
            Ok(answer(call, headers([(CONTENT_TYPE, kind)]), Body::from(body)))
        }
        Err(error) => Err(Unsaid { error, account }),
    }
}

/// An answer in one piece.
async fn whole(call: &Call, reply: Reply, (clock, streams, lease): (&Clock, bool, &Lease), account: &mut Account) -> Result<Bytes, Error> {
    if !reply.status.is_success() {
        return Err(Box::pin(said(reply, clock, &lease.entry)).await);
    }
    let waited = lease.waited;
    match (streams, &call.manner) {
        (true, Manner::Plain | Manner::Vectors { .. } | Manner::Embedded { .. }) => {
            let fold = Fold::new(call.ask.shape).prompts(call.ask.prompts).prompt_estimate(account.prompt_estimate());
            Box::pin(whole::fold(reply.flow, fold, clock, account)).await
        }
        (true, _) => {
            let shaper = Shaper::new(call, account, waited);
            Box::pin(whole::last_line(reply.flow, (call.ask.shape, shaper), clock, account)).await
        }
        (false, _) => {
            let body = whole::read(reply.flow, call.ask.shape, clock, account).await?;
            put(call, body, waited, account)
        }
    }
}

/// A reply of the engine's, as this client wants it.
fn put(call: &Call, body: Bytes, waited: Duration, account: &mut Account) -> Result<Bytes, Error> {
    match &call.manner {
        Manner::Vectors { base64 } => account.working(|| Ok(vectors::put_right(&body, *base64)?.unwrap_or(body))),
        Manner::Embedded { old } => account.working(|| {
            let embedded = Embedded { model: call.model().to_owned(), old: *old };
            Ok(embedded.write(&body, call.arrival.began.elapsed(), waited)?)
        }),
        _ => Ok(body),
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream");

fn stream_headers(face: Face) -> HeaderMap {
    headers([
        (CONTENT_TYPE, if matches!(face, Face::Lines | Face::Ollama) { NDJSON } else { SSE }),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ])
}

/// With room for those of limits, of the request's id and of the server.
fn headers<const N: usize>(some: [(HeaderName, HeaderValue); N]) -> HeaderMap {
    const ROOM: usize = 16;
    let mut headers = HeaderMap::with_capacity(ROOM);
    headers.extend(some);
    headers
}

fn answer(call: &Call, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    if call.face == Face::Messages {
        error::note_request_id(&mut response, &call.arrival.id);
    }
    response
}

/// The engine's own error, put into the shape of ours if it has another.
pub(crate) async fn said(reply: Reply, clock: &Clock, entry: &Entry) -> Error {
    let mut flow = reply.flow;
    let body = match whole::collect(&mut flow, clock, MOST_ERROR).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    flow.keep();
    Error::Said(Said::new(reply.status, Again::of(&reply.headers.unwrap_or_default()), &body).by(entry.spec.engine()))
}

/// The error that an engine sent as the first event of a stream.
fn said_in_stream(event: &Bytes) -> Error {
    let body = event.strip_prefix(b"data: ").unwrap_or(event).trim_ascii();
    Error::Said(Said::in_stream(&event.slice_ref(body)))
}
