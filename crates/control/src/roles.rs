//! Roles: names for what users and tokens may do.
//!
//! In: a name, and verbs on kinds of things. Out: the role. Fails: on one that is built in, on a name that is taken, on rights that who gives them
//! has not, and while somebody has what is to go.

use access::{NewRole, RolePatch};
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use spec::{Event, EventKind, Name, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::Page;
use crate::query::Named;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change, remove))
}

/// List roles
///
/// By name, with those that are built in.
#[utoipa::path(get, path = "/api/v1/roles", operation_id = "list_roles", tag = "users",
    responses((status = 200, description = "The roles", body = Page<view::Role>)))]
async fn list(State(house): State<House>) -> Answer<Page<Role>> {
    Answer(Page::whole(house.access.list_roles()))
}

/// Make a role
///
/// A name for a set of verbs (`get`, `list`, `create`, `update`, `delete`, `use`) on kinds of things; `*` stands for all.
#[utoipa::path(post, path = "/api/v1/roles", operation_id = "create_role", tag = "users", request_body = view::NewRole,
    responses((status = 201, description = "Made", body = view::Role)))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<NewRole>) -> Result<Response, Error> {
    house.access.check_rights_given(admin.caller(), wanted.rights)?;
    let role = house.access.create_role(wanted).await?;
    admin.after(&role);
    tell(&house, EventKind::RoleCreated, &admin, &role.name).await;
    Ok((StatusCode::CREATED, Answer(role)).into_response())
}

/// Read a role
#[utoipa::path(get, path = "/api/v1/roles/{name}", operation_id = "get_role", tag = "users",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The role", body = view::Role)))]
async fn get(State(house): State<House>, Named(name): Named) -> Result<Answer<Role>, Error> {
    Ok(Answer(house.access.get_role(&name)?))
}

/// Change a role
///
/// Holds at once for all who have it. Those that are built in do not change.
#[utoipa::path(patch, path = "/api/v1/roles/{name}", operation_id = "change_role", tag = "users",
    params(("name" = String, Path, description = "Its name")), request_body = view::RolePatch,
    responses((status = 200, description = "Changed", body = view::Role)))]
async fn change(State(house): State<House>, admin: Admin, Named(name): Named, Json(patch): Json<RolePatch>) -> Result<Answer<Role>, Error> {
    let before = house.access.get_role(&name)?;
    house.access.check_rights_given(admin.caller(), before.rights.or(patch.rights.unwrap_or_default()))?;
    let role = house.access.patch_role(&name, patch).await?;
    admin.before(&before);
    admin.after(&role);
    tell(&house, EventKind::RoleUpdated, &admin, &name).await;
    Ok(Answer(role))
}

/// Remove a role
///
/// Only one that nobody has.
#[utoipa::path(delete, path = "/api/v1/roles/{name}", operation_id = "delete_role", tag = "users",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<StatusCode, Error> {
    let before = house.access.get_role(&name)?;
    house.access.delete_role(&name).await?;
    admin.before(&before);
    tell(&house, EventKind::RoleDeleted, &admin, &name).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn tell(house: &House, kind: EventKind, admin: &Admin, name: &Name) {
    let did = match kind {
        EventKind::RoleCreated => "made",
        EventKind::RoleDeleted => "removed",
        _ => "changed",
    };
    let message = format!("role `{name}` was {did} by `{}`", admin.name());
    house.fleet.tell(Event::now(kind, admin.cause(), message)).await;
}
