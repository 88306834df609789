//! Ask: the call goes to the member of a lease, and a reply begins to come.
//!
//! In: a [`Call`], a lease. Out: a [`Reply`] (status, headers, byte flow) and the lease that it runs
//! on. Fails: connect, its timeout, no first byte in time, a broken connection. Retries live here,
//! all before the first byte: a reused connection that proves dead is replaced by a fresh one, and a
//! member that cannot be connected to is reported and another is chosen, once.

mod connect;
mod link;
mod outgoing;
mod pool;

use std::sync::Arc;

use board::Lease;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;
use spec::Endpoint;
use tokio::time::{timeout, timeout_at};

pub(crate) use connect::Cause;
use connect::Connector;
pub(crate) use link::Flow;
use link::{Home, Link, Pipe};
pub(crate) use outgoing::Outgoing;
use pool::Pool;

use crate::clock::Clock;
use crate::error::Error;

/// The engine's answer as it begins.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its bytes.
    pub(crate) flow: Flow,
}

/// A try that brought no reply.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) error: Error,
    /// True when the engine cannot have begun to work on it, so that another may be asked.
    pub(crate) safe: bool,
}

/// Sends calls to engines.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    pool: Arc<Pool>,
    connector: Connector,
}

impl Sender {
    /// Sends the call to the lease's member; its head must be there in time.
    pub(crate) async fn send(&self, lease: &Lease, outgoing: &Outgoing, clock: &Clock) -> Result<Reply, Failed> {
        while let Some(link) = self.pool.take(&lease.member.id) {
            match self.exchange(lease, link, outgoing, clock).await {
                // It hung up while nobody looked; what was written to it has reached nobody.
                Err(Failed { error: Error::Broken { source }, .. }) if !source.is_parse() => {}
                outcome => return outcome,
            }
        }
        let pipe = self.connect(lease, &outgoing.uri).await?;
        let link = Link::open(pipe).await.map_err(|source| Failed { error: Error::Broken { source }, safe: true })?;
        self.exchange(lease, link, outgoing, clock).await
    }

    async fn connect(&self, lease: &Lease, uri: &Uri) -> Result<Box<dyn Pipe>, Failed> {
        let after = lease.entry.spec.timeouts.connect;
        let connecting = async {
            match &lease.member.endpoint {
                Endpoint::Unix(path) => connect::unix(path).await,
                Endpoint::Url(_) => self.connector.url(uri.clone()).await,
            }
        };
        let outcome = match timeout(after, connecting).await {
            Ok(Ok(pipe)) => return Ok(pipe),
            Ok(Err(source)) => Error::Connect { source },
            Err(_elapsed) => Error::ConnectTimeout { after },
        };
        Err(Failed { error: outcome, safe: true })
    }

    async fn exchange(&self, lease: &Lease, mut link: Link, outgoing: &Outgoing, clock: &Clock) -> Result<Reply, Failed> {
        let request = request(outgoing).map_err(|source| Failed { error: Error::Unsendable { source }, safe: false })?;
        let response = match timeout_at(clock.first_by, link.exchange(request)).await {
            Err(_elapsed) => return Err(Failed { error: clock.late(true), safe: false }),
            Ok(Err(unsent)) => return Err(Failed { error: Error::Broken { source: unsent.error }, safe: unsent.untouched }),
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let home = Home { pool: Arc::clone(&self.pool), instance: lease.member.id.clone(), most: slots(lease) };
        Ok(Reply { status: head.status, headers: head.headers, flow: Flow::new(link, body, home) })
    }
}

fn slots(lease: &Lease) -> usize {
    usize::try_from(lease.member.slots).unwrap_or(usize::MAX)
}

fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::post(outgoing.path.as_str());
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&outgoing.headers);
    }
    request.body(Full::new(outgoing.body.clone()))
}

/// Tells the fleet of a member that did not answer as a living one does.
pub(crate) fn report(lease: &Lease, error: &Error) {
    if matches!(error, Error::Connect { .. } | Error::ConnectTimeout { .. } | Error::Broken { .. }) {
        lease.failed();
    }
}
