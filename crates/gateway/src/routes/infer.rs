//! `POST /infer` and `GET /models` of the NDJSON face.
//!
//! In: a prompt. Out: lines. The call becomes an OpenAI one of the engine's own kind and goes the
//! same walk; only the manner of the answer differs.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use board::Entry;
use http::HeaderMap;
use serde::Serialize;
use spec::Source;
use wire::openai::Shape;

use super::call_of;
use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::choose::{entry_for, is_there};
use crate::error::Error;
use crate::http::Raw;
use crate::identify::identify;
use crate::walk::walk;

/// Goes on with a prompt.
pub(super) async fn infer(State(gateway): State<Gateway>, request: Request) -> Response {
    walk(gateway, request, Face::Lines, read).await
}

fn read(gateway: &Gateway, raw: Raw) -> Result<Call, Error> {
    let wish = wire::infer::Ask::parse(&raw.body)?;
    let model = wish.model.clone().or_else(|| gateway.config().default_model.clone()).ok_or(Error::NoModel)?;
    let table = gateway.board().table();
    let shape = match table.entry(model.as_str()) {
        Some(entry) if !entry.dialect.completions => Shape::Chat,
        _ => Shape::Completions,
    };
    let body = wish.body(shape, &model);
    call_of(shape, raw, body, (Face::Lines, Manner::Lines), wish.wants_stream())
}

/// A model as this face lists it.
#[derive(Debug, Serialize)]
struct Model<'a> {
    id: &'a str,
    name: &'a str,
    path: Cow<'a, str>,
    quant: &'a str,
    family: &'a str,
}

/// The models that the caller may use.
pub(super) async fn models(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let caller = match identify(gateway.access(), &headers) {
        Ok(caller) => caller,
        Err(error) => return error.response(Face::Lines),
    };
    let table = gateway.board().table();
    let mine = table.names().into_iter().filter(|(name, _)| is_there(&table, &caller, name.as_str()));
    let models: Vec<Model<'_>> = mine.map(|(name, _)| shown(name.as_str(), entry_for(&table, &caller, name.as_str()))).collect();
    Json(serde_json::json!({ "models": models })).into_response()
}

/// A public name, and the deployment behind it; of a route, the first.
fn shown<'a>(name: &'a str, entry: Option<&'a Arc<Entry>>) -> Model<'a> {
    let version = entry.and_then(|entry| entry.version.as_deref());
    let spec = entry.map(|entry| &entry.spec);
    let path = match (version, spec.and_then(|spec| spec.model.as_ref())) {
        (Some(version), _) => file_name(&version.path),
        (None, Some(Source::File(path))) => file_name(path),
        (None, Some(source)) => source.told().into(),
        (None, None) => "".into(),
    };
    let quant = version.map_or("", |version| version.quantisation.as_str());
    let family = version.map_or("", |version| version.architecture.as_str());
    Model { id: name, name, path, quant, family }
}

/// Where on this machine it lies is nothing to who may call it.
fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
