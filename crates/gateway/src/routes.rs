//! Which path is answered by whom.
//!
//! In: nothing. Out: the router of this face, with every request counted and named. Unknown paths
//! and wrong methods are answered in the manner of the face whose paths they stand among.

mod health;
mod infer;
mod models;
mod openai;
pub(crate) mod status;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use http::Method;

use crate::Gateway;
use crate::call::Face;
use crate::cors;
use crate::error::Error;
use crate::layer::around;

/// The routes of this face.
pub(crate) fn router(gateway: Gateway) -> Router {
    let router = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/infer", post(infer::infer))
        .route("/models", get(infer::models))
        .route("/status", get(status::status))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(from_fn_with_state(gateway.clone(), around));
    let router = match cors::layer(gateway.config().cors.as_ref()) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(gateway)
}

async fn unknown(State(_): State<Gateway>, method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path().to_owned();
    Error::Route { method, path }.response(face(uri.path()))
}

async fn wrong_method(State(_): State<Gateway>, method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path().to_owned();
    Error::Method { method, path }.response(face(uri.path()))
}

fn face(path: &str) -> Face {
    if ["/infer", "/models", "/status"].contains(&path) { Face::Lines } else { Face::OpenAi }
}
