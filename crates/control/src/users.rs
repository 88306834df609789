//! Users: people, and accounts of programs.
//!
//! In: a name, roles everywhere and within projects. Out: the user; its tokens are made with `POST /api/v1/tokens`. Fails: on a name that is
//! taken, on a role that is not there, on roles that may more than who gives them, and when nobody could operate Penstock afterwards.

use access::{NewUser, UserPatch};
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use spec::{Event, EventKind, User};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::{Page, limit};
use crate::query::{Ident, PageQuery, Query};
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change, remove)).routes(routes!(whoami))
}

/// Who asks, and what they may.
#[derive(Debug, Serialize)]
pub(crate) struct Whoami {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<User>,
    pub(crate) rights: spec::Rights,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) within: std::collections::BTreeMap<spec::Name, spec::Rights>,
}

/// List users
///
/// By name, with service accounts.
#[utoipa::path(get, path = "/api/v1/users", operation_id = "list_users", tag = "users", params(PageQuery),
    responses((status = 200, description = "A page of users", body = Page<view::User>)))]
async fn list(State(house): State<House>, Query(query): Query<PageQuery>) -> Result<Answer<Page<User>>, Error> {
    let limit = limit(query.limit)?;
    let mut users = house.access.list_users().await?;
    users.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Answer(Page::cut(users, query.after.as_deref(), limit, |user| user.name.as_str())))
}

/// Make a user
///
/// A person without an identity provider, or with `service` the account of a program. Neither has a password: make a token for it.
#[utoipa::path(post, path = "/api/v1/users", operation_id = "create_user", tag = "users", request_body = view::NewUser,
    responses((status = 201, description = "Made", body = view::User)))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<NewUser>) -> Result<Response, Error> {
    house.access.check_roles_given(admin.caller(), wanted.roles.iter().chain(wanted.projects.values().flatten()))?;
    let user = house.access.create_user(wanted).await?;
    admin.after(&user);
    tell(&house, EventKind::UserCreated, &admin, &user).await;
    Ok((StatusCode::CREATED, Answer(user)).into_response())
}

/// Read a user
#[utoipa::path(get, path = "/api/v1/users/{id}", operation_id = "get_user", tag = "users",
    params(("id" = String, Path, description = "Its id, or its name")),
    responses((status = 200, description = "The user", body = view::User)))]
async fn get(State(house): State<House>, Ident(id): Ident) -> Result<Answer<User>, Error> {
    Ok(Answer(house.access.get_user(&id).await?))
}

/// Change a user
///
/// Holds at once, also for their sessions and tokens; what is absent stays, `null` takes away. A user who is disabled may nothing, and neither
/// may their tokens.
#[utoipa::path(patch, path = "/api/v1/users/{id}", operation_id = "change_user", tag = "users",
    params(("id" = String, Path, description = "Its id, or its name")), request_body = view::UserPatch,
    responses((status = 200, description = "Changed", body = view::User)))]
async fn change(State(house): State<House>, admin: Admin, Ident(id): Ident, Json(patch): Json<UserPatch>) -> Result<Answer<User>, Error> {
    let before = house.access.get_user(&id).await?;
    house.access.check_over(admin.caller(), &before.id)?;
    let given = patch.roles.iter().flatten().chain(patch.projects.iter().flat_map(|projects| projects.values().flatten()));
    house.access.check_roles_given(admin.caller(), given)?;
    let user = house.access.patch_user(&before.id, patch).await?;
    admin.before(&before);
    admin.after(&user);
    tell(&house, EventKind::UserUpdated, &admin, &user).await;
    Ok(Answer(user))
}

/// Remove a user
///
/// With all of their tokens: none of them opens anything from now on. What they used stays in the books.
#[utoipa::path(delete, path = "/api/v1/users/{id}", operation_id = "delete_user", tag = "users",
    params(("id" = String, Path, description = "Its id, or its name")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(house): State<House>, admin: Admin, Ident(id): Ident) -> Result<StatusCode, Error> {
    let user = house.access.get_user(&id).await?;
    house.access.check_over(admin.caller(), &user.id)?;
    house.access.delete_user(&user.id).await?;
    admin.before(&user);
    tell(&house, EventKind::UserDeleted, &admin, &user).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Who am I
///
/// The token or the session that asks, whose it is, and what it may now.
#[utoipa::path(get, path = "/api/v1/whoami", operation_id = "whoami", tag = "users",
    responses((status = 200, description = "Who asks", body = view::Whoami)))]
async fn whoami(State(house): State<House>, admin: Admin) -> Result<Answer<Whoami>, Error> {
    let caller = admin.caller();
    let user = match caller.user() {
        Some(owner) => Some(house.access.get_user(owner.id().as_str()).await?),
        None => None,
    };
    Ok(Answer(Whoami {
        name: caller.name().to_owned(),
        token: caller.token().map(str::to_owned),
        project: caller.project().map(str::to_owned),
        user,
        rights: caller.rights(),
        within: caller.within(),
    }))
}

async fn tell(house: &House, kind: EventKind, admin: &Admin, user: &User) {
    let did = match kind {
        EventKind::UserCreated => "made",
        EventKind::UserDeleted => "removed",
        _ => "changed",
    };
    let message = format!("user `{}` ({}) was {did} by `{}`", user.name, user.id, admin.name());
    house.fleet.tell(Event::now(kind, admin.cause(), message)).await;
}
