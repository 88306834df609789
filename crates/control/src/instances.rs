//! Instances: what runs now.
//!
//! In: nothing but ids. Out: what the fleet saw in its last turn. Fails: 404 for an unknown id.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use spec::Instance;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::page::{Page, limit};
use crate::query::{Ident, ListQuery, Query};
use crate::{House, view, watch};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// List instances
///
/// In the order of their ids.
#[utoipa::path(get, path = "/api/v1/instances", operation_id = "list_instances", tag = "instances", params(ListQuery),
    responses((status = 200, description = "A page of instances, or the stream of their changes",
        content((Page<view::Instance> = "application/json"), (String = "text/event-stream")))))]
async fn list(State(house): State<House>, admin: Admin, Query(query): Query<ListQuery>) -> Result<Response, Error> {
    if query.watch {
        let (tick, standing) = (house.fleet.watch(), admin.standing(&house));
        let all = move || house.fleet.snapshot().instances.iter().map(|i| (i.id.to_string(), json!(i))).collect();
        return Ok(watch::respond(watch::changes(tick, all), standing));
    }
    let limit = limit(query.limit)?;
    let mut instances = house.fleet.snapshot().instances.clone();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Json(Page::cut(instances, query.after.as_deref(), limit, |i: &Instance| i.id.as_str())).into_response())
}

/// Read an instance
#[utoipa::path(get, path = "/api/v1/instances/{id}", operation_id = "get_instance", tag = "instances",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The instance", body = view::Instance)))]
async fn get(State(house): State<House>, Ident(id): Ident) -> Result<Json<Instance>, Error> {
    let found = house.fleet.snapshot().instances.iter().find(|instance| instance.id.as_str() == id).cloned();
    found.map(Json).ok_or_else(|| Error::not_found("instance", id))
}
