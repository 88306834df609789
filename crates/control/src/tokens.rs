//! Tokens: who may call, and how much.
//!
//! In: what a token may do. Out: 201 with the token, which is shown this once. Fails: on a token
//! that could do nothing, and when nobody could operate Penstock afterwards.

use access::{NewToken, Patch, Use};
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use spec::{Event, EventKind, Token, TokenId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::Page;
use crate::query::Ident;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change, revoke))
}

/// A token, and what it uses now.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) token: Token,
    pub(crate) usage: Use,
}

impl Shown {
    fn new(house: &House, token: Token) -> Self {
        Self { usage: house.access.use_of_token(&token.id).unwrap_or_default(), token }
    }
}

/// A token that was just made, with its text.
#[derive(Serialize)]
struct Secret<'a> {
    #[serde(rename = "token")]
    text: &'a str,
    #[serde(flatten)]
    stored: Shown,
}

/// List tokens
///
/// Oldest first, without the tokens themselves.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    responses((status = 200, description = "The tokens", body = Page<view::Token>)))]
async fn list(State(house): State<House>) -> Result<Answer<Page<Shown>>, Error> {
    let tokens = house.access.list().await?;
    let uses = house.access.uses();
    let shown = tokens.into_iter().map(|token| Shown { usage: uses(&token.id).unwrap_or_default(), token });
    Ok(Answer(Page::whole(shown.collect())))
}

/// Make a token
///
/// The answer is the only time that the token is shown; only its hash is stored.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens", request_body = view::NewToken,
    responses((status = 201, description = "Made", body = view::SecretToken)))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<NewToken>) -> Result<Response, Error> {
    let (token, secret) = house.access.create(wanted).await?;
    tell(&house, EventKind::TokenCreated, &admin, &token).await;
    let body = Answer(Secret { text: secret.expose(), stored: Shown::new(&house, token) });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], body).into_response())
}

/// Read a token
#[utoipa::path(get, path = "/api/v1/tokens/{id}", operation_id = "get_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What is stored of it", body = view::Token)))]
async fn get(State(house): State<House>, Ident(id): Ident) -> Result<Answer<Shown>, Error> {
    let token = house.access.get(&TokenId::new(id)).await?;
    Ok(Answer(Shown::new(&house, token)))
}

/// Change a token
///
/// Holds from the next call on; what is absent stays, `null` takes
/// away.
#[utoipa::path(patch, path = "/api/v1/tokens/{id}", operation_id = "change_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")), request_body = view::TokenPatch,
    responses((status = 200, description = "Changed", body = view::Token)))]
async fn change(State(house): State<House>, admin: Admin, Ident(id): Ident, Json(patch): Json<Patch>) -> Result<Answer<Shown>, Error> {
    let token = house.access.patch(&TokenId::new(id), patch).await?;
    tell(&house, EventKind::TokenUpdated, &admin, &token).await;
    Ok(Answer(Shown::new(&house, token)))
}

/// Revoke a token
///
/// It opens nothing from now on. The last token that may operate this server stays.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(house): State<House>, admin: Admin, Ident(id): Ident) -> Result<StatusCode, Error> {
    let token = house.access.get(&TokenId::new(id)).await?;
    house.access.revoke(&token.id).await?;
    tell(&house, EventKind::TokenRevoked, &admin, &token).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn tell(house: &House, kind: EventKind, admin: &Admin, token: &Token) {
    let did = match kind {
        EventKind::TokenCreated => "made",
        EventKind::TokenRevoked => "revoked",
        _ => "changed",
    };
    let message = format!("token `{}` ({}) was {did} by token `{}`", token.name, token.id, admin.name());
    house.fleet.tell(Event::now(kind, admin.cause(), message)).await;
}
