//! The headers that keep an answer from being misused: all of them stand here.
//!
//! In: an answer. Out: the same, with what it lacks. Pages may run what this server has and nothing else, and may be framed by nobody;
//! everything else is data, which a browser must neither run nor guess about. What the operators' face says is kept by no cache. An
//! answer that says something itself about one of them is left as it is.

use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// A year, as browsers want it.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Of data: nothing of it is run, shown within another page or fetched for it.
static DATA: [(HeaderName, HeaderValue); 2] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
/// Of pages: their own files, and styles that their libraries write into them.
static PAGE: [(HeaderName, HeaderValue); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (OPENER, HeaderValue::from_static("same-origin")),
];

/// What the answers to plain calls have, as lines of a head: no browser shows them, so they are few.
pub(super) fn lines(tls: bool) -> &'static [u8] {
    if tls {
        b"x-content-type-options: nosniff\r\nstrict-transport-security: max-age=31536000\r\n"
    } else {
        b"x-content-type-options: nosniff\r\n"
    }
}

/// Puts them on an answer to a request of this path.
pub(super) fn put_on(response: &mut Response, path_is_operators: bool, tls: bool) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    for (name, value) in if is_page { &PAGE[..] } else { &DATA[..] } {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if path_is_operators {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Whether it is a path of the operators' face, or of logging in.
pub(super) fn is_operators(path: &str) -> bool {
    ["/api/", "/auth/"].iter().any(|beginning| path.starts_with(beginning))
}
