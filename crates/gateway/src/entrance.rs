//! Where requests come in: the calls that come most go straight to their walk, all others through the router.
//!
//! In: a request, and whose connection it came by. Out: its answer, counted and named either way. Fails: never. Why:
//! finding a route among a hundred and the layers around it took an eighth of a call's instructions.
//! With CORS switched on everything takes the router, where its headers are put on.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use http::{Method, Request};
use http_body::Body as HttpBody;
use tower::Service as _;

use crate::Gateway;
use crate::http::Arrived;
use crate::layer::{Passing, UNMATCHED, Visit};
use crate::metrics::Route;
use crate::pages;
use crate::passage::Peer;
use crate::routes::{STRAIGHT, Straight, face, router};
use crate::walk::{go, refused};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entrance(Arc<Ways>);

struct Ways {
    gateway: Gateway,
    straight: Vec<(Straight, Arc<Route>)>,
    router: Router,
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ways").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Entrance {
    pub(crate) fn new(gateway: Gateway, others: Router) -> Self {
        let straight: &[Straight] = if gateway.config().cors.is_some() { &[] } else { &STRAIGHT };
        let straight = straight.iter().map(|way| (*way, gateway.metrics().route(way.path))).collect();
        Self(Arc::new(Ways { straight, router: router(gateway.clone(), others), gateway }))
    }

    /// For the requests of one connection.
    pub fn visitor(&self, peer: Peer) -> Visitor {
        Visitor { ways: Arc::clone(&self.0), peer }
    }
}

/// One connection's way in.
#[derive(Debug, Clone)]
pub struct Visitor {
    ways: Arc<Ways>,
    peer: Peer,
}

impl Visitor {
    /// Where the request comes from, by the word of a proxy where that counts.
    fn peer<B>(&self, request: &Request<B>) -> Peer {
        match &self.ways.gateway.config().proxies {
            None => self.peer,
            Some(proxies) => Peer(proxies.client(self.peer.0, request.headers())),
        }
    }

    /// A `POST` of this path goes straight to its walk.
    pub fn goes_straight(&self, path: &str) -> bool {
        self.ways.straight.iter().any(|(way, _)| way.path == path)
    }
}

impl<B> hyper::service::Service<Request<B>> for Visitor
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<B>) -> Answer {
        let Ways { gateway, straight, router } = &*self.ways;
        let peer = self.peer(&request);
        let path = request.uri().path();
        if let Err(error) = pages::check(gateway, &request) {
            let visit = Visit::begin(gateway, &request, gateway.metrics().route(UNMATCHED), Some(peer));
            let refused = refused(&error, face(path));
            return Answer(Way::Straight(Passing::new(Box::pin(async move { Ok(refused) }), visit)));
        }
        if request.method() == Method::POST
            && let Some((way, route)) = straight.iter().find(|(way, _)| way.path == path)
        {
            let visit = Visit::begin(gateway, &request, Arc::clone(route), Some(peer));
            let (arrival, (head, body)) = (visit.arrival.clone(), request.into_parts());
            let arrived = Arrived { arrival, headers: head.headers, body: Body::new(body) };
            let (gateway, Straight { face, read, .. }) = (gateway.clone(), *way);
            let walk: Walk = Box::pin(async move { Ok(go(gateway, arrived, face, read).await) });
            return Answer(Way::Straight(Passing::new(walk, visit)));
        }
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(access::Address(peer.0.ip()));
        Answer(Way::Routed(Box::new(router.clone().call(request))))
    }
}

type Walk = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// A request on its way.
#[derive(Debug)]
pub struct Answer(Way);

enum Way {
    Straight(Passing<Walk>),
    Routed(Box<RouteFuture<Infallible>>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Straight(_) => "Straight",
            Self::Routed(_) => "Routed",
        })
    }
}

impl Future for Answer {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::Straight(walk) => Pin::new(walk).poll(cx),
            Way::Routed(route) => Pin::new(&mut **route).poll(cx),
        }
    }
}
