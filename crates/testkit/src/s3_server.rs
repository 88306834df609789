//! A real S3 server on a free port of this machine, over a folder: it checks signatures and conditions, and can be made to keep to the rules
//! less well. Its bucket is `models`, its key `key`, its secret `secret`. It can be asked in the words of Google's store as well, whose XML
//! API is S3's but for two things: who may enter (here everybody, as with Google's emulators), and how conditions are said (by generations).
//!
//! In: requests. Out: answers as S3 gives them. Fails: where the rules say so. Holds: the folder; a task for each connection.
//! From: Google's reference of the XML API (`x-goog-if-generation-match: 0` is `If-None-Match: *`; `x-goog-generation`).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::tasks::{self, Task};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// What S3 answers to a header that it does not know.
const NOT_KNOWN: u16 = 501;

/// How it takes conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// As S3 does.
    Good,
    /// It overwrites what is there.
    IgnoresConditions,
    /// It answers that it does not know them.
    RefusesConditions,
}

/// In whose words it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Amazon,
    Google,
}

/// The server; it ends, and its folder goes, when this is dropped.
#[derive(Debug)]
pub struct S3Server {
    root: Arc<TempDir>,
    address: SocketAddr,
    puts: Arc<AtomicUsize>,
    gets: Arc<AtomicUsize>,
    _door: Task,
}

impl S3Server {
    /// Opens on a free port.
    pub async fn open(manners: Manners) -> io::Result<Self> {
        Self::begin(Words::Amazon, manners).await
    }

    /// The same, asked in the words of Google's store; everybody may enter.
    pub async fn open_as_google(manners: Manners) -> io::Result<Self> {
        Self::begin(Words::Google, manners).await
    }

    async fn begin(words: Words, manners: Manners) -> io::Result<Self> {
        let root = Arc::new(tempfile::tempdir()?);
        std::fs::create_dir(root.path().join("models"))?;
        let files = s3s_fs::FileSystem::new(root.path()).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        if words == Words::Amazon {
            builder.set_auth(SimpleAuth::from_single("key", "secret"));
        }
        let service = builder.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (puts, gets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let clerk = Clerk { service, root: Arc::clone(&root), words, manners, puts: Arc::clone(&puts), gets: Arc::clone(&gets) };
        let door = tasks::spawn("s3", async move {
            while let Ok((line, _)) = listener.accept().await {
                let clerk = clerk.clone();
                tasks::spawn("s3-line", async move {
                    let service = service_fn(move |request| clerk.clone().answer(request));
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(line), service).await);
                })
                .detach();
            }
        });
        Ok(Self { root, address, puts, gets, _door: door })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// Where an object of the bucket `models` lies.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join("models").join(key)
    }
    /// Writes so far.
    pub fn puts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }
    /// Reads of objects so far.
    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Clerk {
    service: S3Service,
    root: Arc<TempDir>,
    words: Words,
    manners: Manners,
    puts: Arc<AtomicUsize>,
    gets: Arc<AtomicUsize>,
}

impl Clerk {
    async fn answer(self, request: Request<Incoming>) -> Result<s3s::HttpResponse, s3s::HttpError> {
        match self.words {
            Words::Amazon => self.answer_amazon(request).await,
            Words::Google => self.answer_amazon(amazons(request)).await.map(googles),
        }
    }

    async fn answer_amazon(self, request: Request<Incoming>) -> Result<s3s::HttpResponse, s3s::HttpError> {
        match *request.method() {
            Method::PUT => drop(self.puts.fetch_add(1, Ordering::Relaxed)),
            Method::GET if !request.uri().path().ends_with("models") => drop(self.gets.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        let is_conditional = request.headers().contains_key("if-none-match");
        match self.manners {
            Manners::RefusesConditions if is_conditional => Ok(refusal()),
            // The header is signed, so it must stay; what is there goes first, which comes to the same.
            Manners::IgnoresConditions if is_conditional => {
                let _ = std::fs::remove_file(self.root.path().join(request.uri().path().trim_start_matches('/').replace("%2F", "/")));
                self.service.call(request.map(s3s::Body::from)).await
            }
            _ => self.service.call(request.map(s3s::Body::from)).await,
        }
    }
}

/// What S3 says to a header that it does not know.
fn refusal() -> s3s::HttpResponse {
    let body =
        "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>";
    let mut response = s3s::HttpResponse::new(s3s::Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(NOT_KNOWN).unwrap_or_default();
    response
}

/// What was said in Google's words.
fn amazons(mut request: Request<Incoming>) -> Request<Incoming> {
    let headers = request.headers_mut();
    headers.remove("authorization");
    if headers.remove("x-goog-if-generation-match").is_some_and(|generation| generation == "0") {
        headers.insert("if-none-match", HeaderValue::from_static("*"));
    }
    request
}

/// A generation is a number that is another for each state of an object; its entity tag is as good a name.
fn googles(mut response: s3s::HttpResponse) -> s3s::HttpResponse {
    let tag =
        response.headers().get("etag").map(|tag| tag.as_bytes().iter().fold(7_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte)));
    if let Some(generation) = tag {
        response.headers_mut().insert("x-goog-generation", HeaderValue::from(generation >> 1));
    }
    response
}
