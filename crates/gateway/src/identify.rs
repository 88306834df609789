//! Who: the token of a call becomes a caller, from memory.
//!
//! In: `Authorization: Bearer` or `x-api-key`. Out: the caller. Fails: unauthenticated, forbidden.
//! The token goes no further than here: it is not among the headers that are sent on.

use std::sync::Arc;

use access::table::{self, Need};
use access::{Access, Caller, Came};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ALLOW, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::Gateway;
use crate::call::Face;
use crate::error::Error;
use crate::pages;
use crate::passage::Arrival;
use crate::routes;

/// Where clients of Anthropic's put their token.
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What the story says of a user who was not there before the call.
const BROUGHT: &str = "a token of an identity provider";

/// The caller behind a request's token.
pub(crate) fn identify(access: &Access, headers: &HeaderMap) -> Result<Arc<Caller>, Error> {
    Ok(access.verify(token(headers))?)
}

/// Who asks at a route that is not gone straight to, if they may: by the row of the authorization table.
pub(crate) async fn guard(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let face = routes::face(request.uri().path());
    let Some(row) = table::row(request.method().as_str(), path) else { return unlisted(&request, path, face) };
    let is_near = matches!(row.need, Need::Near(..));
    if row.need == Need::Public || (is_near && gateway.config().metrics.is_open_to(&gateway, &request)) {
        return next.run(request).await;
    }
    let known = identify_call(gateway.access(), request.headers(), request.extensions().get::<Arrival>()).await;
    match known.and_then(|caller| Ok(row.need.check(&caller)?)) {
        Ok(()) => next.run(request).await,
        Err(Error::Access(access::Error::MissingToken)) if is_near => Error::Access(access::Error::Afar).response(face),
        Err(error) => error.response(face),
    }
}

/// Who is told the numbers of this server, which name the models of all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsAccess {
    /// Anybody.
    Open,
    /// Who asks from this machine under a name of it, which no page can have made lead here; else who brings a token that may.
    #[default]
    Loopback,
    /// Who brings a token that may.
    Token,
}

/// What proxies write: whatever one on this machine brings comes from elsewhere.
const OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

impl MetricsAccess {
    /// Whether whoever asks this need not be known.
    fn is_open_to(self, gateway: &Gateway, request: &Request) -> bool {
        match self {
            Self::Open => true,
            Self::Token => false,
            Self::Loopback => {
                let from = request.extensions().get::<Arrival>().and_then(|arrival| arrival.from);
                let is_brought = OF_PROXIES.iter().any(|name| request.headers().contains_key(*name));
                let is_near = !is_brought && from.is_some_and(|from| from.to_canonical().is_loopback());
                is_near && pages::is_ours(gateway, request)
            }
        }
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

/// The same for a call, and how it came. A token of an identity provider that nobody has seen before is waited for, since somebody has to be asked; every
/// other one is known from memory. What becomes of its user is written down while the call goes on.
pub(crate) async fn identify_call(access: &Access, headers: &HeaderMap, arrival: Option<&Arrival>) -> Result<Arc<Caller>, Error> {
    let (text, from) = (token(headers), arrival.and_then(|arrival| arrival.from));
    let known = access.enter(text, from);
    let (Err(access::Error::Login(access::login::Error::Coming { .. })), Some(unknown)) = (&known, text) else { return Ok(known?) };
    let request_id = arrival.map(|arrival| arrival.id.to_string()).unwrap_or_default();
    let came = Came { action: BROUGHT.to_owned(), from, request_id, status: StatusCode::OK.as_u16() };
    Box::pin(access.settle(unknown, &came)).await?;
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
