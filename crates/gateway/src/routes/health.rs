//! `/healthz`, `/readyz` and `/metrics`: for those who watch; no token is needed, for the numbers only on this machine
//! unless the config says otherwise ([`crate::MetricsAccess`]).

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use board::State as Standing;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::Gateway;
use crate::call::Face;
use crate::error::{Error, not_ready};

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Whether a call would be served: something is ready, or something was asked for and can come up.
pub(super) async fn readyz(State(gateway): State<Gateway>) -> Response {
    let table = gateway.board().table();
    let is_served = table.deployments.values().any(|entry| match entry.state {
        Standing::Ready => true,
        Standing::Cold | Standing::Rising { .. } => gateway.was_asked(),
        Standing::Down(_) => false,
    });
    if gateway.stopping().is_ready() && is_served { "ready".into_response() } else { not_ready("loading") }
}

/// All numbers in Prometheus' text form.
pub(super) async fn metrics(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    const WORD: &[u8] = b"openmetrics-text";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // The text is the same for both: who knows only the older form reads the newer one's endings as comments.
    let accepts = headers.get_all(ACCEPT).iter().any(|value| value.as_bytes().windows(WORD.len()).any(|word| word == WORD));
    match gateway.metrics().text() {
        Ok(text) => ([(CONTENT_TYPE, if accepts { OPEN_METRICS } else { PLAIN })], text).into_response(),
        Err(error) => Error::Metrics(error).response(Face::OpenAi),
    }
}
