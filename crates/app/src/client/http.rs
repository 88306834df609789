//! Asks the server.
//!
//! In: a path and perhaps a body. Out: JSON, or lines as they come. Fails: as [`Failure`]. Holds:
//! this thread, until the answer is there; a stream has no time limit, since a person can end it.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::{Failure, Globals};

/// A server to ask.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: String,
    token: Option<String>,
    agent: Agent,
}

/// What came of asking.
type Answered = Result<Response<Body>, ureq::Error>;

/// Where a server listens when nothing else is said.
const DEFAULT: &str = "http://127.0.0.1:8080";
const CONNECT: Duration = Duration::from_secs(5);
/// A longer answer than this is not meant for a terminal.
const LONGEST: u64 = 64 << 20;

impl Server {
    /// The server that the words name, else the one of this machine. Its token is shown to nobody else.
    pub(crate) fn of(globals: &Globals) -> Result<Self, Failure> {
        let here = globals.data_dir.as_deref().and_then(address_of);
        let url = globals.server.clone().or_else(|| here.clone()).unwrap_or_else(|| DEFAULT.to_owned());
        let mut server = Self::at(&url, globals.token.clone())?;
        if server.token.is_none() && here.is_some_and(|here| here == server.url.replace("//localhost:", "//127.0.0.1:")) {
            server.token = globals.data_dir.as_deref().and_then(token_of);
        }
        Ok(server)
    }
    /// The server at this address.
    pub(crate) fn at(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(Failure::Misused {
                what: format!("`{url}` is not the URL of a server"),
                hint: "write http://HOST:PORT".to_owned(),
            });
        }
        // Fails only when a provider is set already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT)).build().new_agent();
        Ok(Self { url, token, agent })
    }
    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
    /// Whether somebody answers there; fails as nobody does.
    pub(crate) fn alive(&self) -> Result<(), Failure> {
        self.send(&Method::GET, "/healthz", None).map(drop)
    }
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(&Method::GET, path, None)
    }
    /// A text as it is.
    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        let mut text = String::new();
        self.send(&Method::GET, path, None)?.take(LONGEST).read_to_string(&mut text).map_err(|error| Failure::Broken(error.into()))?;
        Ok(text)
    }
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(&Method::POST, path, Some(body))
    }
    /// Changes what `body` names and leaves the rest (RFC 7396).
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(&Method::PATCH, path, Some(body))
    }
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(&Method::PUT, path, Some(body))
    }
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.json(&Method::DELETE, path, None)
    }
    /// Hands over each line of an answer as it comes, until there are no more or `each` says so.
    pub(crate) fn lines(
        &self,
        path: &str,
        body: Option<&Value>,
        mut each: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut reader = BufReader::new(self.send(&method, path, body)?);
        let mut line = String::new();
        loop {
            line.clear();
            let read = reader.read_line(&mut line).map_err(|error| Failure::Broken(error.into()))?;
            if read == 0 || !each(line.trim_end_matches(['\r', '\n']))? {
                return Ok(());
            }
        }
    }

    fn json(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut text = String::new();
        self.send(method, path, body)?.take(LONGEST).read_to_string(&mut text).map_err(|error| Failure::Broken(error.into()))?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| Failure::Broken(error.into()))
    }

    /// The body of a 2xx answer.
    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<impl Read + use<>, Failure> {
        let mut sent = self.ask(method, path, body);
        // A server may hang up on a kept connection just as it is used again; a GET can be asked twice.
        if matches!(sent, Ok(Err(_))) && *method == Method::GET {
            sent = self.ask(method, path, body);
        }
        let sent = sent.map_err(|error| Failure::Misused { what: format!("{error}"), hint: "check the URL and the token".to_owned() })?;
        let answer = sent.map_err(|error| Failure::NoServer { url: self.url.clone(), source: Box::new(error) })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body().into_reader());
        }
        let text = answer.into_body().read_to_string().unwrap_or_default();
        Err(Failure::refused(status.as_u16(), &text))
    }

    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answered, ureq::http::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string().into_bytes())?;
                Ok(self.agent.run(request))
            }
            None => Ok(self.agent.run(request.body(())?)),
        }
    }
}

/// The URL of a server on this machine that runs on this data directory.
pub(crate) fn address_of(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("address")).ok()?;
    Some(format!("http://{}", text.trim().parse::<SocketAddr>().ok()?))
}

/// The admin token of a server on this machine, if this user may read it.
pub(crate) fn token_of(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("admin-token")).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
