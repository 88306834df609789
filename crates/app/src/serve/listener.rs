//! The door: accepts connections, and lets those inside finish when it closes.
//!
//! In: an address and who answers. Out: connections served by HTTP/1.1 or HTTP/2. Fails: when the
//! address cannot be had. Holds: at most [`MOST_CONNECTIONS`]; a client that opens one and sends no
//! request head is let go, and so is one that does not take what it is sent ([`taken`]). No packet waits for more to come (TCP_NODELAY): each is a token.

mod plain;
mod taken;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base::tasks::{self, Task};
use bytes::Bytes;
use gateway::{Peer, Visitor};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use plain::Then;
use taken::{Asked, Requests, Running, Streams, Taken};

use crate::error::Error;

/// Connections at the same time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 16_384;
/// Connections that the system holds until we accept them.
const BACKLOG: u32 = 1024;
/// When the system has no descriptors left, it may have some after this long.
const PAUSE: Duration = Duration::from_millis(50);
/// For what is still inside when the door closes.
const LAST: Duration = Duration::from_secs(2);

/// A bound address, not yet served.
#[derive(Debug)]
pub(super) struct Bound {
    /// The real one, also where the port was left to the system.
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

/// A door that is open.
#[derive(Debug)]
pub(super) struct Open {
    close: CancellationToken,
    task: Task,
}

/// Binds.
#[allow(clippy::unused_async, reason = "needs the runtime's reactor, which a caller without one would learn by a panic")]
pub(super) async fn bind(address: SocketAddr) -> Result<Bound, Error> {
    let failed = |source| Error::Listen { address, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    Ok(Bound { address: listener.local_addr().map_err(failed)?, listener })
}

/// Answers requests with this body.
pub(super) trait Answer<B>:
    Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Send + Sync + 'static
{
}

impl<S, B> Answer<B> for S where S: Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Send + Sync + 'static {}

/// Answers the requests of one connection.
pub(super) trait Answers: Answer<Incoming> + Answer<Full<Bytes>> {
    /// A `POST` of this path may come by the [`plain`] road.
    fn is_plain(&self, path: &str) -> bool;
}

impl Answers for Visitor {
    fn is_plain(&self, path: &str) -> bool {
        self.goes_straight(path)
    }
}

/// Serves; each connection is answered by a service of its own.
pub(super) fn open<S: Answers>(bound: Bound, service: impl Fn(Peer) -> S + Send + 'static, client_write_timeout: Duration) -> Open {
    let close = CancellationToken::new();
    let task = tasks::spawn("listener", accept(bound.listener, (service, client_write_timeout), close.clone()));
    Open { close, task }
}

impl Open {
    /// No new connections; those that are inside finish what they do, for a short while.
    pub(super) async fn close(self) {
        self.close.cancel();
        self.task.join().await;
    }
}

async fn accept<S: Answers>(listener: TcpListener, (service, limit): (impl Fn(Peer) -> S, Duration), close: CancellationToken) {
    let inside = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = close.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => serve((stream, limit), service(Peer(peer)), (inside.watcher(), close.clone()), place),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(LAST, inside.shutdown()).await.is_err() {
        tracing::warn!("some connections were cut");
    }
}

fn serve(
    (stream, limit): (TcpStream, Duration),
    service: impl Answers,
    (watcher, close): (Watcher, CancellationToken),
    place: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = prepare(&stream, limit) {
        tracing::debug!(%error, "a connection is gone already");
    }
    tasks::spawn("connection", async move {
        let _place = place;
        let requests = Arc::default();
        let mut taken = Taken::new(stream, limit, Arc::clone(&requests));
        if plain::serve(&mut taken, &service, &requests, &close).await == Then::Other {
            // Boxed, so that a plain connection carries none of this.
            Box::pin(serve_all((taken, limit), service, requests, watcher)).await;
        }
    })
    .detach();
}

/// Whatever HTTP/1.1 and HTTP/2 know.
async fn serve_all((taken, limit): (Taken, Duration), service: impl Answers, requests: Arc<Requests>, watcher: Watcher) {
    let mut builder = auto::Builder::new(Streams { limit });
    builder.http1().header_read_timeout(None); // the connection itself sees to that, at less cost
    builder.http2().timer(TokioTimer::new());
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, running) = (service.call(request), Running::begin(&requests));
        async move { answer.await.map(|answer| answer.map(|body| Asked::new(body, running))) }
    });
    let connection = builder.serve_connection(TokioIo::new(taken), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a connection ended early");
    }
}

/// No waiting for more to send; a client whose machine has vanished is given up as one that takes nothing.
fn prepare(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &ms)?)
}
