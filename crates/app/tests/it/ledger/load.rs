//! Callers who go on asking whatever happens to the house, and know what they were answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::tasks::{self, Task};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Between two asks of one caller: enough for a load, and not for more than a small machine can do.
const BREATH: Duration = Duration::from_millis(2);

/// An answer that came whole.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) id: String,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) at: Instant,
}

/// What all callers share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    token: String,
    model: &'static str,
    over: AtomicBool,
    broken: AtomicU64,
    answered: Mutex<Vec<Answered>>,
}

/// Callers at work; they end when this is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<Task>,
}

impl Load {
    /// So many callers, whose request ids begin so.
    pub(crate) fn start(address: SocketAddr, token: &str, model: &'static str, prefix: &str, callers: usize) -> Self {
        let (over, broken, answered) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { address, token: token.to_owned(), model, over, broken, answered });
        let callers = (0..callers).map(|number| tasks::spawn("caller", call(Arc::clone(&shared), format!("{prefix}-{number}")))).collect();
        Self { shared, callers }
    }

    /// Answers so far; they are forgotten by this.
    pub(crate) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut self.shared.answered.lock().expect("no caller panicked"))
    }

    /// Asks that broke off.
    pub(crate) fn broken(&self) -> u64 {
        self.shared.broken.load(Relaxed)
    }

    /// Each caller ends with the answer that it waits for; gives the answers that nobody has taken.
    pub(crate) async fn end(mut self) -> Vec<Answered> {
        self.shared.over.store(true, Relaxed);
        for caller in self.callers.drain(..) {
            caller.join().await;
        }
        self.take()
    }
}

async fn call(shared: Arc<Shared>, prefix: String) {
    let mut number = 0;
    while !shared.over.load(Relaxed) {
        // A connection that breaks, or that nobody takes, is followed by the next.
        if line(&shared, &prefix, &mut number).await.is_err() && !shared.over.load(Relaxed) {
            shared.broken.fetch_add(1, Relaxed);
            tokio::time::sleep(BREATH).await;
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn line(shared: &Shared, prefix: &str, number: &mut u64) -> Result<(), Broken> {
    let stream = TcpStream::connect(shared.address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let _connection = tasks::spawn("caller-connection", async move { drop(connection.await) });
    let body = Bytes::from(format!(r#"{{"model":"{}","messages":[{{"role":"user","content":"hi"}}]}}"#, shared.model));
    while !shared.over.load(Relaxed) {
        *number += 1;
        let id = format!("{prefix}-{number}");
        let request = Request::post("/v1/chat/completions")
            .header("host", "penstock")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", shared.token))
            .header("x-request-id", &id)
            .body(Full::new(body.clone()))?;
        let begun = Instant::now();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        let answered = Answered { id, status, took: begun.elapsed(), at: Instant::now() };
        shared.answered.lock().expect("no caller panicked").push(answered);
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}
