//! Webhooks: who is told of what happens, and how that goes.
//!
//! In: a name of the config's `webhooks`. Out: how far behind it is and what went wrong last; its secret and the path of its
//! URL are never shown. Fails: 404 for an unknown name.

use ::webhooks::Standing;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::page::Page;
use crate::query::Named;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(resume))
}

/// List webhooks
///
/// In the order of their names: what each was sent, how far behind it is, what went wrong last.
#[utoipa::path(get, path = "/api/v1/webhooks", operation_id = "list_webhooks", tag = "events",
    responses((status = 200, description = "The webhooks", body = Page<view::Webhook>)))]
async fn list(State(house): State<House>) -> Json<Page<Standing>> {
    Json(Page::whole(house.webhooks.all()))
}

/// Resume a webhook
///
/// One that waits is tried at once; one that is disabled, because its receiver answered 410, is sent events again.
#[utoipa::path(post, path = "/api/v1/webhooks/{name}/resume", operation_id = "resume_webhook", tag = "events",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 202, description = "It is tried", body = view::Webhook)))]
async fn resume(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<(StatusCode, Json<Standing>), Error> {
    let standing = || house.webhooks.get(&name).ok_or_else(|| Error::not_found("webhook", &name));
    admin.before(&standing()?);
    house.webhooks.resume(&name);
    let standing = standing()?;
    admin.after(&standing);
    Ok((StatusCode::ACCEPTED, Json(standing)))
}
