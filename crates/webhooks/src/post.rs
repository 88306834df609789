//! One try: an event is posted, and the receiver's answer is read.
//!
//! In: a body, its id, the keys. Out: a [`Verdict`]. Fails: never; everything that goes wrong is a verdict. Waits: for the
//! receiver's `timeout` at most, for all of it. Redirects are not followed: an answer that sends elsewhere is a failure, since
//! what is signed for one address is for no other.

use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::envelope::MEDIA_TYPE;
use crate::sign::{Key, signature};

/// So much of an answer is read, so that its connection can be used again.
const MOST_ANSWER: usize = 16 << 10;
/// So long a connection is kept for the next event.
const KEPT: Duration = Duration::from_secs(30);
/// A receiver may ask for so long a pause at most.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// What Standard Webhooks gives a meaning of its own: the receiver is gone for good.
const GONE: u16 = 410;

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has it.
    Taken,
    /// The receiver wants no more.
    Gone,
    /// It is to be tried again, not before this time.
    Failed(String, Duration),
}

/// Posts to one receiver.
#[derive(Debug)]
pub(crate) struct Post {
    client: Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String>,
    url: String,
    keys: Vec<Key>,
    timeout: Duration,
}

impl Post {
    pub(crate) fn new(url: &str, keys: Vec<Key>, timeout: Duration) -> Self {
        Self { client: client(), url: url.to_owned(), keys, timeout }
    }

    pub(crate) async fn post(&self, id: &str, body: &Bytes) -> Verdict {
        match tokio::time::timeout(self.timeout, self.try_once(id, body)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(what)) => Verdict::Failed(what, Duration::ZERO),
            Err(_) => Verdict::Failed(format!("it gave no answer within {}", base::clock::human::print(self.timeout)), Duration::ZERO),
        }
    }

    async fn try_once(&self, id: &str, body: &Bytes) -> Result<Verdict, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let seconds = Timestamp::now().as_secs();
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(header::USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature(&self.keys, id, seconds, body))
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        let answer = client.request(request).await.map_err(|error| base::chain(&error))?;
        let (parts, body) = answer.into_parts();
        let verdict = judge(parts.status.as_u16(), &parts.headers);
        // What it says does not matter once its status is known.
        drop(Limited::new(body, MOST_ANSWER).collect().await);
        Ok(verdict)
    }
}

fn judge(status: u16, headers: &HeaderMap) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        GONE => Verdict::Gone,
        300..=399 => Verdict::Failed(format!("it answers {status}; redirects are not followed"), Duration::ZERO),
        _ => Verdict::Failed(format!("it answers {status}"), pause(headers)),
    }
}

/// How long the receiver asks to be left alone: a number of seconds, or a date.
fn pause(headers: &HeaderMap) -> Duration {
    let said = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = said.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let date = || said.and_then(base::clock::http_date).map(|at| at.since(Timestamp::now()));
    seconds.or_else(date).unwrap_or_default().min(LONGEST_PAUSE)
}

fn client() -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let tls = net::trust().map_err(|error| format!("the certificates of this machine cannot be read: {error}"))?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let mut builder = Client::builder(TokioExecutor::new());
    Ok(builder.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1).pool_idle_timeout(KEPT).build(connector))
}
