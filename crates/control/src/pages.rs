//! The console's pages, as the browser asks for them.
//!
//! In: `/`, `/console` and what lies below. Out: the embedded file, or 304 when the browser has it.
//! Fails: 404 for a file that is none of the console's. Needs no token: the pages ask for one and
//! call the API with it.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use console::{CONTENT_SECURITY_POLICY, Page};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::House;
use crate::error::Error;

/// The pages, and nothing else: no fallback, so that other rooms' paths stay theirs.
pub(crate) fn routes() -> Router<House> {
    Router::new().route("/", get(page)).route("/console", get(page)).route("/console/", get(page)).route("/console/{*path}", get(page))
}

async fn page(uri: Uri, headers: HeaderMap) -> Result<Response, Error> {
    let Page { content_type, body, etag } = console::page(uri.path()).ok_or_else(|| Error::NoRoute(uri.path().to_owned()))?;
    let held = headers.get_all(IF_NONE_MATCH).iter().any(|tags| tags.to_str().is_ok_and(|tags| tags.contains(&etag)));
    let policy = HeaderName::from_static("content-security-policy");
    let mut response = if held { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.insert(policy, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        answer.insert(ETAG, etag);
    }
    Ok(response)
}
