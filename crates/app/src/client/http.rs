//! Asks the server.
//!
//! In: a path and perhaps a body. Out: JSON, or lines as they come. Fails: as [`Failure`]. Holds:
//! this thread, until the answer is there; a stream has no time limit, since a person can end it.

use std::fs::{File, TryLockError};
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody};

use super::credentials::Credentials;
use super::out::note;
use super::{Failure, Globals};

/// A server to ask.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: String,
    token: Option<String>,
    /// Where its admin token should stand, and does not.
    lost: Option<PathBuf>,
    agent: Agent,
}

/// What came of asking.
type Answered = Result<Response<Body>, ureq::Error>;

/// Where a server listens when nothing else is said.
const DEFAULT: &str = "http://127.0.0.1:8080";
/// In the data directory: where a server of this machine listens, and its admin token.
const ADDRESS: &str = "address";
const TOKEN: &str = "admin-token";
const CONNECT: Duration = Duration::from_secs(5);
/// Whoever is asked what there is says something within this time; a server that stands still does not.
const PATIENCE: Duration = Duration::from_mins(1);
/// A longer answer than this is not meant for a terminal.
const LONGEST: u64 = 64 << 20;

impl Server {
    /// The server that the words name, else the one of this machine. Its token is shown to nobody else.
    pub(crate) fn of(globals: &Globals) -> Result<Self, Failure> {
        let here = globals.data_dir.as_deref().and_then(address_of);
        let stored = globals.config_dir.as_deref().map(Credentials::read).transpose()?.unwrap_or_default();
        let mut server = Self::found(globals, here.as_ref(), &stored)?;
        if server.token.is_none() {
            server.token = stored.token(&server.url);
        }
        if server.token.is_none() && here.is_some_and(|here| here == server.url.replace("//localhost:", "//127.0.0.1:")) {
            server.token = globals.data_dir.as_deref().and_then(token_of);
            server.lost = globals.data_dir.as_ref().map(|dir| dir.join(TOKEN)).filter(|_| server.token.is_none());
        }
        Ok(server)
    }
    /// The same for who is not logged in there yet: no token that is found is shown.
    pub(crate) fn unknown(globals: &Globals) -> Result<Self, Failure> {
        let here = globals.data_dir.as_deref().and_then(address_of);
        let stored = globals.config_dir.as_deref().map(Credentials::read).transpose()?.unwrap_or_default();
        Ok(Self { token: None, ..Self::found(globals, here.as_ref(), &stored)? })
    }
    fn found(globals: &Globals, here: Option<&String>, stored: &Credentials) -> Result<Self, Failure> {
        if let (None, Some(fault)) = (&globals.server, &globals.fault) {
            let hint = "mend the config, or name the server with --server URL".to_owned();
            return Err(Failure::Misused { what: format!("where the server is cannot be told: {fault}"), hint });
        }
        if let (None, None, Some(dir)) = (&globals.server, here, &globals.data_dir)
            && File::open(dir.join(ADDRESS)).is_ok()
        {
            note(&format!("no server runs for {}: the one whose address stands there was killed", dir.display()));
        }
        let url = globals.server.as_ref().or(here).or(stored.latest.as_ref()).map_or(DEFAULT, String::as_str);
        Self::trusting(url, globals.token.clone(), globals.cacert.as_deref())
    }
    /// The same server, which is shown this token.
    pub(crate) fn showing(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }
    /// The server at this address.
    pub(crate) fn at(url: &str, token: Option<String>) -> Result<Self, Failure> {
        Self::trusting(url, token, None)
    }
    /// The same, whose certificate may also be of an authority in this file.
    fn trusting(url: &str, token: Option<String>, cacert: Option<&Path>) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(Failure::Misused {
                what: format!("`{url}` is not the URL of a server"),
                hint: "write http://HOST:PORT".to_owned(),
            });
        }
        // Fails only when a provider is set already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT));
        if url.starts_with("https://") {
            config = config.tls_config(super::trust::tls(cacert)?);
        }
        let agent = config.build().new_agent();
        Ok(Self { url, token, lost: None, agent })
    }
    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
    /// The same server over connections of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { agent: Agent::new_with_config(self.agent.config().clone()), ..self.clone() }
    }
    /// Ends what is being asked over these connections, in whichever thread; nothing more can be asked over them.
    pub(crate) fn hang_up(&self) {
        self.agent.clone().shutdown();
    }
    /// Whether somebody answers there; fails as nobody does.
    pub(crate) fn alive(&self) -> Result<(), Failure> {
        self.send(&Method::GET, "/healthz", None).map(drop)
    }
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(&Method::GET, path, None)
    }
    /// A text as it is; what is no UTF-8 in it becomes U+FFFD.
    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.send(&Method::GET, path, None)?.take(LONGEST).read_to_end(&mut bytes).map_err(|error| Failure::Broken(error.into()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(&Method::POST, path, Some(body))
    }
    /// Sends a form, as OAuth has it; what is refused comes back as it was said.
    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Result<Value, Value>, Failure> {
        let text = fields.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect::<Vec<_>>().join("&");
        let request = self.request(&Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(text.into_bytes()).map_err(|error| Failure::Broken(error.into()))?;
        let answer = self.agent.run(request).map_err(|error| Failure::NoServer { url: self.url.clone(), source: Box::new(error) })?;
        let is_good = answer.status().is_success();
        let text = answer.into_body().read_to_string().map_err(|error| Failure::Broken(error.into()))?;
        let said: Value = serde_json::from_str(&text).map_err(|error| Failure::Broken(error.into()))?;
        Ok(if is_good { Ok(said) } else { Err(said) })
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
    /// Hands over each line of an answer as it comes, until there are no more or `each` says so. An engine's log may hold any bytes: what is
    /// no UTF-8 becomes U+FFFD.
    pub(crate) fn lines(
        &self,
        path: &str,
        body: Option<&Value>,
        mut each: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut reader = BufReader::new(self.send(&method, path, body)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| Failure::Broken(error.into()))?;
            if read == 0 || !each(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']))? {
                return Ok(());
            }
        }
    }

    /// A step of an upload (tus 1.0.0); gives the offset that the server has.
    pub(crate) fn tus(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, String)],
        body: Option<&mut dyn Read>,
    ) -> Result<Option<u64>, Failure> {
        let mut request = self.request(method, path).header("tus-resumable", "1.0.0");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let sent = match body {
            Some(body) => request.body(SendBody::from_reader(body)).map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        let answer = self.judged(sent)?;
        Ok(answer.headers().get("upload-offset").and_then(|value| value.to_str().ok()?.parse().ok()))
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
        if matches!(&sent, Ok(Err(error)) if !matches!(error, ureq::Error::Timeout(_))) && *method == Method::GET {
            sent = self.ask(method, path, body);
        }
        Ok(self.judged(sent)?.into_body().into_reader())
    }

    /// A 2xx answer, with its warnings told.
    fn judged(&self, sent: Result<Answered, ureq::http::Error>) -> Result<Response<Body>, Failure> {
        let sent = sent.map_err(|error| Failure::Misused { what: format!("{error}"), hint: "check the URL and the token".to_owned() })?;
        let answer = sent.map_err(|error| Failure::NoServer { url: self.url.clone(), source: Box::new(error) })?;
        let status = answer.status();
        if status.is_success() {
            let warning = answer.headers().get("warning").and_then(|value| value.to_str().ok()?.strip_prefix("299 - ")).unwrap_or_default();
            if !warning.is_empty() {
                note(&format!("warning: {}", warning.trim_matches('"').replace("\\\"", "\"")));
            }
            return Ok(answer);
        }
        if let (401, Some(path)) = (status.as_u16(), &self.lost) {
            note(&format!("there is no token in {}: start penstock once with PENSTOCK_ADMIN_TOKEN set to a new one", path.display()));
        }
        let text = answer.into_body().read_to_string().unwrap_or_default();
        let refused = Failure::refused(status.as_u16(), &text);
        Err(if text.is_empty() { refused } else { refused.by(&self.url) }) // a HEAD is refused without words
    }

    fn request(&self, method: &Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answered, ureq::http::Error> {
        let request = self.request(method, path);
        match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string().into_bytes())?;
                Ok(self.agent.run(request))
            }
            None if *method == Method::GET => {
                let request = self.agent.configure_request(request.body(())?);
                Ok(self.agent.run(request.timeout_recv_response(Some(PATIENCE)).build()))
            }
            None => Ok(self.agent.run(request.body(())?)),
        }
    }
}

/// The URL of a server on this machine that runs on this data directory.
pub(crate) fn address_of(data_dir: &Path) -> Option<String> {
    let mut file = File::open(data_dir.join(ADDRESS)).ok()?;
    // Its server holds it until it ends, however it ends.
    let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (scheme, address) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
    Some(format!("{scheme}://{}", address.parse::<SocketAddr>().ok()?))
}

/// The admin token of a server on this machine, if this user may read it.
pub(crate) fn token_of(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(TOKEN)).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
