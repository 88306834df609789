//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`.

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use wire::openai::{Ask, Shape};

use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::error::Error;
use crate::http::Raw;
use crate::walk::refused;

/// A chat.
pub(super) fn chat(_: &Gateway, raw: Raw) -> Result<Call, Error> {
    read(Shape::Chat, raw)
}

/// A text to go on with.
pub(super) fn completions(_: &Gateway, raw: Raw) -> Result<Call, Error> {
    read(Shape::Completions, raw)
}

/// Texts as vectors.
pub(super) fn embeddings(_: &Gateway, raw: Raw) -> Result<Call, Error> {
    read(Shape::Embeddings, raw)
}

/// What no engine of ours does.
pub(super) async fn not_here(State(_): State<Gateway>, uri: Uri) -> Response {
    let (what, instead) = match uri.path() {
        "/v1/rerank" => ("reranking", "call the provider of the ranking model itself, or compare embeddings of /v1/embeddings"),
        "/v1/moderations" => ("moderation", "call the provider of the moderation model itself, or ask a chat model"),
        _ => ("audio", "call the provider of the audio model itself; text and images are served here"),
    };
    refused(&Error::NotHere { what, instead }, Face::OpenAi)
}

fn read(shape: Shape, mut raw: Raw) -> Result<Call, Error> {
    let spans = raw.spans()?;
    let Raw { arrival, headers, caller, body, .. } = raw;
    let scan = spans.on(&body);
    let ask = Ask::read(shape, &scan)?;
    let manner = match shape {
        Shape::Embeddings => Manner::Vectors { base64: scan.str("encoding_format").as_deref() == Some("base64") },
        _ => Manner::Plain,
    };
    let streamed = ask.stream;
    Ok(Call {
        face: Face::OpenAi,
        manner,
        alias: None,
        for_llama: Vec::new(),
        keep: None,
        arrival,
        headers,
        caller,
        body,
        spans,
        ask,
        streamed,
    })
}
