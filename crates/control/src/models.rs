//! Models: names for what can be served.
//!
//! In: a name and a source. Out: the model with its versions. Fails: 422 for a source that cannot be
//! used, with what is wrong and where; 409 when deployments still use what is to be removed.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use spec::{Event, EventKind, Name, Source};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::{Error, segment};
use crate::json::Json;
use crate::page::{Page, limit};
use crate::query::{Named, PageQuery, Query};
use crate::shown::ShownModel;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, register)).routes(routes!(get, remove))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    name: Name,
    source: Source,
}

/// List models
///
/// In the order of their names.
#[utoipa::path(get, path = "/api/v1/models", operation_id = "list_models", tag = "models", params(PageQuery),
    responses((status = 200, description = "A page of models", body = Page<view::Model>)))]
async fn list(State(house): State<House>, Query(query): Query<PageQuery>) -> Result<Answer<Page<ShownModel>>, Error> {
    let limit = limit(query.limit)?;
    let mut models: Vec<ShownModel> = house.registry.list().await?.into_iter().map(ShownModel::from).collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Answer(Page::cut(models, query.after.as_deref(), limit, |model| model.name.as_str())))
}

/// Register a model
///
/// Reads the headers of its files and hashes them, which takes a while for large ones. A name that is
/// there already gets the source, and a new version if the content is new.
#[utoipa::path(post, path = "/api/v1/models", operation_id = "register_model", tag = "models", request_body = view::Registration,
    responses((status = 201, description = "Registered", body = view::Model,
        headers(("Location" = String, description = "The model")))))]
async fn register(State(house): State<House>, admin: Admin, Json(wanted): Json<Registration>) -> Result<Response, Error> {
    let refuse = |source| Error::Model { field: "source", source };
    let model = house.registry.register(&wanted.name, &wanted.source).await.map_err(refuse)?;
    let message = format!("model `{}` was registered from {} by token `{}`", model.name, model.source, admin.name());
    house.fleet.tell(Event::now(EventKind::ModelRegistered, admin.cause(), message)).await;
    house.fleet.poke();
    let place = HeaderValue::from_str(&format!("/api/v1/models/{}", segment(model.name.as_str())));
    let mut response = (StatusCode::CREATED, Answer(ShownModel::from(model))).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Read a model
#[utoipa::path(get, path = "/api/v1/models/{name}", operation_id = "get_model", tag = "models",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The model", body = view::Model)))]
async fn get(State(house): State<House>, Named(name): Named) -> Result<Answer<ShownModel>, Error> {
    Ok(Answer(house.registry.get(&name).await?.into()))
}

/// Forget a model
///
/// Its files stay where they are.
#[utoipa::path(delete, path = "/api/v1/models/{name}", operation_id = "delete_model", tag = "models",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 204, description = "Forgotten")))]
async fn remove(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<StatusCode, Error> {
    let users = users(&house, &name).await?;
    if !users.is_empty() {
        return Err(Error::InUse { model: name, users });
    }
    house.registry.remove(&name).await?;
    let message = format!("model `{name}` was removed by token `{}`", admin.name());
    house.fleet.tell(Event::now(EventKind::ModelRemoved, admin.cause(), message)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The deployments that name this model.
async fn users(house: &House, model: &Name) -> Result<Vec<String>, Error> {
    let names = |source: &Source| matches!(source, Source::Registry { name, .. } if name == model);
    let records = house.store.list_deployments().await?;
    let users = records.iter().filter(|record| record.spec.model.as_ref().is_some_and(names));
    Ok(users.map(|record| format!("`{}`", record.spec.name)).collect())
}
