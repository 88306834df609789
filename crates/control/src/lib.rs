//! The operators' face: REST for people and programs that run Penstock.
//!
//! Life of an operator's ask: at the [`door`] it gets a request id and must show a token that may
//! operate Penstock; its path, query, conditions and body are read as typed values ([`query`],
//! [`precondition`], [`json`]); a room's handler ([`deployments`], [`models`], [`tokens`], ...)
//! checks it and whose it is ([`belongs`]), stores what is wanted and pokes the fleet; what is seen comes from the fleet's
//! snapshot ([`shown`]), whole, in pages ([`page`]) or as a stream of changes ([`watch`]). Older
//! clients ask [`modserv`]. People log in at [`login`]. What goes wrong is an [`Error`], which the door renders. The document of
//! it all is made from the same routes ([`docs`]), its shapes are [`view`]; people get [`pages`].

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use tokio::sync::watch::Receiver;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

mod docs;
mod login;
mod pages;

mod modserv;

mod blobs;
mod deployments;
mod events;
mod fit;
mod instances;
mod logs;
mod models;
mod nodes;
mod operations;
mod projects;
mod roles;
mod routes;
mod secrets;
mod status;
mod tokens;
mod usage;
mod users;
mod webhooks;

mod audit;
mod belongs;
mod door;
mod json;
mod page;
mod precondition;
mod query;
mod shown;
mod standing;
pub mod view;
mod watch;

mod problem;

mod error;

pub use error::Error;
pub use page::Page;
pub use problem::{Finding, Problem};

/// What the operators' face is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Wishes, revisions, operations, events, usage, services.
    pub store: store::Store,
    /// Who may.
    pub access: access::Access,
    /// Where people log in.
    pub logins: access::login::Logins,
    /// What can be served.
    pub registry: registry::Registry,
    /// What is done about it.
    pub fleet: fleet::Handle,
    /// How many calls run.
    pub board: Arc<board::Board>,
    /// Who is told of what happens.
    pub webhooks: ::webhooks::Handle,
    /// Keys of others that this server keeps.
    pub vault: vault::Vault,
    /// Whom URLs that are given here may lead to.
    pub outbound: net::Guard,
    /// What of object stores whoever may bring models may name: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    pub buckets: Vec<String>,
    /// The version of Penstock.
    pub version: String,
    /// Where clients reach this server, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Becomes true when the server begins to stop: streams of events and logs end then.
    pub closing: Receiver<bool>,
}

/// What every handler may use.
pub(crate) type House = Arc<Parts>;

/// Everything under `/api/v1`, `/docs`, `/`, `/console`. It has no fallback: merge it with the routers
/// of other rooms. Holds: the task that sees to services which move, until `closing`.
pub fn router(parts: Parts) -> Router {
    let house: House = Arc::new(parts);
    modserv::follow(&house).detach();
    let (routes, mut document) = api().split_for_parts();
    let (logins, of_logins) = login::routes().split_for_parts();
    document.merge(of_logins);
    let guarded = routes
        .route("/api/v1/{*path}", any(door::no_route))
        .method_not_allowed_fallback(door::wrong_method)
        .route_layer(DefaultBodyLimit::max(json::MOST_BODY))
        .merge(docs::routes(&docs::complete(document)).merge(pages::routes()).merge(logins))
        .method_not_allowed_fallback(door::wrong_method)
        .route_layer(from_fn_with_state(Arc::clone(&house), door::admit));
    guarded.route_layer(from_fn(door::finish)).with_state(house)
}

/// The OpenAPI document of the operators' API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = api().into_openapi();
    document.merge(login::routes().into_openapi());
    docs::complete(document)
}

/// The routes behind the door, each with its entry in the document.
fn api() -> OpenApiRouter<House> {
    OpenApiRouter::with_openapi(docs::Document::openapi())
        .merge(deployments::routes())
        .merge(fit::routes())
        .merge(routes::routes())
        .merge(models::routes())
        .merge(blobs::routes())
        .merge(instances::routes())
        .merge(nodes::routes())
        .merge(logs::routes())
        .merge(operations::routes())
        .merge(events::routes())
        .merge(webhooks::routes())
        .merge(projects::routes())
        .merge(tokens::routes())
        .merge(users::routes())
        .merge(roles::routes())
        .merge(secrets::routes())
        .merge(status::routes())
        .merge(usage::routes())
        .merge(modserv::routes())
}

#[cfg(test)]
mod tests;
