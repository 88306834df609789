//! Asks over HTTP, a connection for each ask, so that leaving is as simple as dropping the answer.

use std::net::{IpAddr, SocketAddr};

use base::tasks::{self, Task};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http2;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

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
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// An answer that is still coming; dropping it leaves.
pub(crate) struct Stream {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    rest: String,
    _connection: Task,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
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
        self.ask_with(method, path, &[], body).await
    }

    /// With more headers; one with the name of ours comes in its place.
    pub(crate) async fn ask_with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        let (response, _connection) = self.send(self.request(method, path, headers, body.into())).await;
        Reply::of(response).await
    }

    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Stream {
        self.stream_with(path, &[], body.to_string()).await
    }

    pub(crate) async fn stream_with(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Stream {
        let (response, connection) = self.send(self.request(Method::POST, path, headers, body.into())).await;
        let (head, body) = response.into_parts();
        Stream { status: head.status.as_u16(), headers: head.headers, body, rest: String::new(), _connection: connection }
    }

    /// A connection for many asks, one after the other.
    pub(crate) async fn line(&self) -> Line {
        let (sender, connection) = self.connect().await;
        Line { client: self.clone(), sender, _connection: connection }
    }

    /// The same, from this address of ours.
    pub(crate) async fn line_from(&self, from: IpAddr) -> Line {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(from, 0)).expect("an address of ours");
        let stream = socket.connect(self.address).await.expect("a connection");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        Line { client: self.clone(), sender, _connection: tasks::spawn("test-client", async move { drop(connection.await) }) }
    }

    /// A connection of HTTP/2, spoken from the first byte without TLS, for many asks at once.
    pub(crate) async fn h2c(&self) -> SharedLine {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
        SharedLine { client: self.clone(), sender, _connection: tasks::spawn("test-client", async move { drop(connection.await) }) }
    }

    /// The status of a GET over HTTP/2, with more headers.
    pub(crate) async fn h2c_with(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut line = self.h2c().await;
        let mut request = self.request(Method::GET, path, headers, Bytes::new());
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().expect("an address");
        request.headers_mut().remove("host");
        line.sender.send_request(request).await.expect("an answer").status().as_u16()
    }

    /// Asks the small model for a capital.
    pub(crate) async fn capital(&self, model: &str) -> Reply {
        self.post("/v1/chat/completions", &capital(model)).await
    }

    async fn connect(&self) -> (SendRequest<Full<Bytes>>, Task) {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        (sender, tasks::spawn("test-client", async move { drop(connection.await) }))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (Response<Incoming>, Task) {
        let (mut sender, connection) = self.connect().await;
        (sender.send_request(request).await.expect("an answer"), connection)
    }

    fn request(&self, method: Method, path: &str, more: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body)).expect("a request");
        let headers = request.headers_mut();
        headers.insert("host", self.address.to_string().parse().expect("a value"));
        headers.insert("content-type", "application/json".parse().expect("a value"));
        if let Some(token) = &self.token {
            headers.insert("authorization", format!("Bearer {token}").parse().expect("a value"));
        }
        for (name, value) in more {
            let name: hyper::header::HeaderName = name.parse().expect("a name");
            match *value {
                "" => drop(headers.remove(name)),
                value => drop(headers.insert(name, value.parse().expect("a value"))),
            }
        }
        request
    }
}

/// A connection that is kept.
pub(crate) struct Line {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
    _connection: Task,
}

impl Line {
    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Reply {
        let request = self.client.request(Method::POST, path, &[], body.into());
        self.sender.ready().await.expect("a living connection");
        Reply::of(self.sender.send_request(request).await.expect("an answer")).await
    }
}

/// A connection that many asks share.
pub(crate) struct SharedLine {
    client: Client,
    sender: http2::SendRequest<Full<Bytes>>,
    _connection: Task,
}

impl SharedLine {
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        Reply::of(self.send(path, body).await).await
    }

    pub(crate) async fn stream(&self, path: &str, body: impl Into<Bytes>) -> Stream {
        let (head, body) = self.send(path, body).await.into_parts();
        let connection = tasks::spawn("nothing", async {}); // the connection is held by us
        Stream { status: head.status.as_u16(), headers: head.headers, body, rest: String::new(), _connection: connection }
    }

    async fn send(&self, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let mut request = self.client.request(Method::POST, path, &[], body.into());
        let whole = format!("http://{}{path}", self.client.address);
        *request.uri_mut() = whole.parse().expect("an address");
        request.headers_mut().remove("host"); // HTTP/2 has it in the address
        self.sender.clone().send_request(request).await.expect("an answer")
    }
}

impl Reply {
    async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole answer").to_bytes();
        Self { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// A header's value; nothing where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

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
    /// The next bytes as they come; `None` at the end, or when the connection broke.
    pub(crate) async fn piece(&mut self) -> Option<String> {
        let frame = self.body.frame().await?.ok()?;
        Some(String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)).into_owned())
    }
    /// All bytes that still come.
    pub(crate) async fn text(mut self) -> String {
        let mut text = std::mem::take(&mut self.rest);
        while let Some(piece) = self.piece().await {
            text.push_str(&piece);
        }
        text
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
