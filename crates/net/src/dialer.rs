//! Connects to the host of a URL, if that is allowed.
//!
//! In: a URL, whatever brought it: a wish, a redirect. Out: a TCP connection. Fails: with the guard's [`Error`], before a packet is sent; as the
//! system does. How: the name is looked up, each address is checked, and the connection goes to one of those that were checked, so
//! that a name cannot answer twice in two ways. Waits: for the resolver, in a thread of its own, and for the other side.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

use crate::error::Error;
use crate::guard::Guard;

/// A machine that vanished is noticed after about this long, also where nothing is sent.
const STILL_THERE: Duration = Duration::from_mins(1);

/// Looks a name up; must be called where it may block.
type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Why no connection came of it.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A connection that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, Cause>> + Send>>;

/// Opens connections to the hosts of URLs; cheap to clone. TLS goes around it.
#[derive(Clone)]
pub struct Dialer {
    guard: Guard,
    lookup: Lookup,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Dialer {
    /// Wherever the guard lets it.
    pub fn new(guard: Guard) -> Self {
        Self::with_lookup(guard, |host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    /// The same, with names looked up in another way.
    pub fn with_lookup(guard: Guard, lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self { guard, lookup: Arc::new(lookup) }
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Cause;
    type Future = Dialing;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Dialing {
        let dialer = self.clone();
        Box::pin(async move {
            dialer.guard.check_uri(&uri)?;
            // What is free is free whatever its name leads to.
            let guard = if dialer.guard.is_free(&uri) { Guard::default() } else { dialer.guard };
            let mut tcp = HttpConnector::new_with_resolver(Names { guard, lookup: dialer.lookup });
            tcp.set_nodelay(true);
            tcp.set_keepalive(Some(STILL_THERE));
            tcp.enforce_http(false);
            tcp.oneshot(uri).await.map_err(refusal_first)
        })
    }
}

/// What the guard said, without the connector's words around it.
fn refusal_first(error: impl std::error::Error + Send + Sync + 'static) -> Cause {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(Error::Inside { host, address, what }) = cause.downcast_ref() {
            return Error::Inside { host: host.clone(), address: *address, what }.into();
        }
        source = cause.source();
    }
    error.into()
}

/// Looks names up, and keeps of what they lead to only what may be called.
#[derive(Clone)]
struct Names {
    guard: Guard,
    lookup: Lookup,
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { guard, lookup } = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let asked = host.clone();
            let found = tokio::task::spawn_blocking(move || lookup(&asked)).await.map_err(io::Error::other).flatten();
            let found = found.map_err(|source| Error::Lookup { host: host.clone(), source })?;
            Ok(guard.keep(&host, found.into_iter())?.into_iter())
        })
    }
}
