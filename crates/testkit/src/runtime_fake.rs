//! A runtime whose engines are tasks of the test: they listen on the ordered socket and answer
//! their probe.
//!
//! In: orders, and a [`Script`] of what engines do. Out: what a real runtime would show. Holds: a
//! task for each engine, which ends with it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::tasks::{self, Task};
use base::{ByteSize, Timestamp};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::{Error, LogStream, LogsFrom, Runtime};
use spec::{Device, DeviceKind, Endpoint, Exit, InstanceId, Node, Order, RuntimeKind, Seen, SeenState};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// What engines do from now on.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// How long they load before they are up.
    pub load: Duration,
    /// They end with this status, and these words, before they are up.
    pub refuse: Option<(i32, String)>,
}

/// A runtime for tests.
#[derive(Debug)]
pub struct FakeRuntime {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
    memory: ByteSize,
}

#[derive(Debug, Default)]
struct Inner {
    script: Script,
    engines: BTreeMap<InstanceId, (Seen, Option<Task>)>,
    launches: Vec<Order>,
}

impl FakeRuntime {
    /// With so much memory on its one machine.
    pub fn new(memory: ByteSize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), changes: watch::Sender::new(0), memory })
    }
    /// Engines that are launched from now on follow this script.
    pub fn script(&self, script: Script) {
        self.lock().script = script;
    }
    /// Every launch so far.
    pub fn launches(&self) -> Vec<Order> {
        self.lock().launches.clone()
    }
    /// Engines that live.
    pub fn alive(&self) -> usize {
        self.lock().engines.values().filter(|(seen, _)| seen.state == SeenState::Running).count()
    }
    /// An engine ends by itself.
    pub fn crash(&self, id: &InstanceId) {
        self.end(id, Some(1), false, vec!["error: told to crash".to_owned()]);
    }
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn end(&self, id: &InstanceId, code: Option<i32>, asked: bool, last_lines: Vec<String>) {
        if let Some((seen, task)) = self.lock().engines.get_mut(id) {
            task.take();
            seen.pid = None;
            seen.state = SeenState::Exited(Exit { code, signal: None, asked, spawn_error: None, last_lines, at: Timestamp::now() });
        }
        self.tick();
    }
    fn tick(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }
    async fn capacity(&self) -> Result<Vec<Node>, Error> {
        let device = Device { id: "ram".into(), kind: DeviceKind::Ram, total: self.memory, free: self.memory };
        Ok(vec![Node { name: "fake".into(), cores: 2, devices: vec![device] }])
    }
    async fn list(&self) -> Result<Vec<Seen>, Error> {
        Ok(self.lock().engines.values().map(|(seen, _)| seen.clone()).collect())
    }
    async fn launch(&self, order: &Order) -> Result<(), Error> {
        let mut inner = self.lock();
        inner.launches.push(order.clone());
        if inner.engines.contains_key(&order.instance) {
            return Ok(());
        }
        let script = inner.script.clone();
        let seen = Seen {
            order: order.clone(),
            state: SeenState::Running,
            pid: Some(1),
            started_at: Timestamp::now(),
            resident: None,
            log_lines: 0,
        };
        let task = if script.refuse.is_none() { serve(&order.endpoint, script.load) } else { None };
        inner.engines.insert(order.instance.clone(), (seen, task));
        drop(inner);
        match script.refuse {
            Some((code, words)) => self.end(&order.instance, Some(code), false, vec![words]),
            None => self.tick(),
        }
        Ok(())
    }
    async fn stop(&self, id: &InstanceId, _grace: Duration) -> Result<(), Error> {
        self.lock().engines.remove(id);
        self.tick();
        Ok(())
    }
    async fn logs(&self, id: &InstanceId, _from: LogsFrom) -> Result<LogStream, Error> {
        let text = Bytes::from(format!("log of {id}\n"));
        Ok(futures_util::stream::once(async move { Ok(text) }).boxed())
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Answers the probe on the ordered socket: 503 while it loads, then 200.
fn serve(endpoint: &Endpoint, load: Duration) -> Option<Task> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let listener = listen(path)?;
    let up_at = Instant::now() + load;
    Some(tasks::spawn("fake engine", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(move |_: Request<hyper::body::Incoming>| async move {
                let status = if Instant::now() >= up_at { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let mut reply = Response::new(Full::new(Bytes::from_static(b"{}")));
                *reply.status_mut() = status;
                Ok::<_, Infallible>(reply)
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tasks::spawn("fake engine connection", async move {
                let _ = connection.await; // a probe that leaves early is fine
            })
            .detach();
        }
    }))
}

fn listen(path: &Path) -> Option<UnixListener> {
    std::fs::create_dir_all(path.parent()?).ok()?;
    UnixListener::bind(path).ok()
}
