//! A receiver of events: it does as it is told, and verifies every signature by its own arithmetic.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base::tasks::{self, Task};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpSocket;

pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What it answers.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status(u16),
    Redirect(String),
    /// The connection ends without an answer.
    HangUp,
    /// No answer comes.
    Never,
}

/// An event that it took.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) document: Value,
}

impl Got {
    pub(super) fn message(&self) -> String {
        self.document["data"]["message"].as_str().unwrap().to_owned()
    }
    pub(super) fn number(&self) -> u64 {
        self.document["id"].as_str().unwrap().parse().unwrap()
    }
}

#[derive(Debug, Default)]
struct Inside {
    script: VecDeque<Reply>,
    refused: Option<String>,
    tried: Vec<String>,
    got: Vec<Got>,
}

pub(super) struct Receiver {
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    task: Task,
}

impl Receiver {
    pub(super) fn start() -> Self {
        Self::start_at(place(([127, 0, 0, 1], 0).into()).unwrap())
    }

    pub(super) fn start_at(place: TcpSocket) -> Self {
        let listener = place.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Arc::<Mutex<Inside>>::default();
        let shared = Arc::clone(&inside);
        let task = tasks::spawn("receiver", async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.push(tasks::spawn("receiver-connection", async move { drop(serve.await) }));
            }
        });
        Self { address, inside, task }
    }

    /// Nobody listens any more; where it was, which nobody else gets.
    pub(super) async fn stop(self) -> TcpSocket {
        let Self { address, task, .. } = self;
        drop(task);
        // The socket is closed when the task has been dropped.
        loop {
            if let Ok(place) = place(address) {
                return place;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// The next answers; 200 after them.
    pub(super) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inside.lock().unwrap().script.extend(replies);
    }
    /// The event with this message is never taken.
    pub(super) fn refuse(&self, message: &str) {
        self.inside.lock().unwrap().refused = Some(message.to_owned());
    }
    /// The ids of all tries.
    pub(super) fn tried(&self) -> Vec<String> {
        self.inside.lock().unwrap().tried.clone()
    }
    pub(super) fn got(&self) -> Vec<Got> {
        self.inside.lock().unwrap().got.clone()
    }
    pub(super) fn messages(&self) -> Vec<String> {
        self.got().iter().map(Got::message).collect()
    }
}

/// A place to listen at.
fn place(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn answer(inside: Arc<Mutex<Inside>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    verify(&parts.headers, &body);
    let document: Value = serde_json::from_slice(&body).unwrap();
    let reply = {
        let mut inside = inside.lock().unwrap();
        inside.tried.push(parts.headers["webhook-id"].to_str().unwrap().to_owned());
        let refused = inside.refused.as_deref().is_some_and(|message| document["data"]["message"] == message);
        if refused { Reply::Status(422) } else { inside.script.pop_front().unwrap_or(Reply::Status(200)) }
    };
    let response = Response::builder();
    let response = match reply {
        Reply::Never => return std::future::pending().await,
        Reply::HangUp => return Err(std::io::ErrorKind::ConnectionReset.into()),
        Reply::Redirect(to) => response.status(307).header("location", to),
        Reply::Status(status) => response.status(status),
    };
    let response = response.body(Full::new(Bytes::from_static(b"thank you"))).unwrap();
    if response.status().is_success() {
        inside.lock().unwrap().got.push(Got { path: parts.uri.path().to_owned(), headers: parts.headers, document });
    }
    Ok(response)
}

/// Whoever sent it knows the secret, and has sent it just now.
fn verify(headers: &HeaderMap, body: &[u8]) {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let wanted = testkit::signature(SECRET, &text("webhook-id"), &text("webhook-timestamp"), body);
    assert_eq!(Some(text("webhook-signature")), wanted);
    let age = base::Timestamp::now().as_secs() - text("webhook-timestamp").parse::<i64>().unwrap();
    assert!((0..=60).contains(&age), "{age}");
}
