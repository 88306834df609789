//! An engine that does what it is told, byte by byte: the network's faults in a test's hands.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::tasks::{self, Task};
use spec::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

/// What the engine does with one request, in order.
#[derive(Clone)]
pub(crate) enum Step {
    /// Bytes as they are: heads, garbage.
    Raw(Vec<u8>),
    /// One chunk of a chunked body.
    Chunk(Vec<u8>),
    /// The end of a chunked body; the connection stays.
    End,
    /// Waits until the test gives a permit.
    Wait(Arc<Semaphore>),
    /// Waits until the other side hangs up.
    AwaitClose,
    /// Hangs up.
    Hang,
}

/// A request as the engine saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

type Play = Arc<dyn Fn(usize, &Seen) -> Vec<Step> + Send + Sync>;

struct Stage {
    play: Play,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    closed: watch::Sender<usize>,
}

/// The engine; it ends when dropped.
pub(crate) struct Fake {
    pub(crate) endpoint: Endpoint,
    stage: Arc<Stage>,
    _door: Task,
}

impl Fake {
    /// On a Unix socket in this folder.
    pub(crate) fn unix(dir: &Path, name: &str, play: impl Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let path = dir.join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let stage = Stage::new(play);
        let on_stage = Arc::clone(&stage);
        let door = tasks::spawn("fake", async move {
            let mut guests = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                guests.push(tasks::spawn("fake-connection", serve(Arc::clone(&on_stage), stream)));
            }
        });
        Self { endpoint: Endpoint::Unix(path), stage, _door: door }
    }

    /// On a free port of loopback.
    pub(crate) async fn tcp(play: impl Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Url(format!("http://{}/v1", listener.local_addr().unwrap()));
        let stage = Stage::new(play);
        let on_stage = Arc::clone(&stage);
        let door = tasks::spawn("fake", async move {
            let mut guests = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                guests.push(tasks::spawn("fake-connection", serve(Arc::clone(&on_stage), stream)));
            }
        });
        Self { endpoint, stage, _door: door }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.stage.seen.lock().unwrap().clone()
    }
    pub(crate) fn connections(&self) -> usize {
        self.stage.connections.load(Ordering::SeqCst)
    }
    pub(crate) fn most_running(&self) -> usize {
        self.stage.most_running.load(Ordering::SeqCst)
    }
    /// Waits until it has nothing to do.
    pub(crate) async fn rest(&self) {
        super::until(|| self.stage.running.load(Ordering::SeqCst) == 0).await;
    }
    /// Waits until so many clients have hung up on it.
    pub(crate) async fn closed(&self, count: usize) {
        let mut closed = self.stage.closed.subscribe();
        super::soon(closed.wait_for(|closed| *closed >= count)).await.unwrap();
    }
}

impl Stage {
    fn new(play: impl Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            play: Arc::new(play),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            closed: watch::Sender::new(0),
        })
    }
}

async fn serve(stage: Arc<Stage>, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stage.connections.fetch_add(1, Ordering::SeqCst);
    while let Some(seen) = request(&mut stream).await {
        let number = {
            let mut all = stage.seen.lock().unwrap();
            all.push(seen.clone());
            all.len()
        };
        let now = stage.running.fetch_add(1, Ordering::SeqCst) + 1;
        stage.most_running.fetch_max(now, Ordering::SeqCst);
        let goes_on = act(&stage, &mut stream, (stage.play)(number, &seen)).await;
        stage.running.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            return;
        }
    }
}

async fn act(stage: &Stage, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), steps: Vec<Step>) -> bool {
    for step in steps {
        let written = match step {
            Step::Raw(bytes) => stream.write_all(&bytes).await,
            Step::Chunk(bytes) => {
                let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
                framed.extend_from_slice(&bytes);
                framed.extend_from_slice(b"\r\n");
                stream.write_all(&framed).await
            }
            Step::End => stream.write_all(b"0\r\n\r\n").await,
            Step::Wait(gate) => {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
            Step::AwaitClose => {
                let mut rest = [0_u8; 64];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                stage.closed.send_modify(|closed| *closed += 1);
                return false;
            }
            Step::Hang => return false,
        };
        // Lets the other side see each piece by itself.
        tokio::task::yield_now().await;
        if written.is_err() {
            return false;
        }
    }
    true
}

/// Reads one request with a `content-length`.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut seen = Seen { head: String::from_utf8(bytes[..end].to_vec()).unwrap(), body: String::new() };
    let length: usize = seen.header("content-length").unwrap_or("0").parse().unwrap();
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(bytes[end..end + length].to_vec()).unwrap();
    Some(seen)
}

/// The head of a stream.
pub(crate) fn sse_head() -> Step {
    Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())
}

/// A whole answer.
pub(crate) fn whole(status: &str, body: &str) -> Vec<Step> {
    vec![Step::Raw(
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
    )]
}

/// A stream, each event a chunk, with its end.
pub(crate) fn events(events: &[&str]) -> Vec<Step> {
    let mut steps = vec![sse_head()];
    steps.extend(events.iter().map(|event| Step::Chunk(format!("data: {event}\n\n").into_bytes())));
    steps.push(Step::End);
    steps
}

pub(crate) const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#;
pub(crate) const HI: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"content":"Hi \ud83d\ude00 über"},"finish_reason":null}],"vendor":12345678901234567890}"#;
pub(crate) const STOP: &str =
    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub(crate) const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10},"timings":{"predicted_ms":1.5}}"#;
pub(crate) const DONE: &str = "[DONE]";

/// An answer as llama-server streams it.
pub(crate) fn answer() -> Vec<Step> {
    events(&[ROLE, HI, STOP, USAGE, DONE])
}
