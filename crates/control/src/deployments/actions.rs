//! What an operator does to a deployment by hand: load, unload, pin, unpin.
//!
//! In: its name. Out: 202 with an operation, which says when it is done. Fails: 404 for an unknown
//! name, 409 for one on its way out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base::Timestamp;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use spec::{Deployment, Event, EventKind, Name, Operation, OperationId, OperationState, Record, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ours, wish};
use crate::door::Admin;
use crate::error::Error;
use crate::precondition::Expect;
use crate::query::Named;
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(load)).routes(routes!(unload)).routes(routes!(pin)).routes(routes!(unpin))
}

/// Load a deployment now
///
/// Starts an instance if none is there; the operation is over when it is ready, or cannot be.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/load", operation_id = "load_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Under way", body = view::Operation)))]
async fn load(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    wish::alive(Some(&ours(&house, &admin, Verb::Update, &name).await?), &name)?;
    let id = house.fleet.load(&name).await?;
    tell(&house, EventKind::LoadAsked, &name, &admin).await;
    under_way(&house, &admin, &id).await
}

/// Unload a deployment
///
/// Its instances drain and end; the next call starts one again.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/unload", operation_id = "unload_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Under way", body = view::Operation)))]
async fn unload(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    wish::alive(Some(&ours(&house, &admin, Verb::Update, &name).await?), &name)?;
    let id = house.fleet.unload(&name).await?;
    tell(&house, EventKind::UnloadAsked, &name, &admin).await;
    under_way(&house, &admin, &id).await
}

/// Keep a deployment loaded
///
/// Sets `pinned`: no keep-alive and no other deployment unloads it.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/pin", operation_id = "pin_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Done", body = view::Operation)))]
async fn pin(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    set_pinned(&house, &admin, &name, true).await
}

/// Let a deployment be unloaded again
///
/// Clears `pinned`.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/unpin", operation_id = "unpin_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Done", body = view::Operation)))]
async fn unpin(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    set_pinned(&house, &admin, &name, false).await
}

async fn set_pinned(house: &House, admin: &Admin, name: &Name, pinned: bool) -> Result<Response, Error> {
    let wanted = |stored: Option<&Record>| Ok(Deployment { pinned, ..wish::alive(stored, name)?.spec.clone() });
    let record = wish::put(house, name, (&Expect::Anything, admin), wanted).await?;
    let now = Timestamp::now();
    let operation = Operation {
        id: OperationId::random(),
        kind: if pinned { "pin" } else { "unpin" }.to_owned(),
        target: name.clone(),
        project: record.spec.project,
        state: OperationState::Succeeded,
        progress: Some(1.0),
        transfer: None,
        reason: None,
        message: if pinned { "it stays loaded from now on" } else { "its keep-alive counts again" }.to_owned(),
        created_at: now,
        updated_at: now,
    };
    house.store.put_operation(&operation).await?;
    Ok(accepted(&operation))
}

async fn tell(house: &House, kind: EventKind, name: &Name, admin: &Admin) {
    let did = if kind == EventKind::LoadAsked { "loaded" } else { "unloaded" };
    let message = format!("`{name}` is to be {did}, by token `{}`", admin.name());
    house.fleet.tell(Event::now(kind, admin.cause(), message).of(name)).await;
}

async fn under_way(house: &House, admin: &Admin, id: &OperationId) -> Result<Response, Error> {
    let operation = house.store.get_operation(id).await?.ok_or_else(|| Error::not_found("operation", id))?;
    admin.after(&operation);
    Ok(accepted(&operation))
}

fn accepted(operation: &Operation) -> Response {
    let mut response = (StatusCode::ACCEPTED, axum::Json(operation)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/operations/{}", operation.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}
