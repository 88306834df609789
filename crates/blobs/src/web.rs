//! How do we ask another machine for bytes?
//!
//! In: a GET or a HEAD. Out: a [`Reply`] whose body is taken chunk by chunk. Fails: when a connection, an answer or
//! the next chunk takes too long; when an address is refused ([`net::Guard`]); after too many redirects. There is no limit on the
//! whole: a slow line may take a day as long as it moves. Holds: idle connections. HTTP/1.1, so that ranges that are asked for
//! side by side travel side by side.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{Secret, chain};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::client::HttpRequestBody;

use net::{Dialer, Guard};

use crate::error::Error;

mod redirect;

/// Redirects that are followed.
const MOST_HOPS: usize = 10;
/// So long an idle connection is kept.
const KEPT: Duration = Duration::from_mins(1);
/// Idle connections to one machine; more than are used side by side.
const MOST_IDLE: usize = 16;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("penstock/", env!("CARGO_PKG_VERSION")));

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection and the answer begins.
    pub answer: Duration,
    /// Until the next bytes come.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // A hub may look for a file on slow disks before it answers.
        Self { answer: Duration::from_mins(1), stall: Duration::from_secs(30) }
    }
}

type Inner = Client<HttpsConnector<Dialer>, HttpRequestBody>;

/// A client; cheap to clone.
#[derive(Debug, Clone)]
pub struct Web {
    guard: Guard,
    /// Made for the first call: whom the machine trusts takes long to read.
    client: Arc<OnceLock<Inner>>,
    patience: Patience,
}

/// An answer; its body is taken chunk by chunk.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The headers of the redirects on the way, in their order.
    pub hops: Vec<HeaderMap>,
    /// Where it came from in the end.
    pub url: Uri,
    body: Incoming,
    stall: Duration,
}

impl Web {
    /// A client that goes where the guard lets it.
    pub fn new(guard: Guard, patience: Patience) -> Self {
        Self { guard, client: Arc::default(), patience }
    }

    /// Sends a GET.
    pub async fn get(&self, url: &str, headers: HeaderMap) -> Result<Reply, Error> {
        self.ask(Method::GET, url, headers).await
    }

    /// Sends a HEAD.
    pub async fn head(&self, url: &str, headers: HeaderMap) -> Result<Reply, Error> {
        self.ask(Method::HEAD, url, headers).await
    }

    /// Follows redirects; what is meant for one host goes to no other.
    async fn ask(&self, method: Method, url: &str, mut headers: HeaderMap) -> Result<Reply, Error> {
        let mut uri: Uri = url.parse().map_err(|_bad| Error::BadUrl(redirect::shown(url)))?;
        let mut hops = Vec::new();
        loop {
            let mut request = Request::new(HttpRequestBody::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            let answer = self.call(request).await?;
            let Some(next) = redirect::next(&uri, &answer)? else {
                let (parts, body) = answer.into_parts();
                return Ok(Reply { status: parts.status, headers: parts.headers, hops, url: uri, body, stall: self.patience.stall });
            };
            if hops.len() == MOST_HOPS {
                return Err(Error::TooManyHops(redirect::host(&uri)));
            }
            if redirect::leaves(&uri, &next) {
                headers.remove(header::AUTHORIZATION);
            }
            hops.push(answer.into_parts().0.headers);
            uri = next;
        }
    }

    /// One request, one answer.
    pub(crate) async fn call(&self, mut request: Request<HttpRequestBody>) -> Result<http::Response<Incoming>, Error> {
        let client = self.client()?;
        request.headers_mut().entry(header::USER_AGENT).or_insert(AGENT);
        let host = redirect::host(request.uri());
        match tokio::time::timeout(self.patience.answer, client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(host, error)),
            Err(_) => Err(Error::Slow { host, what: "no answer", after: self.patience.answer }),
        }
    }

    fn client(&self) -> Result<&Inner, Error> {
        if let Some(made) = self.client.get() {
            return Ok(made);
        }
        let tls = net::trust().map_err(|error| Error::NoTls(format!("the certificates of this machine cannot be read: {error}")))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let connector = connector.wrap_connector(Dialer::new(self.guard.clone()));
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_max_idle_per_host(MOST_IDLE).pool_idle_timeout(KEPT);
        Ok(self.client.get_or_init(|| client.build(connector)))
    }

    /// How long each step may take.
    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }
}

impl Reply {
    /// The next bytes; none at the end. An error of the body is one of the line: asking again may help.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let slow = || Error::Slow { host: redirect::host(&self.url), what: "no more bytes", after: self.stall };
            let frame = tokio::time::timeout(self.stall, self.body.frame()).await.map_err(|_late| slow())?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::Line { host: redirect::host(&self.url), source: Box::new(error) }),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The whole of a small body.
    pub async fn bytes(&mut self, most: usize) -> Result<Bytes, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > most {
                return Err(Error::TooLong { host: redirect::host(&self.url), most });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header of the first redirect that has it, else of the answer.
    pub fn linked(&self, name: &str) -> Option<&str> {
        self.hops.iter().chain([&self.headers]).find_map(|headers| headers.get(name)).and_then(|value| value.to_str().ok())
    }

    /// The host that answered.
    pub fn host(&self) -> String {
        redirect::host(&self.url)
    }
}

/// `Authorization: Bearer …`, marked so that it is not printed.
pub fn bearer(token: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn failed(host: String, error: hyper_util::client::legacy::Error) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(seen) = next {
        if let Some(net::Error::Inside { .. }) = seen.downcast_ref() {
            return Error::Private { what: seen.to_string() };
        }
        next = seen.source();
    }
    tracing::debug!(host, error = chain(&error), "no answer");
    Error::Line { host, source: Box::new(error) }
}

#[cfg(test)]
mod tests;
