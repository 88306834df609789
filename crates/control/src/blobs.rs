//! Files that Penstock keeps, and what of them may go.
//!
//! In: whether only to look, and how old is old. Out: how much is kept; what went, or would go. Fails: as the disk does; for who may not say what
//! reaches farther than the models: younger files than the operator has others keep, and a store that other servers may use.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use base::ByteSize;
use base::clock::human;
use registry::{Collected, Digest};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::{House, belongs, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(summary)).routes(routes!(prune))
}

/// How to prune.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Prune {
    dry_run: bool,
    grace: Option<Grace>,
    store: bool,
}

#[derive(Debug, Deserialize)]
struct Grace(#[serde(with = "human")] Duration);

/// Sum up the files that are kept
///
/// Those on this machine; where they live in an object store this is its cache.
#[utoipa::path(get, path = "/api/v1/blobs", operation_id = "sum_up_blobs", tag = "models",
    responses((status = 200, description = "How many there are, and how large they are", body = view::BlobSummary)))]
async fn summary(State(house): State<House>) -> Result<Answer<Value>, Error> {
    let all = house.registry.blobs()?.list().await.map_err(registry::Error::from)?;
    let parts = house.registry.blobs()?.parts().await.map_err(registry::Error::from)?;
    let unfinished: Vec<Value> = parts
        .iter()
        .map(|part| json!({ "id": part.id, "done": part.offset, "total": part.total, "touched_at": part.touched_at }))
        .collect();
    Ok(Answer(json!({ "count": all.len(), "bytes": all.iter().map(|(_, size)| size.0).sum::<u64>(), "unfinished": unfinished })))
}

/// Take away files that nothing refers to
///
/// What a model, a revision or a deployment refers to stays, and so does what is in use, what is being written, and what was used within
/// the grace. With `store` the object store is swept as well: only when no other Penstock uses it. A grace shorter than `blobs.grace`, which takes what
/// others may have sent or fetched just now, and `store` take the right `update server`; a dry run does not.
#[utoipa::path(post, path = "/api/v1/blobs/prune", operation_id = "prune_blobs", tag = "models", request_body = view::Prune,
    responses((status = 200, description = "What went, or with `dry_run` would go", body = view::Pruned)))]
async fn prune(State(house): State<House>, admin: Admin, Json(wanted): Json<Prune>) -> Result<Answer<Value>, Error> {
    let grace = wanted.grace.map(|grace| grace.0);
    if wanted.store && !wanted.dry_run {
        belongs::may_server(&admin, "take files away from the object store (`store`), which other servers may use")?;
    }
    if !wanted.dry_run && grace.is_some_and(|grace| is_shorter(&house, grace)) {
        belongs::may_server(&admin, "take files away that are younger than `blobs.grace` (leave `grace` out)")?;
    }
    let done = house.registry.prune(wanted.dry_run, grace, wanted.store).await?;
    admin.after(&json!({ "freed": done.freed, "blobs": done.blobs.len(), "dry_run": wanted.dry_run }));
    Ok(Answer(shown(&done, wanted.dry_run)))
}

/// Than the one that holds for everybody.
fn is_shorter(house: &House, grace: Duration) -> bool {
    house.registry.blobs().is_ok_and(|blobs| grace < blobs.config().grace)
}

fn shown(done: &Collected, dry_run: bool) -> Value {
    let files =
        |all: &[(Digest, ByteSize)]| all.iter().map(|(digest, size)| json!({ "digest": digest, "bytes": size })).collect::<Vec<_>>();
    let parts: Vec<Value> = done.parts.iter().map(|(id, size)| json!({ "id": id, "bytes": size })).collect();
    let (blobs, stored) = (files(&done.blobs), files(&done.stored));
    json!({ "dry_run": dry_run, "freed": done.freed, "kept": done.kept, "blobs": blobs, "parts": parts, "stored": stored })
}
