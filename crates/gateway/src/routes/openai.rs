//! `POST /v1/chat/completions`, `/v1/completions`, `/v1/embeddings`.

use wire::openai::{Ask, Shape};

use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::error::Error;
use crate::http::Raw;

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
