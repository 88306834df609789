//! First and last station of every ask: who asks, whether they may, under which id, and how a refusal looks.
//!
//! In: a request. Out: the same with its [`RequestId`] and its [`Admin`]; a response whose
//! [`Refusal`] is rendered. Fails: 401 without a token, 403 for who may not what the row of the route says
//! ([`access::table`]), and for a route without a row. A change that was let in runs to its end, also when whoever asked for it has gone,
//! and who made it is written down ([`crate::audit`]). Holds: nothing; tokens are verified in memory.

use std::sync::Arc;

use access::table::{self, Need, Row};
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base::id::random_hex;
use base::{Kind, Retry, tasks};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::House;
use crate::audit::Note;
use crate::error::Error;
use crate::login::{self, Asked};
use crate::modserv::SERVICES;
use crate::problem::{Problem, Refusal};
use crate::standing::{Pass, Standing};

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
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
    /// The one that an ask was given.
    pub(crate) fn in_head(head: &Parts) -> String {
        head.extensions.get::<Self>().map(|id| id.as_str().to_owned()).unwrap_or_default()
    }
}

/// Proof that the caller may do what this route is; only [`admit`] makes one.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    caller: Arc<access::Caller>,
    note: Note,
    pass: Pass,
    need: Need,
}

impl Admin {
    /// What the token is called, for the story.
    pub(crate) fn name(&self) -> &str {
        self.caller.name()
    }
    /// Who asks.
    pub(crate) fn caller(&self) -> &Arc<access::Caller> {
        &self.caller
    }
    /// Whether they may do this too.
    pub(crate) fn may(&self, verb: spec::Verb, kind: spec::Kind) -> Result<(), Error> {
        Ok(self.caller.may(verb, kind)?)
    }
    /// For a stream: whether they would still be let in.
    pub(crate) fn standing(&self, house: &House) -> Standing {
        Standing::new(house, self.pass.clone(), self.need)
    }
    /// Who did it, for the story.
    pub(crate) fn cause(&self) -> spec::Cause {
        cause(&self.caller)
    }
    /// What it was before this change, as the API shows it.
    pub(crate) fn before(&self, value: &impl Serialize) {
        self.note.before(value);
    }
    /// What it is after this change, as the API shows it.
    pub(crate) fn after(&self, value: &impl Serialize) {
        self.note.after(value);
    }
}

/// Who did it, for the story.
pub(crate) fn cause(caller: &access::Caller) -> spec::Cause {
    spec::Cause::Api { token: caller.name().to_owned(), id: caller.token().map(str::to_owned) }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Access(access::Error::MissingToken))
    }
}

/// Lets in who may do what the row of this route says.
pub(crate) async fn admit(State(house): State<House>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let allowed = may(&house, &head).await;
    let mut request = Request::from_parts(head, body);
    let (row, caller) = match allowed {
        Ok((row, None)) if row.need == Need::Public => return next.run(request).await,
        Ok((row, Some(caller))) => (row, caller),
        Ok((_, None)) => return Error::Access(Need::unlisted()).into_response(),
        Err(Refused { error, allow }) => {
            let mut response = error.into_response();
            response.headers_mut().extend(allow.and_then(|methods| Some((ALLOW, HeaderValue::from_str(&methods).ok()?))));
            return response;
        }
    };
    let note = Note::of(&request, row);
    let pass = login::pass(&house, request.headers(), token(request.headers()));
    request.extensions_mut().insert(Admin { caller: Arc::clone(&caller), note: note.clone(), pass, need: row.need });
    let mut response = match row.changes() {
        None => next.run(request).await,
        Some(_) => to_the_end(house, (note, Arc::clone(&caller)), request, next).await,
    };
    response.extensions_mut().insert(caller); // for who counts and logs requests
    response
}

struct Refused {
    error: Error,
    /// The methods that are served there.
    allow: Option<String>,
}

async fn may(house: &House, head: &Parts) -> Result<(&'static Row, Option<Arc<access::Caller>>), Refused> {
    let refused = |error: Error| Refused { error, allow: None };
    let path = head.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let row = table::row(head.method.as_str(), path);
    if let Some(row) = row.filter(|row| row.need == Need::Public) {
        return Ok((row, None));
    }
    if !table::is_public(path) {
        let caller = identify(house, head).await.map_err(refused)?;
        if let Some(row) = row {
            row.need.check(&caller).map_err(|error| refused(error.into()))?;
            return Ok((row, Some(caller)));
        }
    }
    let methods = table::methods(path).ok_or_else(|| refused(Need::unlisted().into()))?;
    let error = Error::Method { method: head.method.clone(), path: head.uri.path().to_owned() };
    Err(Refused { error, allow: Some(methods) })
}

/// Who asks.
async fn identify(house: &House, head: &Parts) -> Result<Arc<access::Caller>, Error> {
    login::who(house, &Asked { head, token: token(&head.headers) }).await
}

/// A change that was begun is made and written down, whoever listens.
async fn to_the_end(house: House, (note, caller): (Note, Arc<access::Caller>), request: Request, next: Next) -> Response {
    let (done, outcome) = oneshot::channel();
    let change = async move {
        let response = next.run(request).await;
        note.write(&house, &caller, response.status()).await;
        drop(done.send(response)); // nobody listens any more when whoever asked has gone
    };
    tasks::spawn("change", change).detach();
    outcome.await.unwrap_or_else(|interrupted| Error::Access(access::Error::Interrupted(interrupted)).into_response())
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
pub(crate) async fn finish(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
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
