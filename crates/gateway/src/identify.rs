//! Who: the token of a call becomes a caller, from memory.
//!
//! In: `Authorization: Bearer` or `x-api-key`. Out: the caller. Fails: unauthenticated, forbidden.
//! The token goes no further than here: it is not among the headers that are sent on.

use std::sync::Arc;

use access::{Access, Caller};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::error::Error;

/// Where clients of Anthropic's put their token.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The caller behind a request's token.
pub(crate) fn identify(access: &Access, headers: &HeaderMap) -> Result<Arc<Caller>, Error> {
    Ok(access.verify(token(headers))?)
}

/// The token as it was sent. Of two, `Authorization` counts: some clients fill `x-api-key` by default.
fn token(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text(&AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    bearer.or_else(|| text(&API_KEY)).filter(|token| !token.is_empty())
}
