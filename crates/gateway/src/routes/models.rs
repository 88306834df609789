//! `GET /v1/models` and `GET /v1/models/{id}`: what the key may use, loaded or not.

use std::sync::Arc;

use access::Caller;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use board::Entry;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use wire::openai::models::{self, Model};

use crate::Gateway;
use crate::call::Face;
use crate::error::Error;
use crate::identify::identify;

/// All of them.
pub(super) async fn list(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    answer(identify(gateway.access(), &headers).map(|caller| {
        let table = gateway.board().table();
        let seen: Vec<Model> = table.deployments.values().filter(|entry| may(&caller, entry)).map(|entry| shown(entry)).collect();
        models::list(&seen)
    }))
}

/// One of them; its id may hold slashes, percent-encoded or not.
pub(super) async fn one(State(gateway): State<Gateway>, headers: HeaderMap, id: Result<Path<String>, PathRejection>) -> Response {
    let id = id.map(|Path(id)| id).unwrap_or_default(); // what cannot be decoded names no model
    answer(identify(gateway.access(), &headers).and_then(|caller| {
        let table = gateway.board().table();
        let entry = table.deployments.get(id.as_str()).filter(|entry| may(&caller, entry));
        entry.map(|entry| models::one(&shown(entry))).ok_or(Error::UnknownModel { model: id })
    }))
}

fn may(caller: &Caller, entry: &Arc<Entry>) -> bool {
    caller.may_infer(entry.name.as_str()).is_ok()
}

fn shown(entry: &Entry) -> Model {
    Model::new(entry.name.as_str(), entry.created.as_secs(), "penstock")
}

fn answer(body: Result<Bytes, Error>) -> Response {
    match body {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => error.response(Face::OpenAi),
    }
}
