//! Answers calls on a Unix socket.
//!
//! In: connections. Out: llama-server's answers, also those for what cannot be answered. Fails: when the
//! socket cannot be bound. Holds: a task for each connection; a caller who leaves takes it along.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base::tasks::{self, Task};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};

use super::answer::Answer;
use super::ask::{self, Ask};
use super::{Engine, metrics};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Numbers in an embedding.
const DIMENSIONS: usize = 8;

/// Opens the door.
pub(super) fn open(engine: &Arc<Engine>) -> io::Result<Task> {
    let listener = UnixListener::bind(&engine.args.host)?;
    let engine = Arc::clone(engine);
    Ok(tasks::spawn("fake-engine", async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks::spawn("fake-engine-connection", connection(Arc::clone(&engine), stream)).detach();
        }
    }))
}

async fn connection(engine: Arc<Engine>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let engine = Arc::clone(&engine);
        async move { Ok::<_, Infallible>(answer(engine, request).await) }
    });
    // A caller who leaves early is no news.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(engine: Arc<Engine>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let is_health = matches!(path.as_str(), "/health" | "/v1/health");
    if !is_health && !is_let_in(&engine, &request) {
        return problem(StatusCode::UNAUTHORIZED, "Invalid API Key", "authentication_error");
    }
    if engine.numbers.ready_for().is_none() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "Loading model", "unavailable_error");
    }
    match (request.method(), path.as_str()) {
        (&Method::GET, _) if is_health => document(&json!({"status": "ok"})),
        (&Method::GET, "/v1/models" | "/models") => document(&models(&engine)),
        (&Method::GET, "/props") => document(&props(&engine)),
        // The loop answers this, not the thread that took the call.
        (&Method::GET, "/metrics" | "/slots") if engine.is_dead() => std::future::pending().await,
        (&Method::GET, "/slots") if engine.args.slots => document(&slots(&engine)),
        (&Method::GET, "/slots") => unsupported("This server does not support slots endpoint. Start it with `--slots`"),
        (&Method::GET, "/metrics") if engine.args.metrics => text(metrics::page(&engine)),
        (&Method::GET, "/metrics") => unsupported("This server does not support metrics endpoint. Start it with `--metrics`"),
        (&Method::POST, "/v1/chat/completions" | "/chat/completions") => say(engine, request, true).await,
        (&Method::POST, "/v1/completions" | "/completions" | "/completion") => say(engine, request, false).await,
        (&Method::POST, "/v1/embeddings" | "/embeddings") => embed(engine, request).await,
        (&Method::POST, "/tokenize") => {
            engine.slumber.wake().await;
            tokenize(request).await
        }
        _ => problem(StatusCode::NOT_FOUND, "File Not Found", "not_found_error"),
    }
}

fn is_let_in(engine: &Engine, request: &Request<Incoming>) -> bool {
    let Some(key) = &engine.behaviour.key else { return true };
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    shown.map(|shown| shown.strip_prefix("Bearer ").unwrap_or(shown)) == Some(key)
}

async fn say(engine: Arc<Engine>, request: Request<Incoming>, chat: bool) -> Response<Body> {
    engine.slumber.wake().await;
    let ask = match whole(request).await.and_then(|body| Ask::read(&body, chat)) {
        Ok(ask) => ask,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message, "invalid_request_error"),
    };
    if let Some(refusal) = too_long(&engine, ask.prompt_tokens) {
        return refusal;
    }
    engine.slumber.touch();
    let Some(slot) = engine.slots.take().await else { return unsupported("the server ends") };
    let streams = ask.stream;
    let mut answer = Answer::begin(engine, ask, slot);
    if !streams {
        return document(&answer.whole().await);
    }
    // The head goes with the first token, as llama-server's does.
    let first = answer.step().await;
    let events = stream::unfold((first, answer), |(ready, mut answer)| async move {
        let events = match ready {
            Some(events) => events,
            None => answer.step().await?,
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(events))), (None, answer)))
    });
    respond(StatusCode::OK, "text/event-stream", StreamBody::new(events).boxed_unsync())
}

async fn embed(engine: Arc<Engine>, request: Request<Incoming>) -> Response<Body> {
    if !engine.args.embeddings {
        return unsupported("This server does not support embeddings. Start it with `--embeddings`");
    }
    engine.slumber.wake().await;
    let body = whole(request).await.and_then(|body| serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string()));
    let inputs = match body.as_ref().map(|body| &body["input"]) {
        Ok(Value::Array(inputs)) if !inputs.is_empty() => inputs.clone(),
        Ok(input @ Value::String(_)) => vec![input.clone()],
        _ => return problem(StatusCode::BAD_REQUEST, "\"input\" or \"content\" must be provided", "invalid_request_error"),
    };
    let Some(_slot) = engine.slots.take().await else { return unsupported("the server ends") };
    let tokens: u64 = inputs.iter().map(ask::words).sum();
    let data = inputs.iter().enumerate().map(|(index, input)| json!({"embedding": vector(input), "index": index, "object": "embedding"}));
    document(&json!({
        "model": engine.args.alias,
        "object": "list",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "data": data.collect::<Vec<_>>(),
    }))
}

/// Of length 1, and the same for the same input.
fn vector(input: &Value) -> Vec<f64> {
    let mut numbers = [1.0_f64; DIMENSIONS];
    for (index, byte) in input.to_string().bytes().enumerate() {
        if let Some(number) = numbers.get_mut(index % DIMENSIONS) {
            *number += f64::from(byte);
        }
    }
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}

async fn tokenize(request: Request<Incoming>) -> Response<Body> {
    let body = whole(request).await.and_then(|body| serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string()));
    let count = body.map_or(0, |body| ask::words(&body["content"]));
    document(&json!({"tokens": (1..=count).collect::<Vec<_>>()}))
}

fn too_long(engine: &Engine, tokens: u64) -> Option<Response<Body>> {
    let each = engine.args.context.checked_div(u64::from(engine.slots.all())).filter(|each| *each > 0)?;
    (tokens > each).then(|| {
        let message = format!("request ({tokens} tokens) exceeds the available context size ({each} tokens), try increasing it");
        let error = json!({"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": each});
        json_response(StatusCode::BAD_REQUEST, &json!({"error": error}))
    })
}

fn models(engine: &Engine) -> Value {
    let alias = &engine.args.alias;
    json!({
        "models": [{"name": alias, "model": alias, "type": "model", "capabilities": ["completion"]}],
        "object": "list",
        "data": [{"id": alias, "object": "model", "created": base::Timestamp::now().as_secs(), "owned_by": "llamacpp",
            "meta": {"n_ctx": engine.args.context}}],
    })
}

/// Which call is in which slot nobody asks: what they hold together is spread evenly.
fn slots(engine: &Engine) -> Value {
    let (all, busy) = (engine.slots.all(), u64::from(engine.slots.busy()));
    let each = engine.args.context / u64::from(all.max(1));
    let tokens = engine.numbers.held_tokens.load(Relaxed).checked_div(busy).unwrap_or(0);
    let slot = |id: u32| {
        let mut slot = json!({"id": id, "n_ctx": each, "speculative": false, "is_processing": u64::from(id) < busy});
        if u64::from(id) < busy {
            slot["n_prompt_tokens"] = tokens.into();
        }
        slot
    };
    (0..all).map(slot).collect()
}

fn props(engine: &Engine) -> Value {
    json!({
        "total_slots": engine.slots.all(),
        "model_alias": engine.args.alias,
        "model_path": engine.args.model,
        "is_sleeping": engine.slumber.is_asleep(),
    })
}

async fn whole(request: Request<Incoming>) -> Result<Bytes, String> {
    request.into_body().collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

fn document(document: &Value) -> Response<Body> {
    json_response(StatusCode::OK, document)
}

fn unsupported(message: &str) -> Response<Body> {
    problem(StatusCode::NOT_IMPLEMENTED, message, "not_supported_error")
}

fn problem(status: StatusCode, message: &str, kind: &str) -> Response<Body> {
    json_response(status, &json!({"error": {"message": message, "type": kind, "code": status.as_u16()}}))
}

fn json_response(status: StatusCode, document: &Value) -> Response<Body> {
    respond(status, "application/json; charset=utf-8", Full::new(Bytes::from(document.to_string())).boxed_unsync())
}

fn text(page: String) -> Response<Body> {
    respond(StatusCode::OK, "text/plain; version=0.0.4", Full::new(Bytes::from(page)).boxed_unsync())
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
