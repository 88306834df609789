//! Around every request: its id, its time, and the counters of its route.
//!
//! In: any request. Out: its answer with `x-request-id` and `openai-processing-ms`; the counters
//! move when the last byte is out or the client has gone, whichever comes first. A service of its
//! own and no function of axum's, which would take three allocations more for each request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Frame, SizeHint};
use tower::{Layer, Service};

use crate::Gateway;
use crate::error::CLIENT_GONE;
use crate::identify::identify;
use crate::metrics::{Route, method};
use crate::passage::{Arrival, Peer, REQUEST_ID};

const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// The label of paths that no route matches: they are the client's words, so without a bound.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Names and counts every request.
#[derive(Debug, Clone)]
pub(crate) struct Around(pub(crate) Gateway);

impl<S> Layer<S> for Around {
    type Service = Counting<S>;
    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, gateway: self.0.clone() }
    }
}

/// The service in the middle, and around it the counters.
#[derive(Debug, Clone)]
pub(crate) struct Counting<S> {
    inner: S,
    gateway: Gateway,
}

impl<S> Service<Request> for Counting<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Passing<S::Future> {
        let path = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
        let route = self.gateway.metrics().route(path);
        let peer = request.extensions().get().copied();
        let visit = Visit::begin(&self.gateway, &request, route, peer);
        // The walk tells who calls a model; whoever only looks is asked here, where somebody wants to know.
        if visit.arrival.is_told()
            && request.method() != Method::POST
            && let Ok(caller) = identify(self.gateway.access(), request.headers())
        {
            visit.arrival.identified(&caller);
        }
        request.extensions_mut().insert(visit.arrival.clone());
        Passing::new(self.inner.call(request), visit)
    }
}

/// A request on its way to an answer.
#[derive(Debug)]
pub(crate) struct Passing<F> {
    inner: F, // before the visit: what it holds is given back first
    visit: Option<Visit>,
}

impl<F> Passing<F> {
    /// A visit, and the work that brings its answer.
    pub(crate) fn new(inner: F, visit: Visit) -> Self {
        Self { inner, visit: Some(visit) }
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Passing<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(Pin::new(&mut self.inner).poll(cx));
        let Some(mut visit) = self.visit.take() else { return Poll::Ready(Ok(response)) };
        visit.status = response.status().as_u16();
        visit.arrival.head_goes_out(visit.status);
        crate::error::complete(&mut response, &visit.arrival.id);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, visit.arrival.id.header());
        let ms = u64::try_from(visit.arrival.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        headers.insert(PROCESSING_MS, HeaderValue::from(ms));
        if let Some(caller) = response.extensions_mut().remove() {
            visit.arrival.identified(&caller);
        }
        Poll::Ready(Ok(response.map(|body| Body::new(Counted { body, visit, is_over: false }))))
    }
}

impl<F> Drop for Passing<F> {
    fn drop(&mut self) {
        if let Some(visit) = &self.visit {
            visit.arrival.client_leaves();
        }
    }
}

/// One request's visit. A client who leaves before there is a head counts as gone.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) arrival: Arrival,
    route: Arc<Route>,
    method: &'static str,
    status: u16,
    bytes: u64,
}

impl Visit {
    /// A request has come.
    pub(crate) fn begin<B>(gateway: &Gateway, request: &http::Request<B>, route: Arc<Route>, peer: Option<Peer>) -> Self {
        route.came();
        let arrival = Arrival::of(request, Arc::clone(&route), (gateway.watch(), peer));
        Self { arrival, route, method: method(request.method()), status: CLIENT_GONE, bytes: 0 }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let took = self.arrival.began.elapsed();
        self.route.left(self.method, self.status, took);
        self.arrival.left(self.status, self.bytes, took);
    }
}

/// A body that knows when it is over.
struct Counted {
    body: Body, // before the visit
    visit: Visit,
    is_over: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_over && !http_body::Body::is_end_stream(&self.body) {
            self.visit.arrival.client_leaves();
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.visit.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) | None => self.is_over = true,
        }
        Poll::Ready(frame)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Gives routers of other rooms the id that a request has here.
pub(crate) async fn named(mut request: Request, next: Next) -> Response {
    if let Some(arrival) = request.extensions().get::<Arrival>() {
        let id = arrival.id.header();
        request.headers_mut().insert(REQUEST_ID, id);
    }
    next.run(request).await
}
