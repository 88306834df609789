//! Tokens: who may call, and how much.
//!
//! In: what a token may do. Out: 201 with the token, which is shown this once. Fails: on a token
//! that could do nothing, on one that could do more than who makes it, and when nobody could operate Penstock afterwards.
//! Who may not see all tokens sees their own, and those of the projects in which a role of theirs says so. What a user makes is theirs, and ends with
//! them, unless they say otherwise.

use access::{Caller, Denied, NewToken, Patch, Reach, Use};
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::Timestamp;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use serde_json::{Value, json};
use spec::{Event, EventKind, Invalid, Kind, Token, TokenId, UserId, Verb};
use store::TokenQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::{Json, from_value};
use crate::page::{Page, limit};
use crate::query::{Ident, Query, TokensQuery};
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
/// Oldest first, without the tokens themselves: all of them, or one's own and those of one's projects.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(TokensQuery),
    responses((status = 200, description = "A page of tokens", body = Page<view::Token>)))]
async fn list(State(house): State<House>, admin: Admin, Query(query): Query<TokensQuery>) -> Result<Answer<Page<Shown>>, Error> {
    let visible = match admin.caller().reach(Verb::List, Kind::Tokens)? {
        Reach::Everything => None,
        Reach::Some { projects, user } => Some((user, projects.iter().map(ToString::to_string).collect())),
    };
    let most = limit(query.limit)?;
    let query = TokenQuery {
        after: query.after.as_deref().map(read_place).transpose()?,
        owner: query.user.map(UserId::new),
        visible,
        limit: u32::try_from(most).unwrap_or(u32::MAX),
    };
    let tokens = house.access.page(&query).await?;
    let next = tokens.last().filter(|_| tokens.len() == most).map(place);
    Ok(Answer(Page { items: tokens.into_iter().map(|token| Shown::new(&house, token)).collect(), next }))
}

/// Make a token
///
/// The answer is the only time that the token is shown; only its hash is stored. What a user makes is theirs unless `owner` says otherwise: a
/// token never may more than its owner. Who may not make tokens for all makes them for themselves.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens", request_body = view::NewToken,
    responses((status = 201, description = "Made", body = view::SecretToken)))]
async fn create(State(house): State<House>, admin: Admin, Json(body): Json<Value>) -> Result<Response, Error> {
    let caller = admin.caller();
    let wanted: NewToken = from_value(with_owner(with_scope(body), caller))?;
    if let Reach::Some { projects, user } = caller.reach(Verb::Create, Kind::Tokens)? {
        let of_project = wanted.project.as_ref().is_some_and(|name| projects.iter().any(|project| project.as_str() == name));
        if wanted.owner.is_none() || (wanted.owner != user && !of_project) {
            return Err(denied(Denied::Right { verb: Verb::Create, kind: Kind::Tokens }));
        }
        in_project(&admin, wanted.project.as_deref())?;
    }
    house.access.check_gives(caller, &wanted)?;
    let (token, secret) = house.access.create(wanted).await?;
    admin.after(&token);
    tell(&house, EventKind::TokenCreated, &admin, &token).await;
    let body = Answer(Secret { text: secret.expose(), stored: Shown::new(&house, token) });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], body).into_response())
}

/// Who says nothing of what a token may wants it to call models.
fn with_scope(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body
        && !["scopes", "role", "rights"].iter().any(|name| fields.contains_key(*name))
    {
        fields.insert("scopes".to_owned(), json!(["inference"]));
    }
    body
}

/// Who does not say whose a token will be wants it for themselves; a token without a user makes tokens of nobody.
fn with_owner(mut body: Value, caller: &Caller) -> Value {
    if let (Value::Object(fields), Some(user)) = (&mut body, caller.user()) {
        fields.entry("owner").or_insert_with(|| json!(user.id()));
    }
    body
}

/// Read a token
#[utoipa::path(get, path = "/api/v1/tokens/{id}", operation_id = "get_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What is stored of it", body = view::Token)))]
async fn get(State(house): State<House>, admin: Admin, Ident(id): Ident) -> Result<Answer<Shown>, Error> {
    let token = visible(&house, &admin, Verb::Get, &TokenId::new(id)).await?;
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
    let before = visible(&house, &admin, Verb::Update, &TokenId::new(id)).await?;
    if matches!(admin.caller().reach(Verb::Update, Kind::Tokens)?, Reach::Some { .. })
        && let Some(project) = &patch.project
    {
        in_project(&admin, project.as_deref())?;
    }
    house.access.check_patch(admin.caller(), &before, &patch)?;
    let token = house.access.patch(&before.id, patch).await?;
    admin.before(&before);
    admin.after(&token);
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
    let token = visible(&house, &admin, Verb::Delete, &TokenId::new(id)).await?;
    house.access.revoke(&token.id).await?;
    admin.before(&token);
    tell(&house, EventKind::TokenRevoked, &admin, &token).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A token that the caller may do this to; the others are not there.
async fn visible(house: &House, admin: &Admin, verb: Verb, id: &TokenId) -> Result<Token, Error> {
    let token = house.access.get(id).await?;
    match admin.caller().reach(verb, Kind::Tokens)? {
        Reach::Some { projects, user } => {
            let is_own = token.owner.is_some() && token.owner == user;
            let of_project = token.project.as_ref().is_some_and(|name| projects.iter().any(|project| project.as_str() == name));
            if is_own || of_project { Ok(token) } else { Err(access::Error::NotFound(id.clone()).into()) }
        }
        Reach::Everything => Ok(token),
    }
}

/// Who makes tokens for themselves books their use on a project only if they may call for it.
fn in_project(admin: &Admin, project: Option<&str>) -> Result<(), Error> {
    let Some(project) = project else { return Ok(()) };
    let may_call = admin.caller().user().is_some_and(|user| user.calls_for(project));
    if may_call { Ok(()) } else { Err(denied(Denied::Project(project.to_owned()))) }
}

fn denied(what: Denied) -> Error {
    access::Error::Forbidden { what }.into()
}

/// Where a page goes on: after the token that was made then and has this id.
fn place(token: &Token) -> String {
    format!("{}-{}", token.created_at.as_millis(), token.id)
}

fn read_place(text: &str) -> Result<(Timestamp, TokenId), Error> {
    let read = text.split_once('-').and_then(|(at, id)| Some((Timestamp::from_millis(at.parse().ok()?), TokenId::new(id))));
    read.ok_or_else(|| Invalid::one("after", "not a place in the list", "send the `next` of the page before").into())
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
