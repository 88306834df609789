//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`.

use axum::extract::{Request, State};
use axum::response::Response;
use wire::openai::{Ask, Shape};
use wire::scan;

use crate::Gateway;
use crate::call::{Call, Face};
use crate::error::Error;
use crate::http::Raw;
use crate::walk::walk;

/// A chat.
pub(super) async fn chat(State(gateway): State<Gateway>, request: Request) -> Response {
    walk(gateway, request, Face::OpenAi, |_, raw| read(Shape::Chat, raw)).await
}

/// A text to go on with.
pub(super) async fn completions(State(gateway): State<Gateway>, request: Request) -> Response {
    walk(gateway, request, Face::OpenAi, |_, raw| read(Shape::Completions, raw)).await
}

/// Texts as vectors.
pub(super) async fn embeddings(State(gateway): State<Gateway>, request: Request) -> Response {
    walk(gateway, request, Face::OpenAi, |_, raw| read(Shape::Embeddings, raw)).await
}

fn read(shape: Shape, raw: Raw) -> Result<Call, Error> {
    let Raw { arrival, headers, caller, body } = raw;
    let scan = scan::object(&body).map_err(wire::Error::Json)?;
    let ask = Ask::read(shape, &scan)?;
    let spans = scan.into_spans();
    let streamed = ask.stream;
    Ok(Call { face: Face::OpenAi, arrival, headers, caller, body, spans, ask, streamed })
}
