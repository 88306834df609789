//! Deployments: what people want served.
//!
//! In: an entry of the config as JSON. Out: 202 with the stored wish, its generation as ETag; the
//! fleet brings it about. Fails: before anything is stored, with everything that is wrong. The walk
//! of a change: who may (door), what is wrong with it by itself (`spec`), whether its model can be
//! used (`registry`), store it ([`wish`]), poke the fleet.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use spec::deployment::Origin;
use spec::{Deployment, EventKind, Invalid, Kind, Name, Record, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::{Error, segment};
use crate::json::{Json, from_value, merge};
use crate::page::{Page, limit};
use crate::precondition::{Expect, etag};
use crate::query::{ListQuery, Named, Query};
use crate::shown::{self, Shown, Sight};
use crate::{House, belongs, models, view, watch};

mod actions;
mod history;
mod rollout;
pub(crate) mod wish;

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, replace, change, delete))
        .merge(actions::routes())
        .merge(history::routes())
        .merge(rollout::routes())
}

/// List deployments
///
/// In the order of their names.
#[utoipa::path(get, path = "/api/v1/deployments", operation_id = "list_deployments", tag = "deployments", params(ListQuery),
    responses((status = 200, description = "A page of deployments, or the stream of their changes",
        content((Page<view::Deployment> = "application/json"), (String = "text/event-stream")))))]
async fn list(State(house): State<House>, admin: Admin, Query(query): Query<ListQuery>) -> Result<Response, Error> {
    let theirs = belongs::seen(&admin, Verb::List, Kind::Deployments)?;
    let standing = admin.standing(&house).and(belongs::sees_still(admin.caller(), (Verb::List, Kind::Deployments), theirs.clone()));
    let wanted = query.project.as_deref().map(Name::parse).transpose()?;
    let is_shown = move |project: Option<&Name>| {
        belongs::is_among(theirs.as_deref(), project) && wanted.as_ref().is_none_or(|wanted| project == Some(wanted))
    };
    if query.watch {
        let (tick, caller) = (house.fleet.watch(), Arc::clone(admin.caller()));
        let all = move || {
            let all = Sight::of(&house, &caller).all();
            all.iter().filter(|shown| is_shown(shown.project())).map(|shown| (shown.name.to_string(), json!(shown))).collect()
        };
        return Ok(watch::respond(watch::changes(tick, all), standing));
    }
    let limit = limit(query.limit)?;
    let records = house.store.list_deployments().await?;
    let sight = Sight::of(&house, admin.caller());
    let shown = records.into_iter().filter(|record| is_shown(record.spec.project.as_ref())).map(|record| sight.show(record)).collect();
    Ok(axum::Json(Page::cut(shown, query.after.as_deref(), limit, |shown: &Shown| shown.name.as_str())).into_response())
}

/// Create a deployment
///
/// Everything that can be checked is checked before anything is stored. The answer does not wait for
/// instances: watch the deployment, or read its `status`. `args`, `env` and a file that does not lie in `models_dir` take the right
/// `update server`.
#[utoipa::path(post, path = "/api/v1/deployments", operation_id = "create_deployment", tag = "deployments",
    request_body = view::DeploymentSpec,
    responses((status = 202, description = "Stored; the fleet brings it about", body = view::Deployment,
        headers(("ETag" = String, description = "The generation"), ("Location" = String, description = "The deployment")))))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<Deployment>) -> Result<Response, Error> {
    wish::check(&house, &admin, None, &wanted).await?;
    let record = house.store.create_deployment(&wanted, Origin::Api).await?;
    admin.after(&shown::told(&record.spec));
    wish::announce(&house, EventKind::DeploymentCreated, &record, &admin).await;
    Ok(accepted(&house, &admin, record).await)
}

/// Read a deployment
#[utoipa::path(get, path = "/api/v1/deployments/{name}", operation_id = "get_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The deployment", body = view::Deployment,
        headers(("ETag" = String, description = "The generation")))))]
async fn get(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Response, Error> {
    let record = ours(&house, &admin, Verb::Get, &name).await?;
    let tag = etag(record.generation);
    Ok(([(ETAG, tag)], axum::Json(Sight::of(&house, admin.caller()).show(record))).into_response())
}

/// Replace a deployment, or create it
///
/// The `name` may be left out of the body. `If-Match` with an ETag replaces just that generation;
/// `If-None-Match: *` creates only. A changed spec moves the service by rollout.
#[utoipa::path(put, path = "/api/v1/deployments/{name}", operation_id = "replace_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to replace"),
        ("If-None-Match" = Option<String>, Header, description = "`*` creates only")),
    request_body = view::DeploymentSpec,
    responses((status = 202, description = "Stored; the fleet brings it about", body = view::Deployment,
        headers(("ETag" = String, description = "The generation")))))]
async fn replace(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    expect: Expect,
    Json(body): Json<Value>,
) -> Result<Response, Error> {
    let wanted = named(body, &name)?;
    let before = house.store.get_deployment(&name).await?;
    wish::check(&house, &admin, before.as_ref(), &meant(wanted.clone(), before.as_ref())).await?;
    let record = wish::put(&house, &name, (&expect, &admin), |stored| Ok(meant(wanted.clone(), stored))).await?;
    Ok(accepted(&house, &admin, record).await)
}

/// Change some fields of a deployment
///
/// The body is a JSON merge patch (RFC 7396) of the spec: what is absent stays, `null` goes back to
/// the default.
#[utoipa::path(patch, path = "/api/v1/deployments/{name}", operation_id = "change_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    request_body(content((Object = "application/merge-patch+json"), (Object = "application/json")),
        description = "Some fields of a DeploymentSpec"),
    responses((status = 202, description = "Stored; the fleet brings it about", body = view::Deployment,
        headers(("ETag" = String, description = "The generation")))))]
async fn change(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    expect: Expect,
    Json(patch): Json<Value>,
) -> Result<Response, Error> {
    let merged = |stored: Option<&Record>| {
        let record = wish::alive(stored, &name)?;
        let mut document = json!(record.spec);
        merge(&mut document, patch.clone());
        Ok(meant(named(document, &name)?, stored))
    };
    let before = ours(&house, &admin, Verb::Update, &name).await?;
    wish::check(&house, &admin, Some(&before), &merged(Some(&before))?).await?;
    let record = wish::put(&house, &name, (&expect, &admin), merged).await?;
    Ok(accepted(&house, &admin, record).await)
}

/// Delete a deployment
///
/// Its instances drain first: calls that run may finish. It is gone from the list when they are.
#[utoipa::path(delete, path = "/api/v1/deployments/{name}", operation_id = "delete_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to delete")),
    responses((status = 202, description = "On its way out", body = view::Deployment)))]
async fn delete(State(house): State<House>, admin: Admin, Named(name): Named, expect: Expect) -> Result<Response, Error> {
    let record = ours(&house, &admin, Verb::Delete, &name).await?;
    expect.check(&name, Some(&record))?;
    let routes = crate::routes::map(&house).await?.routes_to(&name);
    if !routes.is_empty() {
        return Err(Error::Routed { deployment: name, routes: routes.iter().map(|route| format!("`{route}`")).collect() });
    }
    let record = wish::delete(&house, &name, &admin).await?.ok_or_else(|| Error::not_found("deployment", &name))?;
    Ok(accepted(&house, &admin, record).await)
}

/// The stored wish of this name, with which who asks may do this.
pub(crate) async fn ours(house: &House, admin: &Admin, verb: Verb, name: &Name) -> Result<Record, Error> {
    let record = stored(house, name).await?;
    belongs::may(admin, verb, (Kind::Deployments, record.spec.project.as_ref()), || Error::not_found("deployment", name))?;
    Ok(record)
}

/// The stored wish of this name.
pub(crate) async fn stored(house: &House, name: &Name) -> Result<Record, Error> {
    house.store.get_deployment(name).await?.ok_or_else(|| Error::not_found("deployment", name))
}

/// 202: it is stored, and the fleet knows; with a warning if its model should not be used any more.
async fn accepted(house: &House, admin: &Admin, record: Record) -> Response {
    let model = record.spec.model.clone();
    let shown = Sight::of(house, admin.caller()).show(record);
    let place = HeaderValue::from_str(&format!("/api/v1/deployments/{}", segment(shown.name.as_str())));
    let mut response = (StatusCode::ACCEPTED, [(ETAG, etag(shown.generation))], axum::Json(shown)).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    models::warned(house, model.as_ref(), response).await
}

/// The wish of somebody who may not have been shown all of what is stored.
fn meant(wanted: Deployment, stored: Option<&Record>) -> Deployment {
    shown::meant(wanted, stored.map(|record| &record.spec))
}

/// A spec whose name is that of the path, whether it says so or not.
fn named(mut body: Value, name: &Name) -> Result<Deployment, Error> {
    if let Value::Object(fields) = &mut body {
        fields.entry("name").or_insert_with(|| json!(name));
    }
    let spec: Deployment = from_value(body)?;
    if spec.name == *name {
        return Ok(spec);
    }
    let what = format!("`{}` is not the name in the path, `{name}`; a deployment keeps its name", spec.name);
    Err(Invalid::one("name", what, "create another deployment, then delete this one").into())
}
