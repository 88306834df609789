//! Asks over HTTP, a connection for each ask, so that leaving is as simple as dropping the answer.

use std::net::SocketAddr;

use base::tasks::{self, Task};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Somebody with a token, or without.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
}

/// An answer that has come whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// An answer that is still coming; dropping it leaves.
pub(crate) struct Stream {
    pub(crate) status: u16,
    body: Incoming,
    rest: String,
    _connection: Task,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    pub(crate) fn with_token(&self, token: Option<&str>) -> Self {
        Self { address: self.address, token: token.map(str::to_owned) }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask(Method::POST, path, Bytes::from(body.to_string())).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Bytes) -> Reply {
        let (response, _connection) = self.send(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Reply { status, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Stream {
        let (response, connection) = self.send(Method::POST, path, Bytes::from(body.to_string())).await;
        Stream { status: response.status().as_u16(), body: response.into_body(), rest: String::new(), _connection: connection }
    }

    /// Asks the small model for a capital.
    pub(crate) async fn capital(&self, model: &str) -> Reply {
        self.post("/v1/chat/completions", &capital(model)).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> (Response<Incoming>, Task) {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let connection = tasks::spawn("test-client", async move { drop(connection.await) });
        let mut request = Request::builder().method(method).uri(path).header("host", "penstock").header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).expect("a request");
        (sender.send_request(request).await.expect("an answer"), connection)
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    /// What the assistant said.
    pub(crate) fn said(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }
}

impl Stream {
    /// The data of the next event; `None` at the end, or when the connection broke.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.find("\n\n") {
                let event: String = self.rest.drain(..end + 2).collect();
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if data.is_empty() {
                    continue;
                }
                return Some(data);
            }
            let frame = self.body.frame().await?.ok()?;
            self.rest.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)));
        }
    }
    /// All that still comes.
    pub(crate) async fn events(mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The question whose answer the small model has learned.
pub(crate) fn capital(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0, "max_tokens": 32})
}
