//! The engine's own error, as a client may see it.
//!
//! In: status and body of an engine's answer. Out: a status that is true for our client, and the body
//! in OpenAI's shape: as it came if it has that shape. A prompt over the context limit becomes 400
//! `context_length_exceeded` whatever the engine called it. Fails: never.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use wire::openai::error::{Body, is_context_overflow, relay};

/// An engine's error.
#[derive(Debug)]
pub struct Said {
    /// The status for our client.
    pub status: StatusCode,
    /// When to ask again.
    pub wait: Option<Duration>,
    /// `{"error":{..}}`
    pub body: Bytes,
}

/// An engine that is busy or loading and does not say for how long.
const SOON: Duration = Duration::from_secs(1);
/// Client libraries take a longer wait for "never".
const LONGEST_WAIT: Duration = Duration::from_mins(2);

impl Said {
    /// From the answer of an engine that is not a success.
    pub(crate) fn new(status: StatusCode, wait_seconds: Option<u64>, body: &Bytes) -> Self {
        if is_context_overflow(body) {
            return Self { status: StatusCode::BAD_REQUEST, wait: None, body: relay(body) };
        }
        let wait = wait_seconds.map_or(SOON, Duration::from_secs).min(LONGEST_WAIT);
        match status {
            // The key is ours, so it is not the client who is refused.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let message = "the engine refused this server's key; check `api_key_env` of the deployment";
                let body = Body::new("upstream_error", message).code("upstream_error").to_bytes();
                Self { status: StatusCode::BAD_GATEWAY, wait: None, body }
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self { status, wait: Some(wait), body: relay(body) },
            status if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED => Self { status, wait: None, body: relay(body) },
            _ => Self { status: StatusCode::BAD_GATEWAY, wait: None, body: relay(body) },
        }
    }

    /// From an error event with which a stream began.
    pub(crate) fn in_stream(body: &Bytes) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, None, body)
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
