//! The door: accepts connections, and lets those inside finish when it closes.
//!
//! In: an address, who answers, [`Rules`]. Out: connections served by HTTP/1.1 or HTTP/2, with TLS where there are certificates. Fails: when the
//! address cannot be had. Holds: as many as the rules allow, of one address ([`crowd`]) and of all; a client that opens one and sends no
//! request head is let go, and so is one that does not take what it is sent ([`taken`]) or does not send the body that it announced ([`paced`]). No
//! packet waits for more to come (TCP_NODELAY): each is a token.

mod plain;
mod taken;

mod again;
mod armour;
mod crowd;
mod lost;
mod paced;
mod tls;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use base::tasks::{self, Task};
use bytes::{Bytes, BytesMut};
use gateway::{Peer, Visitor};
use http::StatusCode;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use net::Proxies;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use again::Again;
use crowd::{Crowd, Seat};
pub(super) use lost::Lost;
use lost::Why;
use paced::{Pace, Paced};
use plain::Then;
use taken::{Asked, Patience, Requests, Running, Streams, Taken};
pub(super) use tls::{Certificates, Files, Look};

use crate::config::Limits;
use crate::error::Error;

/// Connections that the system holds until we accept them.
const BACKLOG: u32 = 1024;
/// When the system has no descriptors left, it may have some after this long.
const PAUSE: Duration = Duration::from_millis(50);
/// For what is still inside when the door closes, and for a client to hear that TLS ends.
const LAST: Duration = Duration::from_secs(2);
/// What is read before a handshake; a greeting fits.
const FIRST: usize = 1 << 10;
/// What who speaks plain HTTP to a door with TLS is told.
const SPEAK_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 41\r\nconnection: close\r\n\r\nthis address speaks TLS; write https://\r\n";

/// What the door goes by.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How much clients may bring, and how slowly.
    pub(super) limits: Limits,
    /// A client that takes nothing for so long is let go.
    pub(super) write_timeout: Duration,
    /// TLS, where there are any.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// Those whose connections are not counted.
    pub(super) proxies: Option<Arc<Proxies>>,
    /// Where it is counted who does not get in, or has to go.
    pub(super) lost: Arc<Lost>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { limits: Limits::default(), write_timeout: Duration::from_mins(1), certificates: None, proxies: None, lost: Arc::default() }
    }
}

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
pub(super) trait Answers: Answer<Paced> + Answer<Full<Bytes>> {
    /// A `POST` of this path may come by the [`plain`] road.
    fn is_plain(&self, path: &str) -> bool;
}

impl Answers for Visitor {
    fn is_plain(&self, path: &str) -> bool {
        self.goes_straight(path)
    }
}

/// Serves; each connection is answered by a service of its own.
pub(super) fn open<S: Answers>(bound: Bound, service: impl Fn(Peer) -> S + Send + 'static, rules: Rules) -> Open {
    let close = CancellationToken::new();
    let crowd = Crowd::new(rules.limits.connections_per_address, rules.proxies.clone());
    let door = Door { service, crowd, rules: Arc::new(rules), close: close.clone() };
    let task = tasks::spawn("listener", door.accept(bound.listener));
    Open { close, task }
}

impl Open {
    /// No new connections; those that are inside finish what they do, for a short while.
    pub(super) async fn close(self) {
        self.close.cancel();
        self.task.join().await;
    }
}

/// Who lets connections in.
struct Door<F> {
    service: F,
    rules: Arc<Rules>,
    crowd: Arc<Crowd>,
    close: CancellationToken,
}

impl<S: Answers, F: Fn(Peer) -> S> Door<F> {
    async fn accept(self, listener: TcpListener) {
        let inside = GracefulShutdown::new();
        let places =
            Arc::new(Semaphore::new(usize::try_from(self.rules.limits.connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = self.close.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => match self.crowd.enter(peer.ip()) {
                    Some(seat) => self.serve((stream, peer), inside.watcher(), (place, seat)),
                    None => self.rules.lost.count(Why::AddressFull),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        if timeout(LAST, inside.shutdown()).await.is_err() {
            tracing::warn!("some connections were cut");
        }
    }

    fn serve(&self, (stream, peer): (TcpStream, SocketAddr), watcher: Watcher, held: (Option<OwnedSemaphorePermit>, Seat)) {
        let rules = Arc::clone(&self.rules);
        if let Err(error) = prepare(&stream, rules.write_timeout) {
            tracing::debug!(%error, "a connection is gone already");
        }
        let (service, close) = ((self.service)(Peer(peer)), self.close.clone());
        tasks::spawn("connection", async move {
            let _held = held;
            let patience = Patience { write: rules.write_timeout, head: rules.limits.header_timeout };
            let requests = Arc::default();
            let taken = Taken::new(stream, patience, (Arc::clone(&requests), Arc::clone(&rules.lost)));
            let acceptor = rules.certificates.as_ref().map(|certificates| certificates.acceptor());
            let talk = Talk { service, rules, requests, close, watcher };
            match acceptor {
                None => drop(talk.over(taken).await),
                // Boxed, so that a plain connection carries none of this.
                Some(acceptor) => Box::pin(talk.secured(taken, acceptor)).await,
            }
        })
        .detach();
    }
}

/// What is said over one connection.
struct Talk<S> {
    service: S,
    rules: Arc<Rules>,
    requests: Arc<Requests>,
    close: CancellationToken,
    watcher: Watcher,
}

impl<S: Answers> Talk<S> {
    /// Until it is over; gives the connection back where it has not been closed properly.
    async fn over<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, mut io: IO) -> Option<IO> {
        let lines = armour::lines(self.rules.certificates.is_some());
        let by = plain::By { service: &self.service, requests: &self.requests, close: &self.close, lines };
        match plain::serve(&mut io, by).await {
            Then::Over => Some(io),
            Then::Other(ahead) => {
                // Boxed for the same reason.
                Box::pin(self.of_all(Again::new(ahead, io))).await;
                None
            }
        }
    }

    async fn secured(self, mut taken: Taken, acceptor: TlsAcceptor) {
        let mut first = BytesMut::with_capacity(FIRST);
        match taken.read_buf(&mut first).await {
            Ok(_) if first.first().is_some_and(u8::is_ascii_uppercase) => {
                // The first letter of a method: no handshake begins like that.
                self.rules.lost.count(Why::NoTls);
                drop(timeout(LAST, taken.write_all(SPEAK_TLS)).await);
                return;
            }
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let lost = Arc::clone(&self.rules.lost);
        match acceptor.accept(Again::new(first.freeze(), taken)).await {
            Ok(stream) => {
                if let Some(mut stream) = self.over(stream).await {
                    drop(timeout(LAST, stream.shutdown()).await);
                }
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::TimedOut {
                    lost.count(Why::BadHandshake);
                }
                tracing::debug!(%error, "a handshake failed");
            }
        }
    }

    /// Whatever HTTP/1.1 and HTTP/2 know.
    async fn of_all<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, io: Again<IO>) {
        let Self { service, rules, requests, watcher, .. } = self;
        let limits = rules.limits.clone();
        let builder = builder(&limits, rules.write_timeout, &rules.lost);
        let (tls, pace) = (rules.certificates.is_some(), Pace { silence: limits.body_timeout, rate: limits.body_rate.0 });
        let lost = Arc::clone(&rules.lost);
        let service = service_fn(move |request: Request<Incoming>| {
            let operators = armour::is_operators(request.uri().path());
            let too_many = request.headers().len() > limits.headers as usize;
            let answer = (!too_many).then(|| service.call(request.map(|body| Paced::new(body, pace, &lost))));
            let running = Running::begin(&requests);
            async move {
                let mut answer = match answer {
                    Some(answer) => answer.await?,
                    None => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response(),
                };
                armour::put_on(&mut answer, operators, tls);
                Ok::<_, Infallible>(answer.map(|body| Asked::new(body, running)))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(io), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

fn builder(limits: &Limits, write_timeout: Duration, lost: &Arc<Lost>) -> auto::Builder<Streams> {
    let header_bytes = u32::try_from(limits.header_bytes.0).unwrap_or(u32::MAX);
    let mut builder = auto::Builder::new(Streams { limit: write_timeout, lost: Arc::clone(lost) });
    // The connection itself sees to slow heads, at less cost.
    builder.http1().header_read_timeout(None).max_buf_size(header_bytes as usize);
    if limits.headers != Limits::default().headers {
        builder.http1().max_headers(limits.headers as usize);
    }
    builder.http2().timer(TokioTimer::new()).max_header_list_size(header_bytes).max_concurrent_streams(limits.streams);
    builder
}

/// No waiting for more to send; a client whose machine has vanished is given up as one that takes nothing.
fn prepare(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(stream, sockopt::TcpUserTimeout, &ms)?)
}
