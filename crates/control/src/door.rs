//! First and last station of every ask: who asks, under which id, and how a refusal looks.
//!
//! In: a request. Out: the same with its [`RequestId`] and its [`Admin`]; a response whose
//! [`Refusal`] is rendered. Fails: 401 without a token, 403 without the admin scope. Holds: nothing;
//! tokens are verified in memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base::id::random_hex;
use base::{Kind, Retry};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::House;
use crate::error::Error;
use crate::modserv::SERVICES;
use crate::problem::{Problem, Refusal};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const LONGEST_REQUEST_ID: usize = 128;
const RANDOM_REQUEST_ID: usize = 16;

/// The id that ties an answer to its line in the log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own if it is sane, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            let id = id.as_bytes();
            (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
        };
        let random = || HeaderValue::from_str(&random_hex(RANDOM_REQUEST_ID)).unwrap_or(HeaderValue::from_static("unknown"));
        Self(headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(random))
    }
    fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Proof that the caller may operate Penstock; only [`admit`] makes one.
#[derive(Debug, Clone)]
pub(crate) struct Admin(Arc<access::Caller>);

impl Admin {
    /// What the token is called, for the story.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }
    /// Who did it, for the story.
    pub(crate) fn cause(&self) -> spec::Cause {
        spec::Cause::Api { token: self.0.name.clone(), id: self.0.token.as_ref().map(ToString::to_string) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Access(access::Error::MissingToken))
    }
}

/// Lets in who may operate Penstock.
pub(crate) async fn admit(State(house): State<House>, mut request: Request, next: Next) -> Result<Response, Error> {
    let caller = house.access.verify(token(request.headers()))?;
    caller.may_admin()?;
    request.extensions_mut().insert(Admin(Arc::clone(&caller)));
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller); // for who counts and logs requests
    Ok(response)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| headers.get(API_KEY).and_then(|value| value.to_str().ok()).map(str::trim))
}

/// Gives the ask its id, and renders what was refused: in the older envelope for the service API, as
/// problem JSON for all else.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let asked = format!("{} {}", request.method(), request.uri().path());
    let render = if request.uri().path().starts_with(SERVICES) { as_envelope } else { as_problem };
    let mut response = next.run(request).await;
    if let Some(mut refusal) = response.extensions_mut().remove::<Refusal>() {
        id.as_str().clone_into(&mut refusal.problem.request_id);
        log(&asked, &refusal);
        let (media_type, document) = render(&refusal.problem);
        *response.body_mut() = Body::from(document.to_string());
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        advise(&refusal, response.headers_mut());
    }
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

fn as_problem(problem: &Problem) -> (&'static str, Value) {
    ("application/problem+json", json!(problem))
}

fn as_envelope(problem: &Problem) -> (&'static str, Value) {
    let message = match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.detail),
        None => problem.detail.clone(),
    };
    ("application/json", json!({"code": problem.status, "message": message, "data": null}))
}

/// The headers that tell a client what to do about a refusal.
fn advise(refusal: &Refusal, headers: &mut HeaderMap) {
    if refusal.kind == Kind::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"penstock\""));
    }
    if let Retry::After(wait) = refusal.retry {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
}

fn log(asked: &str, refusal: &Refusal) {
    let Problem { status, code, request_id, .. } = &refusal.problem;
    if refusal.kind == Kind::Internal {
        tracing::error!(asked, status, code, request_id, error = refusal.chain, "refused");
    } else {
        tracing::debug!(asked, status, code, request_id, error = refusal.chain, "refused");
    }
}

/// What a path answers to a method that it does not serve.
pub(crate) async fn wrong_method(method: http::Method, uri: http::Uri) -> Error {
    Error::Method { method, path: uri.path().to_owned() }
}

/// What every path answers that is ours but serves nothing.
pub(crate) async fn no_route(uri: http::Uri) -> Error {
    Error::NoRoute(uri.path().to_owned())
}
