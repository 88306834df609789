//! Operations: how far the jobs are that somebody asked for.
//!
//! In: an id. Out: the job; or its states as they come, until it is over. Fails: 404 for an unknown
//! id. Bounded: the store keeps the newest thousand that are over.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use fleet::Snapshot;
use futures_util::{Stream, stream};
use serde_json::json;
use spec::{Kind, Name, Operation, OperationId, Verb};
use tokio::sync::watch::Receiver;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::page::{Page, limit};
use crate::query::{Ident, LimitQuery, Query, WatchQuery};
use crate::{House, belongs, view, watch};

/// An operation is looked at so often even when the fleet tells of no change.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, stop))
}

/// List operations
///
/// Newest first: all that run, and the newest thousand of those that are over.
#[utoipa::path(get, path = "/api/v1/operations", operation_id = "list_operations", tag = "operations", params(LimitQuery),
    responses((status = 200, description = "The newest operations", body = Page<view::Operation>)))]
async fn list(State(house): State<House>, admin: Admin, Query(query): Query<LimitQuery>) -> Result<Json<Page<Operation>>, Error> {
    let most = limit(query.limit)?;
    let theirs = belongs::seen(&admin, Verb::List, Kind::Operations)?;
    // Of those of some projects there may be few among the newest.
    let looked_at = if theirs.is_none() { u32::try_from(most).unwrap_or(u32::MAX) } else { u32::MAX };
    let mut all = house.store.list_operations(looked_at).await?;
    all.retain(|operation| belongs::is_among(theirs.as_deref(), operation.project.as_ref()));
    all.truncate(most);
    Ok(Json(Page::whole(all)))
}

/// Read an operation
#[utoipa::path(get, path = "/api/v1/operations/{id}", operation_id = "get_operation", tag = "operations",
    params(("id" = String, Path, description = "Its id"), WatchQuery),
    responses((status = 200, description = "The operation, or the stream of its states",
        content((view::Operation = "application/json"), (String = "text/event-stream")))))]
async fn get(State(house): State<House>, admin: Admin, Ident(id): Ident, Query(query): Query<WatchQuery>) -> Result<Response, Error> {
    let id = OperationId::new(id);
    let missing = || Error::not_found("operation", &id);
    let operation = house.store.get_operation(&id).await?.ok_or_else(missing)?;
    belongs::may(&admin, Verb::Get, (Kind::Operations, operation.project.as_ref()), missing)?;
    if !query.watch {
        return Ok(Json(operation).into_response());
    }
    let (tick, project) = (house.fleet.watch(), operation.project.clone());
    let within = move |caller: &access::Caller| caller.may_within(Verb::Get, Kind::Operations, project.as_ref().map(Name::as_str));
    let standing = admin.standing(&house).and(within);
    Ok(watch::respond(states(house, operation, tick), standing))
}

/// Stop a pull
///
/// What has come is kept, and pulling it again goes on behind it. Other operations are not stopped so.
#[utoipa::path(delete, path = "/api/v1/operations/{id}", operation_id = "stop_operation", tag = "operations",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "Stopped", body = view::Operation)))]
async fn stop(State(house): State<House>, admin: Admin, Ident(id): Ident) -> Result<Json<Operation>, Error> {
    let id = OperationId::new(id);
    let before = house.store.get_operation(&id).await?;
    if let Some(before) = &before {
        belongs::may(&admin, Verb::Create, (Kind::Models, before.project.as_ref()), || Error::not_found("operation", &id))?;
    }
    let stopped = house.registry.stop_pull(&id).await?;
    if let Some(before) = &before {
        admin.before(before);
    }
    admin.after(&stopped);
    Ok(Json(stopped))
}

/// The operation now, and each later state of it, until it is over.
fn states(house: House, first: Operation, tick: Receiver<Arc<Snapshot>>) -> impl Stream<Item = Event> + Send {
    let start = (house, tick, first, true);
    stream::unfold(start, |(house, mut tick, mut told, is_first)| async move {
        if !is_first {
            told = next(&house, &mut tick, told).await?;
        }
        let event = watch::event("changed", &json!(told));
        Some((event, (house, tick, told, false)))
    })
}

/// The next state; none when there will be none, or it cannot be read any more.
async fn next(house: &House, tick: &mut Receiver<Arc<Snapshot>>, told: Operation) -> Option<Operation> {
    while !told.state.is_over() {
        if let Ok(Err(_)) = tokio::time::timeout(LOOK, tick.changed()).await {
            return None; // the fleet is gone
        }
        let now = house.store.get_operation(&told.id).await.ok()??;
        if now != told {
            return Some(now);
        }
    }
    None
}
