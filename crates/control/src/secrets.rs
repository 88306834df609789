//! Secrets: keys of others, which this server keeps and shows to their servers.
//!
//! In: a name and a value. Out: names, dates, and the deployments that use them; a value never comes back. Fails: 404 for an unknown name, 409 while a
//! deployment uses it. A changed secret is shown from the next call on.

use axum::Json as Answer;
use axum::extract::State;
use base::{Secret, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use spec::{Event, EventKind, Name};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vault::Held;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::Page;
use crate::query::Named;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, put)).routes(routes!(remove)).routes(routes!(rotate))
}

/// A secret by its name.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: Name,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) used_by: Vec<Name>,
}

/// What is to be kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    name: Name,
    #[serde(deserialize_with = "hidden")]
    value: Secret,
}

/// What is wrong with a value does not repeat it.
fn hidden<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    let text = String::deserialize(deserializer).map_err(|_says_what_it_found| serde::de::Error::custom("it is no text"))?;
    Ok(Secret::new(text))
}

/// How many were sealed anew.
#[derive(Debug, Serialize)]
struct Rotated {
    secrets: usize,
}

/// List secrets
///
/// By name, with the deployments that use them; what they say is never shown.
#[utoipa::path(get, path = "/api/v1/secrets", operation_id = "list_secrets", tag = "secrets",
    responses((status = 200, description = "The secrets", body = Page<view::Secret>)))]
async fn list(State(house): State<House>) -> Result<Answer<Page<Shown>>, Error> {
    let mut all = Vec::new();
    for held in house.vault.list() {
        all.push(shown(&house, held).await?);
    }
    Ok(Answer(Page::whole(all)))
}

/// Store a secret, or give it another value
///
/// Deployments name it in `api_key_secret`. A changed one is shown to their servers from the next call on.
#[utoipa::path(post, path = "/api/v1/secrets", operation_id = "put_secret", tag = "secrets", request_body = view::NewSecret,
    responses((status = 200, description = "Changed", body = view::Secret), (status = 201, description = "Stored", body = view::Secret)))]
async fn put(State(house): State<House>, admin: Admin, Json(wanted): Json<NewSecret>) -> Result<(StatusCode, Answer<Shown>), Error> {
    let before = known(&house, &wanted.name).await?;
    let (held, is_new) = house.vault.put(&wanted.name, wanted.value).await?;
    house.fleet.keys_changed().await;
    let now = shown(&house, held).await?;
    told(&admin, before.as_ref(), Some(&now));
    let did = if is_new { "stored" } else { "given another value" };
    tell(&house, EventKind::SecretStored, &admin, &format!("secret `{}` was {did}", now.name)).await;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Answer(now)))
}

/// Remove a secret
///
/// Not while a deployment uses it.
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", operation_id = "remove_secret", tag = "secrets",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 204, description = "Gone")))]
async fn remove(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<StatusCode, Error> {
    let users = used_by(&house, &name).await?;
    if !users.is_empty() {
        return Err(Error::SecretInUse { secret: name, users: users.iter().map(|user| format!("`{user}`")).collect() });
    }
    let before = known(&house, &name).await?;
    house.vault.remove(&name).await?;
    told(&admin, before.as_ref(), None);
    house.fleet.keys_changed().await;
    tell(&house, EventKind::SecretRemoved, &admin, &format!("secret `{name}` was removed")).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate the master key
///
/// All secrets are sealed anew: by a new key in the data directory, or, where the operator keeps the master key in a file, by
/// the first key in that file now.
#[utoipa::path(post, path = "/api/v1/master-key/rotate", operation_id = "rotate_master_key", tag = "secrets",
    responses((status = 200, description = "How many secrets there are", body = view::Rotated)))]
async fn rotate(State(house): State<House>, admin: Admin) -> Result<Answer<Rotated>, Error> {
    let secrets = house.vault.rotate().await?;
    admin.after(&Rotated { secrets });
    tell(&house, EventKind::MasterKeyRotated, &admin, &format!("the master key was rotated: {secrets} secrets were sealed anew")).await;
    Ok(Answer(Rotated { secrets }))
}

/// The secret of this name, if there is one.
async fn known(house: &House, name: &Name) -> Result<Option<Shown>, Error> {
    match house.vault.list().into_iter().find(|held| held.name == *name) {
        Some(held) => shown(house, held).await.map(Some),
        None => Ok(None),
    }
}

/// Who audits it sees which secret it was and since when it says what it says; not what it says.
fn told(admin: &Admin, before: Option<&Shown>, after: Option<&Shown>) {
    if let Some(before) = before {
        admin.before(before);
    }
    if let Some(after) = after {
        admin.after(after);
    }
}

async fn shown(house: &House, held: Held) -> Result<Shown, Error> {
    let Held { name, created_at, updated_at } = held;
    Ok(Shown { used_by: used_by(house, &name).await?, name, created_at, updated_at })
}

async fn used_by(house: &House, name: &Name) -> Result<Vec<Name>, Error> {
    let deployments = house.store.list_deployments().await?.into_iter().filter(|record| !record.deleting);
    Ok(deployments.filter(|record| record.spec.api_key_secret.as_ref() == Some(name)).map(|record| record.spec.name).collect())
}

async fn tell(house: &House, kind: EventKind, admin: &Admin, what: &str) {
    house.fleet.tell(Event::now(kind, admin.cause(), format!("{what} by token `{}`", admin.name()))).await;
}
