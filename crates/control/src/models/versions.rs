//! Versions: what a model was and is, by digest.
//!
//! In: files that were sent here; a note; a version to forget. Out: the model. Fails: 422 for files that make no model, 409 for a
//! version that a tag, a deployment or a revision to go back to still names.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use registry::{Bringing, edits};
use serde::Deserialize;
use serde_json::Value;
use spec::{Event, EventKind, Format, Model, Name, Source, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{answer, by, edited, may_bring, ours, patched, refuse, sent, told};
use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::precondition::Expect;
use crate::query::{Named, NamedPart};
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(note, forget))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewVersion {
    files: Vec<Sent>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    format: Option<Format>,
    /// What is said of the model, as in a change of it.
    #[serde(default)]
    card: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    name: String,
    digest: String,
}

/// Make a version of files that were sent
///
/// The main file first; each has been sent as an upload before. They are inspected together: a part that is missing, a file that does
/// not belong to them, a damaged header is refused. A name that is not there yet becomes a model.
#[utoipa::path(post, path = "/api/v1/models/{name}/versions", operation_id = "add_model_version", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`")),
    request_body = view::NewVersion,
    responses((status = 201, description = "Registered", body = view::Model,
        headers(("Location" = String, description = "The model"), ("ETag" = String, description = "The generation")))))]
async fn add(State(house): State<House>, admin: Admin, Named(name): Named, Json(wanted): Json<NewVersion>) -> Result<Response, Error> {
    let parsed =
        wanted.files.iter().map(|file| Ok((file.name.clone(), file.digest.parse::<registry::Digest>().map_err(registry::Error::Digest)?)));
    let files = parsed.collect::<Result<Vec<_>, registry::Error>>().map_err(refuse("files"))?;
    let before = house.store.get_model(&name).await?;
    let card = wanted.card.clone().map(|card| patched(before.as_ref().map(|model| &model.card), card)).transpose()?;
    let (_, allowed) = may_bring(&house, &admin, (&name, before.as_ref()), (card.as_ref(), &wanted.tags)).await?;
    let digests: Vec<_> = files.iter().map(|(_, digest)| digest.clone()).collect();
    sent::check(&house, &admin, &digests).await.map_err(refuse("files"))?;
    let (by, patch, allowed) = (by(&admin), wanted.card, Some(allowed));
    let bringing = Bringing { by, note: wanted.note, tags: wanted.tags, format: wanted.format, patch, allowed, ..Bringing::default() };
    let model = house.registry.add_blobs(&name, &Source::Upload, &files, &bringing).await.map_err(refuse("files"))?;
    told(&admin, before, &model);
    let message = format!("model `{name}` got a version of {} files by token `{}`", files.len(), admin.name());
    house.fleet.tell(Event::now(EventKind::ModelRegistered, admin.cause(), message)).await;
    house.fleet.poke();
    answer(&house, StatusCode::CREATED, model).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    note: String,
}

/// Say something else of a version
#[utoipa::path(patch, path = "/api/v1/models/{name}/versions/{digest}", operation_id = "note_model_version", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("digest" = String, Path, description = "The digest of the version, or its first twelve digits"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    request_body = view::VersionNote,
    responses((status = 200, description = "Changed", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn note(
    State(house): State<House>,
    admin: Admin,
    NamedPart(name, digest): NamedPart,
    expect: Expect,
    Json(said): Json<Note>,
) -> Result<Response, Error> {
    let edit = |before: &Model| Ok((edits::with_note(before, &digest, &said.note)?, None));
    let (_, model) = edited(&house, &name, (&expect, &admin), edit).await?;
    let message = format!("the note of a version of model `{name}` was changed by token `{}`", admin.name());
    house.fleet.tell(Event::now(EventKind::ModelUpdated, admin.cause(), message)).await;
    answer(&house, StatusCode::OK, model).await
}

/// Forget a version
///
/// Not one that a tag points to, that a deployment uses, or that a revision could be gone back to.
#[utoipa::path(delete, path = "/api/v1/models/{name}/versions/{digest}", operation_id = "remove_model_version", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("digest" = String, Path, description = "The digest of the version, or its first twelve digits"),
        ("If-Match" = Option<String>, Header, description = "ETag of the generation to change")),
    responses((status = 200, description = "Forgotten", body = view::Model, headers(("ETag" = String, description = "The generation")))))]
async fn forget(State(house): State<House>, admin: Admin, NamedPart(name, digest): NamedPart, expect: Expect) -> Result<Response, Error> {
    let model = ours(&house, &admin, Verb::Update, &name).await?;
    let whole = edits::found(&model, &digest)?;
    let users = users(&house, &name, &whole).await?;
    if !users.is_empty() {
        return Err(registry::Error::VersionInUse { name, digest: whole, users }.into());
    }
    let who = by(&admin);
    let (_, model) = edited(&house, &name, (&expect, &admin), |before| Ok(edits::without_version(before, &whole, &who)?)).await?;
    let message = format!("the version {whole} of model `{name}` was forgotten by token `{}`", admin.name());
    house.fleet.tell(Event::now(EventKind::ModelUpdated, admin.cause(), message)).await;
    answer(&house, StatusCode::OK, model).await
}

/// Who needs this version: deployments that mean it now, and revisions that could be gone back to.
async fn users(house: &House, model: &Name, digest: &str) -> Result<Vec<String>, Error> {
    let mut users = Vec::new();
    for record in house.store.list_deployments().await? {
        let Some(source) = &record.spec.model else { continue };
        if house.registry.meaning(source).await?.is_some_and(|meaning| meaning.model == *model && meaning.digest == digest) {
            users.push(format!("`{}`", record.spec.name));
        }
    }
    for (deployment, number) in house.store.revisions_of_digest(digest).await? {
        users.push(format!("`{deployment}` (revision {number})"));
    }
    Ok(users)
}
