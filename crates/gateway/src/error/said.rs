//! The engine's own error, as a client may see it.
//!
//! In: status and body of an engine's answer. Out: a status that is true for our client, and the body
//! in OpenAI's shape: as it came if it has that shape. A prompt over the context limit becomes 400
//! `context_length_exceeded` whatever the engine called it, and a body that it could not make sense of is a bad request. Fails: never.

use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use spec::EngineKind;
use wire::openai::error::{Body, is_context_overflow, relay};

use super::look::overloaded;

/// An engine's error.
#[derive(Debug)]
pub struct Said {
    /// The status for our client.
    pub status: StatusCode,
    /// When to ask again.
    pub wait: Option<Duration>,
    /// `{"error":{..}}`
    pub body: Bytes,
    /// Set where the engine has not taken the call because it has too much to do, or is not ready: what it said about asking again.
    pub busy: Option<Again>,
}

/// What an engine says about asking it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Again {
    /// After this long.
    pub after: Option<Duration>,
    /// It will not help.
    pub never: bool,
}

impl Again {
    /// From the headers of its answer: `retry-after-ms`, `Retry-After` in seconds or as a date, `x-should-retry`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let number = |text: &str, unit: f64| text.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n * unit).ok());
        let date = |text: &str| base::clock::http_date(text).map(|at| at.since(Timestamp::now()));
        let after = text("retry-after-ms").and_then(|ms| number(ms, 0.001));
        let after = after.or_else(|| text(RETRY_AFTER.as_str()).and_then(|wait| number(wait, 1.0).or_else(|| date(wait))));
        Self { after, never: text("x-should-retry") == Some("false") }
    }
}

/// An engine that is busy or loading and does not say for how long.
const SOON: Duration = Duration::from_secs(1);
/// Client libraries take a longer wait for "never".
const LONGEST_WAIT: Duration = Duration::from_mins(2);

impl Said {
    /// From the answer of an engine that is not a success.
    pub(crate) fn new(status: StatusCode, again: Again, body: &Bytes) -> Self {
        let busy = None;
        if is_context_overflow(body) {
            return Self { status: StatusCode::BAD_REQUEST, wait: None, body: relay(body), busy };
        }
        let wait = again.after.unwrap_or(SOON).min(LONGEST_WAIT);
        match status {
            // The key is ours, so it is not the client who is refused.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let message = "the engine refused this server's key; check `api_key_env` of the deployment";
                let body = Body::new("upstream_error", message).code("upstream_error").to_bytes();
                Self { status: StatusCode::BAD_GATEWAY, wait: None, body, busy }
            }
            status if is_busy(status) => {
                let again = Again { never: again.never || is_spent(body), ..again };
                let status = if status == overloaded() { StatusCode::SERVICE_UNAVAILABLE } else { status };
                Self { status, wait: Some(wait), body: relay(body), busy: Some(again) }
            }
            status if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED => {
                Self { status, wait: None, body: relay(body), busy }
            }
            _ => Self { status: StatusCode::BAD_GATEWAY, wait: None, body: relay(body), busy },
        }
    }

    /// The same of an engine that may have called its caller's error one of its own: that says nothing of the engine.
    pub(crate) fn by(self, engine: EngineKind) -> Self {
        let message = self.message();
        if self.status != StatusCode::BAD_GATEWAY || !engine.blames_itself_for(&message) {
            return self;
        }
        Self { status: StatusCode::BAD_REQUEST, body: Body::new("invalid_request_error", message).to_bytes(), ..self }
    }

    /// From an error in place of an answer that had begun as one.
    pub(crate) fn in_stream(body: &Bytes) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, Again::default(), body)
    }

    /// The words alone, for a face without an error object.
    pub(super) fn message(&self) -> String {
        let message = wire::scan::object(&self.body)
            .ok()
            .and_then(|scan| scan.object("error"))
            .and_then(|error| error.str("message").map(std::borrow::Cow::into_owned));
        message.unwrap_or_else(|| "the engine answered with an error".to_owned())
    }
}

/// An engine that answers so has not taken the call.
pub(crate) fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) || status == overloaded()
}

/// What may be spent there is spent: that does not change within a call.
fn is_spent(body: &[u8]) -> bool {
    let error = wire::scan::object(body).ok();
    let code = error.as_ref().and_then(|scan| scan.object("error")).and_then(|error| Some(error.str("code")? == "insufficient_quota"));
    code.unwrap_or(false)
}
