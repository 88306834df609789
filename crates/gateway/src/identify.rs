//! Who: the token of a call becomes a caller, from memory.
//!
//! In: `Authorization: Bearer` or `x-api-key`. Out: the caller. Fails: unauthenticated, forbidden.
//! The token goes no further than here: it is not among the headers that are sent on.

use std::net::IpAddr;
use std::sync::Arc;

use access::table::{self, Need};
use access::{Access, Caller};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ALLOW, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Gateway;
use crate::call::Face;
use crate::error::Error;
use crate::passage::Arrival;
use crate::routes;

/// Where clients of Anthropic's put their token.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The caller behind a request's token.
pub(crate) fn identify(access: &Access, headers: &HeaderMap) -> Result<Arc<Caller>, Error> {
    Ok(access.verify(token(headers))?)
}

/// Who asks at a route that is not gone straight to, if they may: by the row of the authorization table.
pub(crate) async fn guard(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let face = routes::face(request.uri().path());
    match table::row(request.method().as_str(), path) {
        Some(row) if row.need == Need::Public => next.run(request).await,
        Some(row) => {
            let from = request.extensions().get::<Arrival>().and_then(|arrival| arrival.from);
            let known = identify_call(gateway.access(), request.headers(), from).await;
            match known.and_then(|caller| Ok(row.need.check(&caller)?)) {
                Ok(()) => next.run(request).await,
                Err(error) => error.response(face),
            }
        }
        None => unlisted(&request, path, face),
    }
}

/// A route that stands in no row is asked by nobody, and a path only with the methods that it has rows for.
fn unlisted(request: &Request, path: &str, face: Face) -> Response {
    let Some(methods) = table::methods(path) else { return Error::from(Need::unlisted()).response(face) };
    let error = Error::Method { method: request.method().clone(), path: request.uri().path().to_owned() };
    let mut response = error.response(face);
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// The same for a call, and from where it came. A token of an identity provider that nobody has seen before is waited for, since somebody has to be asked; every
/// other one is known from memory.
pub(crate) async fn identify_call(access: &Access, headers: &HeaderMap, from: Option<IpAddr>) -> Result<Arc<Caller>, Error> {
    let text = token(headers);
    let known = access.enter(text, from);
    let (Err(access::Error::Login(access::login::Error::Coming { .. })), Some(unknown)) = (&known, text) else { return Ok(known?) };
    Box::pin(access.settle(unknown, from)).await?;
    Ok(access.enter(text, from)?)
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
