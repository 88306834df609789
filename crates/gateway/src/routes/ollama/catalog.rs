//! What Ollama's clients ask about models: which there are, which are loaded, what one is.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base::Timestamp;
use board::{Entry, KeepAlive, State as Standing};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use spec::Version;

use super::resolve;
use crate::Gateway;
use crate::call::Face;
use crate::choose::{entry_for, is_there};
use crate::error::Error;
use crate::identify::identify;

/// The version of Ollama whose API this face speaks: clients leave out what an older one has not.
const SPOKEN: &str = "0.12.6";
/// As Ollama writes "never".
const NEVER: Timestamp = Timestamp::from_millis(9_214_646_400_000);

fn answer(body: Result<Value, Error>) -> Response {
    match body {
        Ok(body) => Json(body).into_response(),
        Err(error) => error.response(Face::Ollama),
    }
}

/// Which version.
pub(in crate::routes) async fn version() -> Json<Value> {
    Json(json!({ "version": SPOKEN }))
}

/// All models that the caller may use.
pub(in crate::routes) async fn tags(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    answer(identify(gateway.access(), &headers).map(|caller| {
        let table = gateway.board().table();
        let mine = table.names().into_iter().filter(|(name, _)| is_there(&table, &caller, name.as_str()));
        let models: Vec<Value> = mine
            .map(|(name, since)| {
                let mut model = summary(name.as_str(), entry_for(&table, &caller, name.as_str()).map(AsRef::as_ref));
                model.insert("modified_at".to_owned(), since.to_string().into());
                Value::Object(model)
            })
            .collect();
        json!({ "models": models })
    }))
}

/// Those of them that are loaded.
pub(in crate::routes) async fn ps(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    answer(identify(gateway.access(), &headers).map(|caller| {
        let (table, status, demand) = (gateway.board().table(), gateway.status(), gateway.board().demand());
        let loaded =
            table.deployments.values().filter(|entry| entry.state == Standing::Ready && is_there(&table, &caller, entry.name.as_str()));
        let models: Vec<Value> = loaded
            .map(|entry| {
                let mut model = summary(entry.name.as_str(), Some(entry));
                let held: u64 = status.instances.iter().filter(|of| of.model_id == entry.name.as_str()).map(|of| of.est_vram_mb).sum();
                let wanted = demand.iter().find(|demand| demand.deployment == entry.name);
                let keep = match wanted.and_then(|wanted| wanted.keep_alive) {
                    Some(KeepAlive::For(time)) => Some(time),
                    Some(KeepAlive::Forever) => None,
                    None => entry.spec.replicas.keep_alive.filter(|_| !entry.spec.pinned),
                };
                let last = wanted.and_then(|wanted| wanted.last_used).map_or_else(Timestamp::now, Timestamp::dated);
                model.insert("size_vram".to_owned(), (held << 20).into());
                model.insert("expires_at".to_owned(), keep.map_or(NEVER, |keep| last.plus(keep)).to_string().into());
                model.insert("context_length".to_owned(), crate::prompt::context(entry).unwrap_or(0).into());
                Value::Object(model)
            })
            .collect();
        json!({ "models": models })
    }))
}

/// The body of `/api/show`; clients in Go send both names, one of them empty.
#[derive(Debug, Deserialize)]
struct Which {
    model: Option<String>,
    name: Option<String>,
}

/// What one model is.
pub(in crate::routes) async fn show(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> Response {
    answer(identify(gateway.access(), &headers).and_then(|caller| {
        let Which { model, name } = serde_json::from_slice(&body).map_err(wire::Error::Shape)?;
        let said = [model, name].into_iter().flatten().find(|said| !said.is_empty());
        let model = said.ok_or(wire::Error::Missing { param: "model" })?;
        let name = resolve(gateway.board(), &model);
        let table = gateway.board().table();
        let entry = entry_for(&table, &caller, &name).filter(|_| caller.may_infer(&name).is_ok());
        entry.map(|entry| shown(entry)).ok_or(Error::UnknownModel { model })
    }))
}

/// As Ollama names it: always with a tag.
fn tagged(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

fn summary(name: &str, entry: Option<&Entry>) -> Map<String, Value> {
    let version = entry.and_then(|entry| entry.version.as_deref());
    let name = tagged(name);
    let mut model = Map::new();
    let mut put = |key: &str, value: Value| model.insert(key.to_owned(), value);
    put("name", name.as_str().into());
    put("model", name.into());
    put("size", version.map_or(0, |version| version.size.0).into());
    put("digest", version.map_or("", |version| version.digest.trim_start_matches("sha256:")).into());
    put("details", details(version));
    put("capabilities", entry.map(capabilities).unwrap_or_default().into());
    model
}

fn details(version: Option<&Version>) -> Value {
    let family = version.map_or("", |version| version.architecture.as_str());
    json!({
        "parent_model": "",
        "format": if version.is_some() { "gguf" } else { "" },
        "family": family,
        "families": version.map(|version| version.architecture.as_str()).into_iter().collect::<Vec<_>>(),
        "parameter_size": version.map_or_else(String::new, |version| size(version.parameters)),
        "quantization_level": version.map_or("", |version| version.quantisation.as_str()),
    })
}

/// `8.0B`, `869.5K`
fn size(parameters: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")];
    let unit = UNITS.iter().find(|(unit, _)| parameters >= *unit);
    unit.map_or_else(|| parameters.to_string(), |(unit, letter)| format!("{}.{}{letter}", parameters / unit, parameters % unit * 10 / unit))
}

fn capabilities(entry: &Entry) -> Vec<&'static str> {
    let has_template = entry.version.as_ref().is_none_or(|version| version.has_template);
    let mut can = Vec::new();
    if entry.dialect.chat {
        can.push("completion");
    }
    if entry.dialect.chat && has_template {
        can.push("tools");
    }
    if entry.dialect.embeddings {
        can.push("embedding");
    }
    can
}

fn shown(entry: &Entry) -> Value {
    let version = entry.version.as_deref();
    let mut facts = Map::new();
    if let Some(version) = version {
        let family = &version.architecture;
        let mut put = |key: String, value: Value| facts.insert(key, value);
        put("general.architecture".to_owned(), family.as_str().into());
        put("general.parameter_count".to_owned(), version.parameters.into());
        put(format!("{family}.context_length"), version.context_length.into());
        put(format!("{family}.embedding_length"), version.embedding_length.into());
        put(format!("{family}.block_count"), version.layers.into());
        put(format!("{family}.vocab_size"), version.vocabulary.into());
    }
    json!({
        "modelfile": format!("# {} is a deployment of Penstock; GET /api/v1/deployments/{} has its specification\n", entry.name, entry.name),
        "parameters": crate::prompt::context(entry).map_or_else(String::new, |context| format!("num_ctx {context}")),
        "template": "",
        "license": "",
        "details": details(version),
        "model_info": facts,
        "capabilities": capabilities(entry),
        "modified_at": entry.created.to_string(),
    })
}
