//! Tags: names for versions, which move.
//!
//! In: a model, a tag, and the version that it shall point to. Out: the model. A deployment that names the tag follows it: the
//! fleet makes a new revision of it. Fails: 404 for a version that is not there, 409 for a tag that deployments name.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use registry::edits;
use serde::Deserialize;
use spec::{Event, EventKind, Model, Name, Source, TagMove, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{answer, by, edited, may_mix, ours};
use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::{Page, limit};
use crate::precondition::Expect;
use crate::query::{LimitQuery, Named, NamedPart, Query};
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(set, unset)).routes(routes!(history))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    version: String,
}

/// Set or move a tag
///
/// To a digest (or its first twelve digits), or to where another tag points. Deployments that name the tag follow it by a rollout,
/// unless they say `rollout: {follow: false}`. Once `latest` has been set it stays where it is; remove it to have it move by itself
/// again.
#[utoipa::path(put, path = "/api/v1/models/{name}/tags/{tag}", operation_id = "set_model_tag", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"), ("tag" = String, Path, description = "The tag"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    request_body = view::TagTarget,
    responses((status = 200, description = "Set", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn set(
    State(house): State<House>,
    admin: Admin,
    NamedPart(name, tag): NamedPart,
    expect: Expect,
    Json(target): Json<Target>,
) -> Result<Response, Error> {
    if !may_mix(&admin) {
        let before = ours(&house, &admin, Verb::Update, &name).await?;
        house.registry.must_not_mix(&name, Some(&before), std::slice::from_ref(&tag)).await?;
    }
    let who = by(&admin);
    let edit = |before: &Model| Ok(edits::with_tag(before, &tag, &target.version, &who)?);
    let (before, model) = edited(&house, &name, (&expect, &admin), edit).await?;
    tell(&house, &admin, (&before, &model), &tag).await;
    answer(&house, StatusCode::OK, model).await
}

/// Remove a tag
///
/// `latest` is not removed: it means the newest version again.
#[utoipa::path(delete, path = "/api/v1/models/{name}/tags/{tag}", operation_id = "remove_model_tag", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"), ("tag" = String, Path, description = "The tag"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    responses((status = 200, description = "Removed", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn unset(State(house): State<House>, admin: Admin, NamedPart(name, tag): NamedPart, expect: Expect) -> Result<Response, Error> {
    ours(&house, &admin, Verb::Update, &name).await?;
    let users = users(&house, &name, &tag).await?;
    if !users.is_empty() && tag != spec::LATEST {
        return Err(Error::InUse { model: name, users });
    }
    let who = by(&admin);
    let edit = |before: &Model| Ok(edits::without_tag(before, &tag, &who)?);
    let (before, model) = edited(&house, &name, (&expect, &admin), edit).await?;
    tell(&house, &admin, (&before, &model), &tag).await;
    answer(&house, StatusCode::OK, model).await
}

/// Read how the tags of a model moved
///
/// The newest move first.
#[utoipa::path(get, path = "/api/v1/models/{name}/history", operation_id = "list_tag_moves", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"), LimitQuery),
    responses((status = 200, description = "The moves", body = Page<view::TagMove>)))]
async fn history(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    Query(query): Query<LimitQuery>,
) -> Result<Answer<Page<TagMove>>, Error> {
    let most = u32::try_from(limit(query.limit)?).unwrap_or(u32::MAX);
    ours(&house, &admin, Verb::Get, &name).await?;
    Ok(Answer(Page::whole(house.registry.moves(&name, most).await?)))
}

/// The deployments that name this tag.
async fn users(house: &House, model: &Name, tag: &str) -> Result<Vec<String>, Error> {
    let records = house.store.list_deployments().await?;
    let names = |source: &Source| matches!(source, Source::Registry { name, tag: Some(named) } if name == model && named == tag);
    let users = records.iter().filter(|record| record.spec.model.as_ref().is_some_and(names));
    Ok(users.map(|record| format!("`{}`", record.spec.name)).collect())
}

async fn tell(house: &House, admin: &Admin, (before, now): (&Model, &Model), tag: &str) {
    let name = &now.name;
    let message = match (before.tags.get(tag), now.tags.get(tag)) {
        (from, to) if from == to => return,
        (_, None) => format!("the tag `{tag}` of model `{name}` was removed by token `{}`", admin.name()),
        (None, Some(to)) => format!("the tag `{tag}` of model `{name}` was set to {to} by token `{}`", admin.name()),
        (Some(from), Some(to)) => format!("the tag `{tag}` of model `{name}` was moved from {from} to {to} by token `{}`", admin.name()),
    };
    house.fleet.tell(Event::now(EventKind::ModelTagged, admin.cause(), message)).await;
    house.fleet.poke();
}
