//! Routes: public model names with several deployments behind them.
//!
//! In: an entry of the config's `routes` as JSON. Out: the stored route, its generation as ETag; calls follow it as
//! soon as the answer is there. Fails: with all that is wrong with it by itself and among the names that there are.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use board::Table;
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use spec::deployment::Origin;
use spec::route::Map;
use spec::{Event, EventKind, Invalid, Name, Route, RouteRecord};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::{Error, segment};
use crate::json::{Json, from_value};
use crate::page::Page;
use crate::precondition::{Expect, etag};
use crate::query::Named;
use crate::shown::Sight;
use crate::{House, view};

mod shown;

use shown::Shown;

/// How long an answer waits until callers are sent by the new route.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, replace, delete))
}

/// List routes
///
/// In the order of their names.
#[utoipa::path(get, path = "/api/v1/routes", operation_id = "list_routes", tag = "routes",
    responses((status = 200, description = "The routes", body = Page<view::Route>)))]
async fn list(State(house): State<House>) -> Result<Answer<Page<Shown>>, Error> {
    let records = house.store.list_routes().await?;
    let sight = Sight::now(&house);
    Ok(Answer(Page::whole(records.into_iter().map(|record| Shown::new(record, &house, &sight)).collect())))
}

/// Create a route
///
/// Its name is a public model name from then on; a token whose models are limited needs that name only.
#[utoipa::path(post, path = "/api/v1/routes", operation_id = "create_route", tag = "routes", request_body = view::RouteSpec,
    responses((status = 201, description = "Stored, and calls follow it", body = view::Route,
        headers(("ETag" = String, description = "The generation"), ("Location" = String, description = "The route")))))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<Route>) -> Result<Response, Error> {
    check(&house, &wanted).await?;
    let record = house.store.create_route(&wanted, Origin::Api).await?;
    admin.after(&record.spec);
    tell(&house, EventKind::RouteCreated, &record.spec.name, &admin).await;
    let place = HeaderValue::from_str(&format!("/api/v1/routes/{}", segment(record.spec.name.as_str())));
    let mut response = answer(&house, StatusCode::CREATED, record).await;
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Read a route
#[utoipa::path(get, path = "/api/v1/routes/{name}", operation_id = "get_route", tag = "routes",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The route", body = view::Route,
        headers(("ETag" = String, description = "The generation")))))]
async fn get(State(house): State<House>, Named(name): Named) -> Result<Response, Error> {
    let record = stored(&house, &name).await?;
    let tag = etag(record.generation);
    Ok(([(ETAG, tag)], Answer(Shown::new(record, &house, &Sight::now(&house)))).into_response())
}

/// Replace a route, or create it
///
/// The `name` may be left out of the body. `If-Match` with an ETag replaces just that generation;
/// `If-None-Match: *` creates only.
#[utoipa::path(put, path = "/api/v1/routes/{name}", operation_id = "replace_route", tag = "routes",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to replace"),
        ("If-None-Match" = Option<String>, Header, description = "`*` creates only")),
    request_body = view::RouteSpec,
    responses((status = 200, description = "Stored, and calls follow it", body = view::Route,
        headers(("ETag" = String, description = "The generation")))))]
async fn replace(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    expect: Expect,
    Json(body): Json<Value>,
) -> Result<Response, Error> {
    let wanted = named(body, &name)?;
    check(&house, &wanted).await?;
    let before = house.store.get_route(&name).await?;
    expect.check_generation(&name, before.as_ref().map(|record| record.generation))?;
    // An entry of the config stays one: the next start follows the file again, and so does a reload once it was changed there.
    let origin = before.as_ref().map_or(Origin::Api, |record| record.origin);
    let record = house.store.put_route(&wanted, origin, Some(before.as_ref().map_or(0, |record| record.generation))).await?;
    if let Some(before) = &before {
        admin.before(&before.spec);
    }
    admin.after(&record.spec);
    let kind = if before.is_some() { EventKind::RouteUpdated } else { EventKind::RouteCreated };
    if before.is_none_or(|before| before.generation != record.generation) {
        tell(&house, kind, &name, &admin).await;
    }
    Ok(answer(&house, StatusCode::OK, record).await)
}

/// Delete a route
///
/// Calls that run go on; the deployments behind it stay.
#[utoipa::path(delete, path = "/api/v1/routes/{name}", operation_id = "delete_route", tag = "routes",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to delete")),
    responses((status = 204, description = "Gone")))]
async fn delete(State(house): State<House>, admin: Admin, Named(name): Named, expect: Expect) -> Result<StatusCode, Error> {
    let record = stored(&house, &name).await?;
    expect.check_generation(&name, Some(record.generation))?;
    house.store.remove_route(&name).await?;
    admin.before(&record.spec);
    tell(&house, EventKind::RouteDeleted, &name, &admin).await;
    await_seen(&house, &name, None).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn stored(house: &House, name: &Name) -> Result<RouteRecord, Error> {
    house.store.get_route(name).await?.ok_or_else(|| Error::not_found("route", name))
}

/// All public names that there are.
pub(crate) async fn map(house: &House) -> Result<Map, Error> {
    let (deployments, routes) = (house.store.list_deployments().await?, house.store.list_routes().await?);
    let deployments = deployments.iter().filter(|record| !record.deleting).map(|record| &record.spec);
    Ok(Map::new(deployments, routes.iter().map(|record| &record.spec)))
}

async fn check(house: &House, wanted: &Route) -> Result<(), Error> {
    wanted.check()?;
    map(house).await?.check_route(wanted)?;
    Ok(())
}

async fn answer(house: &House, status: StatusCode, record: RouteRecord) -> Response {
    await_seen(house, &record.spec.name, Some(record.generation)).await;
    let tag = etag(record.generation);
    (status, [(ETAG, tag)], Answer(Shown::new(record, house, &Sight::now(house)))).into_response()
}

/// Waits until calls go by it; a fleet that is slower than this acts all the same.
async fn await_seen(house: &House, name: &Name, generation: Option<u64>) {
    house.fleet.poke();
    let goes_by_it = |table: &Table| {
        let there = table.routes.get(name).map(|record| record.generation);
        if generation.is_some() { there >= generation } else { there.is_none() }
    };
    let _ = tokio::time::timeout(SEEN_WITHIN, house.board.wait_for(goes_by_it)).await;
}

async fn tell(house: &House, kind: EventKind, name: &Name, admin: &Admin) {
    let did = match kind {
        EventKind::RouteCreated => "created",
        EventKind::RouteDeleted => "deleted",
        _ => "changed",
    };
    house.fleet.tell(Event::now(kind, admin.cause(), format!("route `{name}` was {did} by token `{}`", admin.name()))).await;
}

/// A spec whose name is that of the path, whether it says so or not.
fn named(mut body: Value, name: &Name) -> Result<Route, Error> {
    if let Value::Object(fields) = &mut body {
        fields.entry("name").or_insert_with(|| json!(name));
    }
    let spec: Route = from_value(body)?;
    if spec.name == *name {
        return Ok(spec);
    }
    let what = format!("`{}` is not the name in the path, `{name}`; a route keeps its name", spec.name);
    Err(Invalid::one("name", what, "create another route, then delete this one").into())
}
