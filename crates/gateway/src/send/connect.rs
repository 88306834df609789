//! How a byte pipe to an instance is opened: a Unix socket, TCP, or TLS over TCP.
//!
//! In: an endpoint. Out: a pipe. Fails: refused, unknown host, bad certificate. The trusted roots of
//! the machine are read when the first `https` engine is called, so that a machine without any
//! serves its own models all the same.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use super::link::Pipe;

/// Why a pipe could not be opened.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Opens pipes.
#[derive(Default)]
pub(super) struct Connector {
    tls: OnceLock<HttpsConnector<HttpConnector>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// To a socket of this machine.
pub(super) async fn unix(path: &Path) -> Result<Box<dyn Pipe>, Cause> {
    Ok(Box::new(TokioIo::new(UnixStream::connect(path).await?)))
}

impl Connector {
    /// To the host of a URL.
    pub(super) async fn url(&self, url: Uri) -> Result<Box<dyn Pipe>, Cause> {
        if url.scheme_str() == Some("https") {
            let tls = self.tls()?;
            return Ok(Box::new(tls.oneshot(url).await?));
        }
        Ok(Box::new(tcp().oneshot(url).await?))
    }

    fn tls(&self) -> Result<HttpsConnector<HttpConnector>, Cause> {
        if let Some(ready) = self.tls.get() {
            return Ok(ready.clone());
        }
        let mut tcp = tcp();
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())?
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp
}
