//! From one revision to the next: how far it is, what it was before, and the way back.
//!
//! In: a deployment's name, and a verb. Out: its rollout, or its revisions. Fails: 404 for an unknown name or revision, 409 where
//! there is no rollout to do that to, 422 when the model of an old revision is not what it was any more. An undo is a change like
//! any other: the old spec becomes the next revision.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use fleet::Verb;
use http::StatusCode;
use serde::Deserialize;
use spec::deployment::RevisionStatus;
use spec::{Deployment, Invalid, Name, Record, RolloutPhase, Source, Verb as Access};
use store::KeptRevision;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{accepted, ours, wish};
use crate::door::Admin;
use crate::error::Error;
use crate::json::Json as Body;
use crate::page::Page;
use crate::precondition::Expect;
use crate::query::Named;
use crate::shown::{ShownRevision, ShownRollout, Sight, sees_variables};
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(rollout))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(promote))
        .routes(routes!(undo))
        .routes(routes!(revisions))
}

/// Read the rollout of a deployment
///
/// The one that is under way, or the last one.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/rollout", operation_id = "get_rollout", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "How far it is", body = view::RolloutStatus)))]
async fn rollout(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Json<ShownRollout>, Error> {
    let record = ours(&house, &admin, Access::Get, &name).await?;
    let sight = Sight::now(&house);
    Ok(Json(ShownRollout::of(&record, sight.view(&name))))
}

/// Pause a rollout
///
/// It goes no further until it is resumed; a change that comes meanwhile waits as well.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rollout/pause", operation_id = "pause_rollout", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Stored", body = view::RolloutStatus)))]
async fn pause(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<(StatusCode, Json<ShownRollout>), Error> {
    by_hand(&house, &admin, &name, Verb::Pause).await
}

/// Resume a rollout
///
/// One that is paused goes on; one that went back by itself is tried again.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rollout/resume", operation_id = "resume_rollout", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Stored", body = view::RolloutStatus)))]
async fn resume(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<(StatusCode, Json<ShownRollout>), Error> {
    by_hand(&house, &admin, &name, Verb::Resume).await
}

/// Promote a canary
///
/// Ends its steps: all calls go to the new revision as soon as it can take them.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rollout/promote", operation_id = "promote_rollout", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "Stored", body = view::RolloutStatus)))]
async fn promote(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<(StatusCode, Json<ShownRollout>), Error> {
    by_hand(&house, &admin, &name, Verb::Promote).await
}

async fn by_hand(house: &House, admin: &Admin, name: &Name, verb: Verb) -> Result<(StatusCode, Json<ShownRollout>), Error> {
    let record = ours(house, admin, Access::Update, name).await?;
    wish::alive(Some(&record), name)?;
    admin.before(&ShownRollout::of(&record, Sight::now(house).view(name)));
    let status = house.fleet.rollout(name, verb, admin.cause()).await?;
    let shown = ShownRollout::with(&status, &record, Sight::now(house).view(name));
    admin.after(&shown);
    Ok((StatusCode::ACCEPTED, Json(shown)))
}

/// Where to go back to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Undo {
    to: Option<u64>,
}

/// Undo a rollout
///
/// The spec of an older revision becomes the next one: by default that of the revision which served before. A model with a name in
/// the registry is taken by the digest that it had then.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rollout/undo", operation_id = "undo_rollout", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    request_body = view::Undo,
    responses((status = 202, description = "Stored; the fleet brings it about", body = view::Deployment,
        headers(("ETag" = String, description = "The generation")))))]
async fn undo(State(house): State<House>, admin: Admin, Named(name): Named, Body(undo): Body<Undo>) -> Result<Response, Error> {
    let record = ours(&house, &admin, Access::Update, &name).await?;
    wish::alive(Some(&record), &name)?;
    let target = target(&house, &name, undo.to).await?;
    // What it was is a matter of its spec; whose it is is not undone.
    let theirs =
        |spec: &Deployment, now: Option<&Record>| Deployment { project: now.and_then(|now| now.spec.project.clone()), ..spec.clone() };
    wish::may_want(&house, &admin, Some(&record), &theirs(&target.revision.spec, Some(&record))).await?;
    let wanted = as_it_was(&house, &target).await?;
    wish::check(&house, &admin, Some(&record), &theirs(&wanted, Some(&record))).await?;
    let because = format!("an undo to revision {} by token `{}`", target.revision.number, admin.name());
    let record = wish::put_because(&house, &name, (&Expect::Anything, &admin, &because), |now| Ok(theirs(&wanted, now))).await?;
    Ok(accepted(&house, &admin, record).await)
}

/// The revision that is gone back to.
async fn target(house: &House, name: &Name, number: Option<u64>) -> Result<KeptRevision, Error> {
    let rollout = house.store.get_rollout(name).await?;
    let revisions = house.store.list_revisions(name).await?;
    let current = revisions.first().map_or(0, |kept| kept.revision.number);
    let under_way = rollout.as_ref().is_some_and(|status| status.phase != RolloutPhase::Complete);
    // In the middle, and after it went back by itself, it is undone to what serves.
    let wanted = if under_way { RevisionStatus::Serving } else { RevisionStatus::Superseded };
    let found = match number {
        Some(number) => revisions.into_iter().find(|kept| kept.revision.number == number),
        None => revisions.into_iter().find(|kept| kept.status == wanted && kept.revision.number < current),
    };
    found.ok_or_else(|| Error::NoRevision { name: name.clone(), number })
}

/// Its spec, with the model that it meant then.
async fn as_it_was(house: &House, kept: &KeptRevision) -> Result<Deployment, Error> {
    let mut spec = kept.revision.spec.clone();
    let (Some(source), Some(digest)) = (&mut spec.model, &kept.digest) else { return Ok(spec) };
    if let Source::Registry { tag, .. } = source {
        *tag = Some(format!("@{digest}"));
        return same_card(house, kept, spec).await;
    }
    let now = house.registry.resolve(source).await.map_err(|source| Error::Model { field: "model", source })?;
    if now.digest == *digest {
        return Ok(spec);
    }
    let what = format!("{source} has changed since revision {}: it was {digest}, and is {}", kept.revision.number, now.digest);
    Err(Invalid::one("model", what, "put the old file back, or register versions under a name to go back by digest").into())
}

/// The digest alone brings nothing back where only the model's card has changed.
async fn same_card(house: &House, kept: &KeptRevision, spec: Deployment) -> Result<Deployment, Error> {
    let now = house.store.list_revisions(&spec.name).await?.into_iter().next().and_then(|newest| newest.revision.version);
    let was = kept.revision.version.as_ref();
    let (Some(now), Some(was)) = (now, was) else { return Ok(spec) };
    if now.digest != was.digest || now.contents.serving == was.contents.serving {
        return Ok(spec);
    }
    let what = format!("the card of the model has changed since revision {}, and not its version", kept.revision.number);
    Err(Invalid::one("model", what, "change its parameters, chat_template or context_limit back: PATCH /api/v1/models/NAME").into())
}

/// List the revisions of a deployment
///
/// Newest first; as many are kept as `rollout.revision_history` says, and those that an instance still runs.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/revisions", operation_id = "list_revisions", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The revisions", body = Page<view::Revision>)))]
async fn revisions(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Json<Page<ShownRevision>>, Error> {
    ours(&house, &admin, Access::Get, &name).await?;
    let revisions = house.store.list_revisions(&name).await?;
    let variables = sees_variables(admin.caller());
    Ok(Json(Page::whole(revisions.into_iter().map(|kept| ShownRevision::of(kept, variables)).collect())))
}
