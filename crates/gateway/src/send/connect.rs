//! How a byte pipe to an instance is opened: a Unix socket, TCP, or TLS over TCP.
//!
//! In: a target. Out: a pipe, and whether HTTP/2 is spoken on it. Fails: refused, unknown host, a host that must not be called, bad certificate. The trusted
//! roots of the machine are read when the first `https` engine is called.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::TokioIo;
use net::{Dialer, Guard};
use spec::{Endpoint, HttpVersion};
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use super::link::Pipe;
use super::target::Target;

/// Why a pipe could not be opened.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Opens pipes.
pub(super) struct Connector {
    dialer: Dialer,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Bytes both ways.
pub(super) struct Opened {
    pub(super) pipe: Box<dyn Pipe>,
    /// HTTP/2 is spoken on it.
    pub(super) http2: bool,
}

impl Connector {
    /// To wherever this lets it.
    pub(super) fn new(outbound: Guard) -> Self {
        Self { dialer: Dialer::new(outbound) }
    }

    /// To the target.
    pub(super) async fn open(&self, target: &Target) -> Result<Opened, Cause> {
        match &target.endpoint {
            Endpoint::Unix(path) => unix(path).await,
            Endpoint::Url(_) => self.url(target.uri.clone(), target.version).await,
        }
    }

    /// To the host of a URL. Without TLS nothing is negotiated: HTTP/2 is spoken only where that is known beforehand.
    async fn url(&self, url: Uri, version: Option<HttpVersion>) -> Result<Opened, Cause> {
        if url.scheme_str() == Some("https") {
            let stream = self.tls(version)?.oneshot(url).await?;
            let http2 = stream.connected().is_negotiated_h2() || version == Some(HttpVersion::Http2);
            return Ok(Opened { pipe: Box::new(TokioIo::new(stream)), http2 });
        }
        let stream = self.dialer.clone().oneshot(url).await?;
        Ok(Opened { pipe: Box::new(stream.into_inner()), http2: version == Some(HttpVersion::Http2) })
    }

    fn tls(&self, version: Option<HttpVersion>) -> Result<HttpsConnector<Dialer>, Cause> {
        let dialer = self.dialer.clone();
        let builder = HttpsConnectorBuilder::new().with_tls_config(net::trust()?).https_only();
        Ok(match version {
            Some(HttpVersion::Http1) => builder.enable_http1().wrap_connector(dialer),
            Some(HttpVersion::Http2) => builder.enable_http2().wrap_connector(dialer),
            None => builder.enable_all_versions().wrap_connector(dialer),
        })
    }
}

/// To a socket of this machine.
async fn unix(path: &Path) -> Result<Opened, Cause> {
    Ok(Opened { pipe: Box::new(UnixStream::connect(path).await?), http2: false })
}
