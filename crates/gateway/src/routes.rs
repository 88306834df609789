//! Which path is answered by whom.
//!
//! In: the routes of others. Out: one router of theirs and ours, with every request counted and named. Unknown paths
//! and wrong methods are answered in the manner of the face whose paths they stand among.

mod elsewhere;
mod health;
mod infer;
mod messages;
mod models;
mod ollama;
mod openai;
mod responses;
pub(crate) mod status;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};
use bytes::Bytes;
use http::Method;
use wire::openai::{Ask, Shape};
use wire::scan;

use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::cors;
use crate::error::Error;
use crate::http::Raw;
use crate::identify::guard;
use crate::layer::{Around, named};
use crate::walk::{Reader, walk};

/// A path whose POST goes straight to its walk.
#[derive(Clone, Copy)]
pub(crate) struct Straight {
    pub(crate) path: &'static str,
    pub(crate) face: Face,
    pub(crate) read: Reader,
}

/// The calls that come most.
pub(crate) const STRAIGHT: [Straight; 4] = [
    Straight { path: "/v1/chat/completions", face: Face::OpenAi, read: openai::chat },
    Straight { path: "/v1/messages", face: Face::Messages, read: messages::messages },
    Straight { path: "/v1/embeddings", face: Face::OpenAi, read: openai::embeddings },
    Straight { path: "/v1/completions", face: Face::OpenAi, read: openai::completions },
];

/// The routes of this face.
pub(crate) fn router(gateway: Gateway, others: Router) -> Router {
    let straight = STRAIGHT.into_iter().fold(Router::new(), |router, Straight { path, face, read }| {
        router.route(path, post(move |State(gateway), request| walk(gateway, request, face, read)))
    });
    let router = straight
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/input_tokens", post(responses::input_tokens))
        .route("/v1/responses/{id}", get(responses::get).delete(responses::delete))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/api/chat", post(ollama::chat))
        .route("/api/generate", post(ollama::generate))
        .route("/api/embed", post(ollama::embed))
        .route("/api/embeddings", post(ollama::embeddings))
        .route("/api/tags", get(ollama::tags))
        .route("/api/ps", get(ollama::ps))
        .route("/api/show", post(ollama::show))
        .route("/api/version", get(ollama::version))
        .route("/api/pull", any(ollama::not_here))
        .route("/api/push", any(ollama::not_here))
        .route("/api/create", any(ollama::not_here))
        .route("/api/copy", any(ollama::not_here))
        .route("/api/delete", any(ollama::not_here))
        .route("/api/blobs/{*digest}", any(ollama::not_here))
        .route("/infer", post(infer::infer))
        .route("/models", get(infer::models))
        .route("/status", get(status::status))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route_layer(from_fn_with_state(gateway.clone(), guard))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown);
    let router = match cors::layer(gateway.config().cors.as_ref()) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let others = others.layer(from_fn(named)).with_state(());
    router.merge(numbers(&gateway)).merge(others).layer(Around(gateway.clone())).with_state(gateway)
}

/// What pages of other sites never read, whatever the config says of those that call models: it names the models of all projects.
fn numbers(gateway: &Gateway) -> Router<Gateway> {
    let router = Router::new().route("/metrics", get(health::metrics));
    router.route_layer(from_fn_with_state(gateway.clone(), guard)).method_not_allowed_fallback(wrong_method)
}

async fn unknown(State(_): State<Gateway>, method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path();
    let error = elsewhere::at(path).unwrap_or_else(|| Error::Route { method, path: path.to_owned() });
    error.response(face(path))
}

async fn wrong_method(State(_): State<Gateway>, method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path().to_owned();
    Error::Method { method, path }.response(face(uri.path()))
}

/// Whose path it is.
pub(crate) fn face(path: &str) -> Face {
    match path {
        "/infer" | "/models" | "/status" => Face::Lines,
        _ if path.starts_with("/v1/messages") => Face::Messages,
        _ if path.starts_with("/api/") => Face::Ollama,
        _ => Face::OpenAi,
    }
}

/// A call whose body was written as a chat of OpenAI's.
fn chat(raw: Raw, body: Bytes, manner: (Face, Manner), streamed: bool) -> Result<Call, Error> {
    call_of(Shape::Chat, raw, body, manner, streamed)
}

/// A call whose body was written in OpenAI's terms.
fn call_of(shape: Shape, raw: Raw, body: Bytes, (face, manner): (Face, Manner), streamed: bool) -> Result<Call, Error> {
    let Raw { arrival, headers, caller, .. } = raw;
    let scan = scan::object(&body).map_err(wire::Error::Json)?;
    let ask = Ask::read(shape, &scan)?;
    let spans = scan.into_spans();
    Ok(Call { face, manner, alias: None, for_llama: Vec::new(), keep: None, arrival, headers, caller, body, spans, ask, streamed })
}
