//! How are providers asked?
//!
//! In: a request that the protocol's library has made. Out: the whole answer. Fails: when nothing comes within [`PATIENCE`], when it is
//! longer than [`MOST`]. Redirects are not followed: what a provider says about itself holds at the address where it was asked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::sync::Semaphore;

use super::error::Error;

/// For one question and its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// No answer of a provider is longer.
const MOST: usize = 1 << 20;
/// A connection is kept so long for the next question.
const KEPT: Duration = Duration::from_secs(30);

/// Questions of logins that one provider is asked at the same time; more wait for their turn.
pub(super) const MOST_AT_ONCE: usize = 32;

/// Speaks HTTP; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    turns: Arc<Semaphore>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Silence {
    /// The connection.
    #[error("no connection")]
    Connection(#[source] hyper_util::client::legacy::Error),
    /// The answer.
    #[error("the answer broke off, or is longer than anybody reads")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The clock.
    #[error("no answer within {}", base::clock::human::print(PATIENCE))]
    Late,
}

impl Net {
    pub(crate) fn new() -> Result<Self, Error> {
        let unread = |error| Error::Net(format!("the certificates of this machine cannot be read: {error}"));
        let tls = net::trust().map_err(unread)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT).build(connector);
        Ok(Self { turns: Arc::new(Semaphore::new(MOST_AT_ONCE)), client })
    }

    /// The same with turns of its own: who waits there waits for nobody here.
    pub(crate) fn apart(&self) -> Self {
        Self { turns: Arc::new(Semaphore::new(MOST_AT_ONCE)), client: self.client.clone() }
    }

    #[cfg(test)]
    pub(super) fn take_all_turns(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let free = u32::try_from(self.turns.available_permits()).ok()?;
        Arc::clone(&self.turns).try_acquire_many_owned(free).ok()
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, Silence> {
        // Nobody closes the semaphore, so there is always a turn.
        let _turn = self.turns.acquire().await.ok();
        let answer = self.client.request(request.map(|body| Full::new(Bytes::from(body)))).await.map_err(Silence::Connection)?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MOST).collect().await.map_err(Silence::Answer)?;
        Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
    }
}

impl<'c> AsyncHttpClient<'c> for Net {
    type Error = Silence;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Silence>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { tokio::time::timeout(PATIENCE, self.ask(request)).await.unwrap_or(Err(Silence::Late)) })
    }
}
