//! Ollama's face: `/api/chat`, `/api/generate`, `/api/embed`, and what its clients ask about models.
//!
//! In: a request in Ollama's terms. Out: lines, or one object. The call becomes an OpenAI one and goes the same walk. What
//! is asked for no words at all only loads the model, or unloads it; `keep_alive` reaches the fleet through the board.
//! Fails: in Ollama's manner, `{"error": text}`; what would change the registry is refused with the way to do it here.

mod catalog;

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use board::{Board, KeepAlive};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Uri};
use wire::ollama::{self, Embed, Embedded, Keep, Kind};
use wire::openai::{Ask, Shape};

pub(super) use catalog::{ps, show, tags, version};

use super::call_of;
use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::choose::{entry_for, find, warm};
use crate::error::Error;
use crate::http::Raw;
use crate::walk::{carry, receive, refused, scan};

/// A conversation.
pub(super) async fn chat(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(talk(&gateway, request, Kind::Chat).await)
}

/// A prompt.
pub(super) async fn generate(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(talk(&gateway, request, Kind::Generate).await)
}

/// Texts as vectors.
pub(super) async fn embed(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(vectors(&gateway, request, false).await)
}

/// One text as a vector, the older way.
pub(super) async fn embeddings(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(vectors(&gateway, request, true).await)
}

/// What would change the registry.
pub(super) async fn not_here(State(_): State<Gateway>, uri: Uri) -> Response {
    let (what, instead) = match uri.path() {
        "/api/pull" => ("pulling models", "register one with `penstock pull` or POST /api/v1/models, then deploy it"),
        "/api/delete" => ("deleting models", "use `penstock rm` or DELETE /api/v1/models/{name}"),
        "/api/copy" => ("copying models", "use `penstock cp`, or deploy the same model under another name"),
        _ => ("making and pushing models", "register finished files with POST /api/v1/models"),
    };
    refused(&Error::NotHere { what, instead }, Face::Ollama)
}

fn answer(outcome: Result<Response, Error>) -> Response {
    outcome.unwrap_or_else(|error| refused(&error, Face::Ollama))
}

fn json_answer(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The published name behind what a client calls a model: as it is, without `:latest`, or with it.
pub(super) fn resolve(board: &Board, model: &str) -> String {
    const LATEST: &str = ":latest";
    let table = board.table();
    let other = model.strip_suffix(LATEST).map_or_else(|| format!("{model}{LATEST}"), str::to_owned);
    if table.named(model).is_none() && table.named(&other).is_some() { other } else { model.to_owned() }
}

/// In, and who. A body is read as JSON whatever it is said to be: Ollama's own examples say with `curl -d` that it is a form.
async fn take_in(gateway: &Gateway, mut request: Request) -> Result<Raw, Error> {
    request.headers_mut().remove(CONTENT_TYPE);
    receive(gateway, request).await
}

async fn talk(gateway: &Gateway, request: Request, kind: Kind) -> Result<Response, Error> {
    let raw = take_in(gateway, request).await?;
    let request = ollama::Request::parse(&raw.body)?;
    let model = resolve(gateway.board(), &request.model);
    let keep = request.keep_alive()?;
    if request.is_empty(kind) {
        return only_load(gateway, &raw, &request, (kind, &model, keep)).await;
    }
    let (call, prompts) = scan(gateway, raw, move |_, raw| read(raw, &request, (kind, model, keep))).await?;
    Ok(carry(gateway.clone(), call, prompts).await)
}

fn read(raw: Raw, request: &ollama::Request, (kind, model, keep): (Kind, String, Option<Keep>)) -> Result<Call, Error> {
    let body = request.body(kind, &model)?;
    let manner = Manner::Ollama { kind, thinks: request.thinks() };
    let mut call = call_of(request.shape(kind), raw, body, (Face::Ollama, manner), request.wants_stream())?;
    call.alias = Some(request.model.clone());
    call.keep = keep.map(kept);
    if call.ask.shape == Shape::Chat {
        call.for_llama = request.for_llama(kind);
    }
    Ok(call)
}

/// A call without words: the model is loaded, or let go.
async fn only_load(
    gateway: &Gateway,
    raw: &Raw,
    request: &ollama::Request,
    (kind, model, keep): (Kind, &str, Option<Keep>),
) -> Result<Response, Error> {
    let reason = load(gateway, &raw.caller, (model, Shape::Chat), keep).await?;
    let lines = ollama::Lines::new(kind, request.model.as_str(), raw.arrival.at);
    Ok(json_answer(lines.only(reason, raw.arrival.began.elapsed())))
}

async fn load(gateway: &Gateway, caller: &Arc<Caller>, (model, shape): (&str, Shape), keep: Option<Keep>) -> Result<&'static str, Error> {
    let ask = Ask { shape, model: model.to_owned(), stream: false, include_usage: false, n: 1, max_tokens: None, prompts: 1 };
    let entry = find(gateway.board(), caller, &ask)?;
    if keep == Some(Keep::For(Duration::ZERO)) {
        unload(gateway.board(), caller, model);
        return Ok("unload");
    }
    if let Some(keep) = keep {
        gateway.board().note_keep_alive(&entry.name, kept(keep));
    }
    gateway.note_asked();
    gateway.stopping().unless_ended(warm(gateway.board(), &entry)).await?;
    Ok("load")
}

/// Lets a model go: of a route, all that it leads this caller to.
fn unload(board: &Board, caller: &Caller, model: &str) {
    let table = board.table();
    let targets = table.routes.get(model).into_iter().flat_map(|route| route.spec.targets.iter().map(|target| &target.deployment));
    let names = table.deployments.get(model).map(|entry| &entry.name).into_iter().chain(targets);
    for name in names.filter(|name| entry_for(&table, caller, name.as_str()).is_some()) {
        board.note_keep_alive(name, KeepAlive::For(Duration::ZERO));
    }
}

fn kept(keep: Keep) -> KeepAlive {
    match keep {
        Keep::For(time) => KeepAlive::For(time),
        Keep::Forever => KeepAlive::Forever,
    }
}

async fn vectors(gateway: &Gateway, request: Request, old: bool) -> Result<Response, Error> {
    let raw = take_in(gateway, request).await?;
    let request = Embed::parse(&raw.body, old)?;
    let model = resolve(gateway.board(), &request.model);
    let keep = request.keep_alive()?;
    if request.is_empty() {
        load(gateway, &raw.caller, (&model, Shape::Embeddings), keep).await?;
        return Ok(json_answer(Embedded { model: request.model, old }.nothing()));
    }
    let read = move |_: &Gateway, raw: Raw| {
        let body = request.body(&model);
        let mut call = call_of(Shape::Embeddings, raw, body, (Face::Ollama, Manner::Embedded { old }), false)?;
        call.alias = Some(request.model);
        call.keep = keep.map(kept);
        Ok(call)
    };
    let (call, prompts) = scan(gateway, raw, read).await?;
    Ok(carry(gateway.clone(), call, prompts).await)
}
