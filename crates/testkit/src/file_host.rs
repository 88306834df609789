//! A machine that gives files out over HTTP, and tells what it gave.
//!
//! In: files by their paths, each with its faults. Out: answers as a good server gives them: ranges, entity tags, `If-Range`,
//! redirects, tokens. Fails: where a fault says so. Holds: the files; a task for each connection. [`FileHost::add_hub`] and [`FileHost::add_ollama`]
//! lay the files out as a hub and as an Ollama-style registry do.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use serve::Body;

mod lay;
mod serve;

/// A file, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct HostedFile {
    /// What is in it.
    pub bytes: Bytes,
    /// Its entity tag, with quotes; nothing for none.
    pub etag: Option<String>,
    /// More headers of each answer.
    pub headers: Vec<(String, String)>,
    /// Where it really is: each answer sends there.
    pub redirect: Option<String>,
    /// Only who brings this token gets it.
    pub token: Option<String>,
    /// Ranges are not known.
    pub no_ranges: bool,
    /// Its length is not said.
    pub no_length: bool,
    /// A HEAD is not answered.
    pub no_head: bool,
    /// The next answers break off after so many bytes each.
    pub cuts: Vec<u64>,
    /// The next answers have these statuses and no body.
    pub statuses: Vec<u16>,
    /// The next answer comes to a halt after so many bytes.
    pub stall: Option<u64>,
    /// The next ranges begin so many bytes before what was asked for.
    pub shifts: Vec<usize>,
    /// Bytes for each second; a change holds for answers under way too.
    pub rate: Option<u64>,
}

impl HostedFile {
    /// A good file.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let etag = Some(format!("\"{:x}-{}\"", checksum(&bytes), bytes.len()));
        Self { bytes, etag, ..Self::default() }
    }
}

/// One question that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `HEAD`.
    pub method: String,
    /// With its query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The token that was shown.
    pub token: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, HostedFile>,
    asked: Vec<Asked>,
    sent: HashMap<String, u64>,
}

/// The machine; it ends when this is dropped.
#[derive(Debug)]
pub struct FileHost {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _door: Task,
}

impl FileHost {
    /// Opens on a free port of this machine.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let door = tasks::spawn("file-host", async move {
            let mut lines = Vec::new();
            while let Ok((line, _)) = listener.accept().await {
                lines.retain(|task: &Task| !task.is_finished());
                lines.push(tasks::spawn("file-host-line", connection(Arc::clone(&shared), TokioIo::new(line))));
            }
        });
        Ok(Self { address, state, _door: door })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
    /// Puts a file to a path that begins with `/`; one that is there is replaced.
    pub fn put(&self, path: &str, file: HostedFile) {
        self.lock().files.insert(path.to_owned(), file);
    }
    /// Changes a file that is there.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut HostedFile)) {
        if let Some(file) = self.lock().files.get_mut(path) {
            change(file);
        }
    }
    /// Everything that was asked, in its order; it is forgotten.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }
    /// Bytes of bodies that were given out for a path.
    pub fn sent(&self, path: &str) -> u64 {
        self.lock().sent.get(path).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chunks of a body are counted as they leave.
type Count = Arc<dyn Fn(u64) + Send + Sync>;
/// How fast a file is given out at this moment.
type Rate = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

async fn connection(state: Arc<Mutex<State>>, line: TokioIo<tokio::net::TcpStream>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<Response<Body>, Infallible>(answer(&state, &request)) }
    });
    // A client that leaves early, and a body that is to break off, are no news.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(line, service).await);
}

fn answer(state: &Arc<Mutex<State>>, request: &Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    let path = request.uri().path().to_owned();
    let whole = request.uri().path_and_query().map_or_else(|| path.clone(), ToString::to_string);
    let asked = Asked { method: request.method().to_string(), path: whole.clone(), range: header("range"), token: token.clone() };
    let mut held = lock(state);
    held.asked.push(asked.clone());
    let key = if held.files.contains_key(&whole) { whole } else { path };
    let Some(file) = held.files.get_mut(&key) else { return serve::empty(404) };
    if file.token.is_some() && file.token != token {
        return serve::empty(401);
    }
    if !file.statuses.is_empty() {
        return serve::empty(file.statuses.remove(0));
    }
    let cut = if asked.method == "GET" && !file.cuts.is_empty() { Some(file.cuts.remove(0)) } else { None };
    let shift = if asked.range.is_some() && !file.shifts.is_empty() { file.shifts.remove(0) } else { 0 };
    let stall = if asked.method == "GET" { file.stall.take() } else { None };
    let file = file.clone();
    drop(held);
    let (shared, of) = (Arc::clone(state), key.clone());
    let rate: Rate = Arc::new(move || lock(&shared).files.get(&of)?.rate);
    let shared = Arc::clone(state);
    let count: Count = Arc::new(move |bytes| *lock(&shared).sent.entry(key.clone()).or_default() += bytes);
    serve::file(&file, &asked, header("if-range").as_deref(), serve::Way { cut, stall, shift, count, rate })
}

/// Of a kind that only says whether two are the same.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Long enough that whoever waits gives up first.
const FOR_EVER: Duration = Duration::from_hours(1);
