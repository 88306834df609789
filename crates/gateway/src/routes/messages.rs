//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's face.
//!
//! In: a request in Anthropic's terms. Out: a message or its events. The call becomes a chat of OpenAI's and goes the same
//! walk; only the manner of the answer differs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use wire::anthropic;

use super::chat;
use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::choose;
use crate::count;
use crate::error::{Error, note_request_id};
use crate::http::Raw;
use crate::walk::{receive, refused};

/// A chat.
pub(super) fn messages(_: &Gateway, raw: Raw) -> Result<Call, Error> {
    let request = anthropic::Request::parse(&raw.body, false)?;
    let body = request.chat(&request.model)?;
    let manner = Manner::Message { thinks: request.thinks(), stops: request.stops().to_vec() };
    let mut call = chat(raw, body, (Face::Messages, manner), request.wants_stream())?;
    call.for_llama = request.for_llama();
    Ok(call)
}

/// Tokens of a chat that is not sent.
pub(super) async fn count_tokens(State(gateway): State<Gateway>, request: Request) -> Response {
    match counted(&gateway, request).await {
        Ok((body, id)) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            note_request_id(&mut response, &id);
            response
        }
        Err(error) => refused(&error, Face::Messages),
    }
}

async fn counted(gateway: &Gateway, request: Request) -> Result<(Bytes, String), Error> {
    let raw = receive(gateway, request).await?;
    let request = anthropic::Request::parse(&raw.body, true)?;
    let body = request.chat(&request.model)?;
    let (caller, id) = (Arc::clone(&raw.caller), raw.arrival.id.to_string());
    let call = chat(raw, body, (Face::Messages, Manner::Plain), false)?;
    let entry = choose::find(gateway.board(), &caller, &call.ask)?;
    let tokens = count::count(gateway, &caller, &entry, call.body).await;
    Ok((anthropic::token_count(tokens), id))
}
