//! Where people log in and out with a browser, and programs get tokens for their people.
//!
//! Life of a login: the page ([`page`]) offers the providers and a field for a token; a provider's button leads to `/auth/login?provider=`, which
//! sends the browser there with something to carry ([`cookie`]); it comes back to `/auth/callback`, gets the cookie of its session and is sent
//! where it wanted to go. `/auth/logout` ends the session, and sends the browser on to the provider's own logout. Programs ask at
//! `/auth/device` and `/auth/token` ([`oauth`]).
//!
//! In: browsers. Out: pages, redirects, cookies. Fails: with a page that says what to do next. What changes something is refused when a page of
//! another site may have caused it ([`forgery`]).

use std::net::IpAddr;
use std::sync::Arc;

use access::login::{Answer as FromProvider, Error as Trouble, LOGIN_TIME, csrf_token, local_path};
use access::{Address, Caller, Mode};
use axum::extract::{DefaultBodyLimit, Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base::{Fault as _, Timestamp};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use spec::{Cause, Event, EventKind};

use crate::House;
use crate::error::Error;

pub(crate) mod cookie;
pub(crate) mod forgery;
mod oauth;
mod page;

use cookie::Jar;

/// The way of browsers, and that of programs. Nobody needs a token here: this is where one gets one.
pub(crate) fn routes() -> Router<House> {
    Router::new()
        .route("/auth/login", get(login))
        .route("/auth/callback", get(callback))
        .route("/auth/session", get(session))
        .route("/auth/enter", post(enter))
        .route("/auth/logout", post(logout))
        .merge(oauth::routes())
        .layer(DefaultBodyLimit::max(MOST_FORM))
}

/// No form of a login is longer.
const MOST_FORM: usize = 64 << 10;

/// Who asks: who brings a token, of ours or of a provider, else who is behind the cookie. Only a token of a provider that nobody has seen before is
/// waited for.
pub(crate) async fn who(house: &House, asked: &Asked<'_>) -> Result<Arc<Caller>, Error> {
    let Asked { method, headers, token, from } = *asked;
    let cookie = if token.is_none() { Jar::of(house).session(headers) } else { None };
    // Where everybody is let in an old cookie shuts nobody out.
    if let Some(cookie) = cookie.filter(|_| house.access.mode() == Mode::Tokens) {
        let (_, caller) = house.logins.session(&cookie)?;
        if !method.is_safe() {
            forgery::check(house, headers, &cookie, None)?;
        }
        return Ok(caller);
    }
    match (house.access.enter(token, from), token) {
        (Err(access::Error::Login(Trouble::Coming { .. })), Some(text)) => {
            house.access.settle(text).await?;
            Ok(house.access.enter(token, from)?)
        }
        (entered, _) => Ok(entered?),
    }
}

/// What tells who asks.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a http::Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) token: Option<&'a str>,
    pub(crate) from: Option<IpAddr>,
}

/// Who is logged in, for the pages of this server.
#[derive(Debug, Serialize)]
struct Inside {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    ends_at: Timestamp,
    /// For the header `x-csrf-token` of changes.
    csrf_token: String,
}

/// Who is logged in with this browser. What it tells can be read by pages of ours only.
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

/// The page, or the way to a provider.
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

/// A browser that a provider has sent back.
async fn callback(State(house): State<House>, headers: HeaderMap, Query(answer): Query<FromProvider>) -> Response {
    let jar = Jar::of(&house);
    let carries = jar.carries(&headers);
    match house.logins.finish(carries.as_deref(), answer).await {
        Ok(entered) => {
            forget(&house, &jar, &headers).await;
            tell(&house, &entered.user.name, "with a browser").await;
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

/// Somebody has typed a token in.
async fn enter(State(house): State<House>, address: Option<Extension<Address>>, headers: HeaderMap, Form(typed): Form<Typed>) -> Response {
    let return_to = local_path(&typed.return_to);
    let entered = async {
        forgery::check_origin(&house, &headers)?;
        let caller = house.access.enter(Some(&typed.token), address.map(|Extension(Address(address))| address))?;
        let cookie = house.logins.with_token(&caller).await?;
        tell(&house, caller.name(), "with a browser by a token").await;
        Ok::<_, Error>(cookie)
    };
    match entered.await {
        Ok(cookie) => {
            let jar = Jar::of(&house);
            forget(&house, &jar, &headers).await;
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

/// A browser leaves; it is sent on to the provider's own logout, where there is one.
async fn logout(State(house): State<House>, headers: HeaderMap, Form(leaving): Form<Leaving>) -> Result<Response, Error> {
    let jar = Jar::of(&house);
    let Some(cookie) = jar.session(&headers) else { return Ok(Redirect::to("/auth/login").into_response()) };
    if house.logins.session(&cookie).is_ok() {
        forgery::check(&house, &headers, &cookie, Some(&leaving.csrf_token))?;
    }
    let way_out = house.logins.end(&cookie).await?;
    let to = way_out.as_ref().map_or("/auth/login", |url| url.as_str());
    Ok(with_cookies(Redirect::to(to), [jar.nobody()]))
}

/// Somebody has logged in.
async fn tell(house: &House, name: &str, how: &str) {
    let cause = Cause::Api { token: name.to_owned(), id: None };
    house.fleet.tell(Event::now(EventKind::UserLoggedIn, cause, format!("`{name}` logged in {how}"))).await;
}

/// A browser that logs in again has one session, not two.
async fn forget(house: &House, jar: &Jar, headers: &HeaderMap) {
    if let Some(cookie) = jar.session(headers)
        && let Err(error) = house.logins.end(&cookie).await
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
