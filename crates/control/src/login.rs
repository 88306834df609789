//! Where people log in and out with a browser, and programs get tokens for their people.
//!
//! Life of a login: the page ([`page`]) offers the providers and a field for a token; a provider's button leads to `/auth/login?provider=`, which
//! sends the browser there with something to carry ([`cookie`]); it comes back to `/auth/callback`, gets the cookie of its session and is sent
//! where it wanted to go. `/auth/logout` ends the session, and sends the browser on to the provider's own logout. Programs ask at
//! `/auth/device` and `/auth/token` ([`oauth`]).
//!
//! In: browsers. Out: pages, redirects, cookies. Fails: with a page that says what to do next. What changes something is refused when a page of
//! another site may have caused it ([`forgery`]).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use access::login::{Answer as FromProvider, Error as Trouble, LOGIN_TIME, csrf_token, local_path};
use access::{Address, Caller, Came, Mode};
use axum::Json;
use axum::extract::{DefaultBodyLimit, Form, FromRequestParts, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use base::{Fault as _, Secret, Timestamp};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::RequestId;
use crate::error::Error;
use crate::standing::Pass;
use crate::{House, view};

pub(crate) mod cookie;
pub(crate) mod forgery;
pub(crate) mod oauth;
mod page;

use cookie::Jar;

/// The way of browsers, and that of programs. Nobody needs a token here: this is where one gets one.
pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(callback))
        .routes(routes!(session))
        .routes(routes!(enter))
        .routes(routes!(logout))
        .merge(oauth::routes())
        .layer(DefaultBodyLimit::max(MOST_FORM))
}

/// No form of a login is longer.
const MOST_FORM: usize = 64 << 10;

/// Who asks: who brings a token, of ours or of a provider, else who is behind the cookie. Only a token of a provider that nobody has seen before is
/// waited for.
pub(crate) async fn who(house: &House, asked: &Asked<'_>) -> Result<Arc<Caller>, Error> {
    let Asked { head, token } = *asked;
    let (headers, from) = (&head.headers, from(head));
    let cookie = if token.is_none() { Jar::of(house).session(headers) } else { None };
    // Where everybody is let in an old cookie shuts nobody out.
    if let Some(cookie) = cookie.filter(|_| house.access.mode() == Mode::Tokens) {
        let (_, caller) = house.logins.session(&cookie)?;
        if !head.method.is_safe() {
            forgery::check(house, headers, &cookie, None)?;
        }
        return Ok(caller);
    }
    match (house.access.enter(token, from), token) {
        (Err(access::Error::Login(Trouble::Coming { .. })), Some(text)) => {
            house.access.settle(text, &came(head, StatusCode::OK)).await?;
            Ok(house.access.enter(token, from)?)
        }
        (entered, _) => Ok(entered?),
    }
}

/// What they have shown, as [`who`] looks at it.
pub(crate) fn pass(house: &House, headers: &HeaderMap, token: Option<&str>) -> Pass {
    let session = || Jar::of(house).session(headers).filter(|_| house.access.mode() == Mode::Tokens);
    match token {
        Some(token) => Pass::Token(Secret::new(token)),
        None => session().map_or(Pass::Nothing, |cookie| Pass::Session(Secret::new(cookie))),
    }
}

/// What tells who asks.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) token: Option<&'a str>,
}

/// How a browser came that is answered with another page.
struct Coming(Came);

impl<S: Send + Sync> FromRequestParts<S> for Coming {
    type Rejection = Infallible;
    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(came(head, StatusCode::SEE_OTHER)))
    }
}

/// How somebody came, for the story of what that changes; `status` is what they are answered when all goes well.
fn came(head: &Parts, status: StatusCode) -> Came {
    let action = format!("{} {}", head.method, head.uri.path());
    Came { action, from: from(head), request_id: RequestId::in_head(head), status: status.as_u16() }
}

/// Where somebody asks from.
fn from(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<Address>().map(|address| address.0)
}

/// Who is logged in, for the pages of this server.
#[derive(Debug, Serialize)]
pub(crate) struct Inside {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    pub(crate) ends_at: Timestamp,
    /// For the header `x-csrf-token` of changes.
    pub(crate) csrf_token: String,
}

/// Say who is logged in with this browser
///
/// What it tells can be read by pages of this server only.
#[utoipa::path(get, path = "/auth/session", operation_id = "get_session", tag = "login", security(()),
    responses((status = 200, description = "Who", body = view::BrowserSession), (status = 401, description = "Nobody, or nobody any more",
        body = crate::Problem, content_type = "application/problem+json")))]
async fn session(State(house): State<House>, headers: HeaderMap) -> Result<Response, Error> {
    let cookie = Jar::of(&house).session(&headers).ok_or(access::Error::from(Trouble::NoSession))?;
    let (session, caller) = house.logins.session(&cookie)?;
    let (name, provider) = (caller.name().to_owned(), session.provider.clone());
    let inside = Inside { name, provider, ends_at: session.ends_at, csrf_token: csrf_token(&cookie) };
    Ok(([(CACHE_CONTROL, "no-store")], Json(inside)).into_response())
}

#[derive(Debug, Deserialize)]
struct Wanted {
    provider: Option<String>,
    #[serde(default)]
    return_to: String,
}

/// Show the login page, or go to an identity provider
#[utoipa::path(get, path = "/auth/login", operation_id = "show_login", tag = "login", security(()),
    params(("provider" = Option<String>, Query, description = "Where to log in; the page offers what there is when not given"),
        ("return_to" = Option<String>, Query, description = "A path of this server to go to afterwards; the console when not given")),
    responses((status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 303, description = "To the provider, with a cookie that comes back from there",
            headers(("Location" = String, description = "The provider's page"), ("Set-Cookie" = String, description = "What is carried there and back"))),
        (status = "default", description = "The page, with what went wrong", body = String, content_type = "text/html")))]
async fn login(State(house): State<House>, headers: HeaderMap, Query(wanted): Query<Wanted>) -> Response {
    let return_to = local_path(&wanted.return_to);
    let Some(provider) = wanted.provider else { return page::login(&house, &headers, return_to, None) };
    match house.logins.begin(&provider, return_to).await {
        Ok(begun) => {
            let carried = Jar::of(&house).carried(&begun.carries, LOGIN_TIME);
            with_cookies(Redirect::to(begun.url.as_str()), [carried])
        }
        Err(error) => failed(&house, &headers, return_to, &error.into()),
    }
}

/// Take a browser that an identity provider has sent back
///
/// The redirect URI of the authorization code flow with PKCE; nobody but a browser that began here gets further.
#[utoipa::path(get, path = "/auth/callback", operation_id = "finish_login", tag = "login", security(()),
    params(("code" = Option<String>, Query, description = "What the provider gives its token for"),
        ("state" = Option<String>, Query, description = "What the browser was given along"),
        ("iss" = Option<String>, Query, description = "Which provider answers"),
        ("error" = Option<String>, Query, description = "Why not"),
        ("error_description" = Option<String>, Query, description = "The same in words")),
    responses((status = 303, description = "Logged in",
            headers(("Location" = String, description = "Where the browser wanted to go"), ("Set-Cookie" = String, description = "The session"))),
        (status = "default", description = "The page, with what went wrong", body = String, content_type = "text/html")))]
async fn callback(State(house): State<House>, Coming(came): Coming, headers: HeaderMap, Query(answer): Query<FromProvider>) -> Response {
    let jar = Jar::of(&house);
    let carries = jar.carries(&headers);
    match house.logins.finish(carries.as_deref(), answer, &came).await {
        Ok(entered) => {
            forget(&house, &jar, (&headers, &came)).await;
            with_cookies(Redirect::to(&entered.return_to), [jar.entered(entered.cookie.expose()), jar.nothing_carried()])
        }
        Err(error) => {
            let mut response = failed(&house, &headers, "/", &error.into());
            put_cookies(&mut response, [jar.nothing_carried()]);
            response
        }
    }
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    return_to: String,
}

/// Log a browser in with a token of this server
///
/// For when no identity provider is there. Only pages of this server may send it.
#[utoipa::path(post, path = "/auth/enter", operation_id = "enter", tag = "login", security(()),
    request_body(content = view::EnterForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "Logged in",
            headers(("Location" = String, description = "Where the browser wanted to go"), ("Set-Cookie" = String, description = "The session"))),
        (status = "default", description = "The page, with what went wrong", body = String, content_type = "text/html")))]
async fn enter(State(house): State<House>, Coming(came): Coming, headers: HeaderMap, Form(typed): Form<Typed>) -> Response {
    let return_to = local_path(&typed.return_to);
    let entered = async {
        forgery::check_origin(&house, &headers)?;
        let caller = house.access.enter(Some(&typed.token), came.from)?;
        Ok::<_, Error>(house.logins.with_token(&caller, &came).await?)
    };
    match entered.await {
        Ok(cookie) => {
            let jar = Jar::of(&house);
            forget(&house, &jar, (&headers, &came)).await;
            with_cookies(Redirect::to(return_to), [jar.entered(cookie.expose())])
        }
        Err(error) => failed(&house, &headers, return_to, &error),
    }
}

#[derive(Deserialize)]
struct Leaving {
    #[serde(default)]
    csrf_token: String,
}

/// Log a browser out
///
/// It is sent on to the identity provider's own logout, where there is one.
#[utoipa::path(post, path = "/auth/logout", operation_id = "logout", tag = "login", security(()),
    request_body(content = view::LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "Logged out",
        headers(("Location" = String, description = "The provider's logout, or the login page"),
            ("Set-Cookie" = String, description = "Takes the session away")))))]
async fn logout(
    State(house): State<House>,
    Coming(came): Coming,
    headers: HeaderMap,
    Form(leaving): Form<Leaving>,
) -> Result<Response, Error> {
    let jar = Jar::of(&house);
    let Some(cookie) = jar.session(&headers) else { return Ok(Redirect::to("/auth/login").into_response()) };
    if house.logins.session(&cookie).is_ok() {
        forgery::check(&house, &headers, &cookie, Some(&leaving.csrf_token))?;
    }
    let way_out = house.logins.end(&cookie, &came).await?;
    let to = way_out.as_ref().map_or("/auth/login", |url| url.as_str());
    Ok(with_cookies(Redirect::to(to), [jar.nobody()]))
}

/// A browser that logs in again has one session, not two.
async fn forget(house: &House, jar: &Jar, (headers, came): (&HeaderMap, &Came)) {
    if let Some(cookie) = jar.session(headers)
        && let Err(error) = house.logins.end(&cookie, came).await
    {
        tracing::warn!(error = base::chain(&error), "a session that was replaced could not be ended; it ends by itself");
    }
}

/// The page again, with what went wrong.
fn failed(house: &House, headers: &HeaderMap, return_to: &str, error: &Error) -> Response {
    tracing::warn!(error = base::chain(error), "a browser was not logged in");
    page::login(house, headers, return_to, Some((error.status(), error.public(), error.hint())))
}

fn with_cookies<const N: usize>(answer: impl IntoResponse, cookies: [HeaderValue; N]) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    put_cookies(&mut response, cookies);
    response
}

fn put_cookies<const N: usize>(response: &mut Response, cookies: [HeaderValue; N]) {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
