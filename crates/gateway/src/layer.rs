//! Around every request: its id, its time, and the counters of the face.
//!
//! In: any request. Out: its answer with `x-request-id` and `openai-processing-ms`; the counters
//! move when the last byte is out or the client has gone, whichever comes first.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::Gateway;
use crate::error::CLIENT_GONE;
use crate::http::{Arrival, REQUEST_ID};
use crate::metrics::{Metrics, RouteLabel};

const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// The label of paths that no route matches: they are the client's words, so without a bound.
const UNMATCHED: &str = "unmatched";

/// The middleware.
pub(crate) async fn around(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    let arrival = Arrival::now(request.headers());
    let path = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let mut passage =
        Passage { metrics: gateway.metrics(), route: RouteLabel { path }, method: word(request.method()), status: 0, began: arrival.began };
    passage.metrics.came(&passage.route);
    request.extensions_mut().insert(arrival.clone());
    let mut response = next.run(request).await;
    passage.status = response.status().as_u16();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&arrival.id) {
        headers.insert(REQUEST_ID, id);
    }
    let ms = u64::try_from(arrival.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    headers.insert(PROCESSING_MS, HeaderValue::from(ms));
    response.map(|body| Body::new(Counted { body, _passage: passage }))
}

/// Methods by a closed list, since a client may send any word.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// One request's way through the house. A client who leaves before there is a head counts as gone.
struct Passage {
    metrics: Arc<Metrics>,
    route: RouteLabel,
    method: &'static str,
    status: u16,
    began: Instant,
}

impl Drop for Passage {
    fn drop(&mut self) {
        let status = if self.status == 0 { CLIENT_GONE } else { self.status };
        self.metrics.left(&self.route, self.method, status, self.began.elapsed());
    }
}

/// A body that knows when it is over.
struct Counted {
    body: Body,
    _passage: Passage,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
