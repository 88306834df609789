//! The echo engine: a very small OpenAI-compatible server that answers with what it was asked.
//!
//! Life of an echo: a socket, a key from the environment, and for each call the words of the last
//! message, one by one ([`mod@answer`]). It is started as any other engine, by a keeper, so that all the
//! plumbing around an engine can be tried without a model.
//!
//! In: the path of a socket. Out: a server until TERM. Fails: when the socket cannot be bound.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use base::{Secret, tasks};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};

mod answer;

use answer::Asked;

type Body = BoxBody<Bytes, Infallible>;

/// The largest ask.
const MOST_BODY: usize = 64 << 20;

/// Serves until TERM.
pub async fn serve(socket: &Path, key: Option<Secret>) -> std::io::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    let key = Arc::new(key);
    tracing::info!(socket = %socket.display(), "the echo listens");
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tasks::spawn("echo-connection", connection(stream, Arc::clone(&key))).detach();
            }
            _ = term.recv() => return Ok(()),
        }
    }
}

async fn connection(stream: UnixStream, key: Arc<Option<Secret>>) {
    let service = hyper::service::service_fn(move |request| {
        let key = Arc::clone(&key);
        async move { Ok::<_, Infallible>(answer(request, key.as_ref().as_ref()).await) }
    });
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(request: Request<Incoming>, key: Option<&Secret>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path == "/health" {
        return document(StatusCode::OK, &json!({"status": "ok"}));
    }
    if !is_let_in(&request, key) {
        return refusal(StatusCode::UNAUTHORIZED, "the key is wrong");
    }
    match (method, path.as_str()) {
        (Method::GET, "/v1/models") => {
            document(StatusCode::OK, &json!({"object": "list", "data": [{"id": "echo", "object": "model", "owned_by": "penstock"}]}))
        }
        (Method::POST, "/v1/chat/completions") => say(request, true).await,
        (Method::POST, "/v1/completions") => say(request, false).await,
        _ => refusal(StatusCode::NOT_FOUND, "the echo does not serve this"),
    }
}

fn is_let_in(request: &Request<Incoming>, key: Option<&Secret>) -> bool {
    let Some(key) = key else { return true };
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    shown == Some(key.expose())
}

async fn say(request: Request<Incoming>, chat: bool) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), MOST_BODY).collect().await else {
        return refusal(StatusCode::BAD_REQUEST, "the body did not come whole");
    };
    let Ok(ask) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let asked = Asked::read(&ask, chat);
    if asked.stream {
        let mut response = Response::new(asked.events().boxed());
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        response
    } else {
        document(StatusCode::OK, &asked.whole())
    }
}

fn document(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    document(status, &json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}))
}

#[cfg(test)]
mod tests;
