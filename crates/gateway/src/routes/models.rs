//! `GET /v1/models` and `GET /v1/models/{id}`: what the key may use, loaded or not.
//!
//! Two products share these paths: who sends `anthropic-version` is answered in Anthropic's manner.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use base::Timestamp;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use spec::Name;
use wire::anthropic;
use wire::openai::models::{self, Model};

use crate::Gateway;
use crate::call::Face;
use crate::choose::is_there;
use crate::error::Error;
use crate::identify::identify;

/// Whose client asks.
fn face(headers: &HeaderMap) -> Face {
    if headers.contains_key("anthropic-version") { Face::Messages } else { Face::OpenAi }
}

/// All of them.
pub(super) async fn list(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let face = face(&headers);
    let listed = identify(gateway.access(), &headers).map(|caller| {
        let table = gateway.board().table();
        let mine = table.names().into_iter().filter(|(name, _)| is_there(&table, &caller, name.as_str()));
        match face {
            Face::Messages => anthropic::models(&mine.map(for_anthropic).collect::<Vec<_>>()),
            _ => models::list(&mine.map(shown).collect::<Vec<_>>()),
        }
    });
    answer(listed, face)
}

/// One of them; its id may hold slashes, percent-encoded or not.
pub(super) async fn one(State(gateway): State<Gateway>, headers: HeaderMap, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default(); // what cannot be decoded names no model
    let face = face(&headers);
    let found = identify(gateway.access(), &headers).and_then(|caller| {
        let table = gateway.board().table();
        let found =
            table.named(&id).filter(|(name, _)| is_there(&table, &caller, name.as_str())).ok_or(Error::UnknownModel { model: id })?;
        Ok(if face == Face::Messages { anthropic::model(&for_anthropic(found)) } else { models::one(&shown(found)) })
    });
    answer(found, face)
}

fn for_anthropic((name, created): (&Name, Timestamp)) -> anthropic::Model {
    anthropic::Model { id: name.to_string(), created_at: created.to_string() }
}

fn shown((name, created): (&Name, Timestamp)) -> Model {
    Model::new(name.as_str(), created.as_secs(), "penstock")
}

fn answer(body: Result<Bytes, Error>, face: Face) -> Response {
    match body {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => error.response(face),
    }
}
