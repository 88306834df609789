//! A runtime whose engines are tasks of the test: they listen on the ordered socket and answer
//! their probe.
//!
//! In: orders, a [`Script`] of what engines do, and faults. Out: what a real runtime would show: an
//! engine that is told to end is seen until it has ended, and then as ended until it is stopped
//! once more. Fails: when it is told to. Holds: a task for each engine, which ends with it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
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
    /// How long the runtime takes to start them.
    pub start: Duration,
    /// How long they load before they are up.
    pub load: Duration,
    /// They end with this status, and these words, before they are up.
    pub refuse: Option<(i32, String)>,
    /// How long they take to end when they are told to.
    pub end: Duration,
}

/// A runtime for tests.
#[derive(Debug)]
pub struct FakeRuntime {
    shared: Arc<Shared>,
    memory: ByteSize,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    script: Script,
    engines: BTreeMap<InstanceId, Engine>,
    launches: Vec<Order>,
    starting: usize,
    stops: usize,
    failing_stops: usize,
    unreadable: bool,
}

#[derive(Debug)]
struct Engine {
    seen: Seen,
    end: Duration,
    task: Option<Task>,
}

impl FakeRuntime {
    /// With so much memory on its one machine.
    pub fn new(memory: ByteSize) -> Arc<Self> {
        let shared = Shared { inner: Mutex::default(), changes: watch::Sender::new(0) };
        Arc::new(Self { shared: Arc::new(shared), memory })
    }
    /// Engines that are launched from now on follow this script.
    pub fn script(&self, script: Script) {
        self.shared.lock().script = script;
    }
    /// Every launch so far.
    pub fn launches(&self) -> Vec<Order> {
        self.shared.lock().launches.clone()
    }
    /// Launches under way.
    pub fn starting(&self) -> usize {
        self.shared.lock().starting
    }
    /// Stops asked for so far.
    pub fn stops(&self) -> usize {
        self.shared.lock().stops
    }
    /// Engines that live.
    pub fn alive(&self) -> usize {
        self.shared.lock().engines.values().filter(|engine| engine.lives()).count()
    }
    /// Engines that live, or have ended and were not stopped since.
    pub fn known(&self) -> usize {
        self.shared.lock().engines.len()
    }
    /// An engine ends by itself.
    pub fn crash(&self, id: &InstanceId) {
        self.shared.end(id, Some(1), false, vec!["error: told to crash".to_owned()]);
    }
    /// As if there were no more of an engine than its order: whoever was to carry it out died before.
    pub fn never_began(&self, id: &InstanceId) {
        self.shared.end(id, None, false, Vec::new());
        if let Some(SeenState::Exited(exit)) = self.shared.lock().engines.get_mut(id).map(|engine| &mut engine.seen.state) {
            exit.spawn_error = Some("told that it never began".to_owned());
        }
    }
    /// Ends an engine along with its keeper.
    pub fn lose(&self, id: &InstanceId) {
        const SIGKILL: i32 = 9;
        self.shared.end(id, None, false, vec!["told that its keeper was killed".to_owned()]);
        if let Some(SeenState::Exited(exit)) = self.shared.lock().engines.get_mut(id).map(|engine| &mut engine.seen.state) {
            (exit.signal, exit.lost) = (Some(SIGKILL), true);
        }
    }
    /// So many stops from now on fail.
    pub fn fail_stops(&self, count: usize) {
        self.shared.lock().failing_stops = count;
    }
    /// Whether what runs can be listed.
    pub fn unreadable(&self, yes: bool) {
        self.shared.lock().unreadable = yes;
    }
}

impl Engine {
    fn lives(&self) -> bool {
        !matches!(self.seen.state, SeenState::Exited(_))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn end(&self, id: &InstanceId, code: Option<i32>, asked: bool, last_lines: Vec<String>) {
        if let Some(engine) = self.lock().engines.get_mut(id) {
            engine.task.take();
            engine.seen.pid = None;
            engine.seen.resident = None;
            let (signal, spawn_error, at, lost) = (None, None, Timestamp::now(), false);
            engine.seen.state = SeenState::Exited(Exit { code, signal, asked, spawn_error, last_lines, at, lost });
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
        let taken: ByteSize = self.shared.lock().engines.values().filter_map(|engine| engine.seen.resident).sum();
        let device = Device::new("ram", DeviceKind::Ram, self.memory, self.memory.saturating_sub(taken));
        Ok(vec![Node { name: "fake".into(), cores: 2, devices: vec![device] }])
    }
    async fn list(&self) -> Result<Vec<Seen>, Error> {
        let inner = self.shared.lock();
        if inner.unreadable {
            return Err(fault("list"));
        }
        Ok(inner.engines.values().map(|engine| engine.seen.clone()).collect())
    }
    async fn launch(&self, order: &Order) -> Result<(), Error> {
        let script = {
            let mut inner = self.shared.lock();
            inner.launches.push(order.clone());
            inner.starting += 1;
            inner.script.clone()
        };
        if script.start > Duration::ZERO {
            tokio::time::sleep(script.start).await;
        }
        let is_new = {
            let mut inner = self.shared.lock();
            inner.starting -= 1;
            enter(&mut inner, order, &script)?
        };
        if !is_new {
            return Ok(());
        }
        match script.refuse {
            Some((code, words)) => self.shared.end(&order.instance, Some(code), false, vec![words]),
            None => self.shared.tick(),
        }
        Ok(())
    }
    async fn stop(&self, id: &InstanceId, _grace: Duration) -> Result<(), Error> {
        let wait = {
            let mut inner = self.shared.lock();
            inner.stops += 1;
            if inner.failing_stops > 0 {
                inner.failing_stops -= 1;
                return Err(fault("stop"));
            }
            match inner.engines.get_mut(id) {
                Some(engine) if engine.seen.state == SeenState::Running => {
                    engine.seen.state = SeenState::Stopping;
                    Some(engine.end)
                }
                Some(engine) if engine.lives() => None,
                _ => {
                    inner.engines.remove(id);
                    None
                }
            }
        };
        self.shared.tick();
        match wait {
            Some(Duration::ZERO) => self.shared.end(id, Some(0), true, Vec::new()),
            Some(wait) => {
                let (shared, id) = (Arc::clone(&self.shared), id.clone());
                tasks::spawn("fake engine ends", async move {
                    tokio::time::sleep(wait).await;
                    shared.end(&id, Some(0), true, Vec::new());
                })
                .detach();
            }
            None => {}
        }
        Ok(())
    }
    async fn logs(&self, id: &InstanceId, _from: LogsFrom) -> Result<LogStream, Error> {
        if !self.shared.lock().engines.contains_key(id) {
            return Err(Error::NotFound(id.clone()));
        }
        let text = Bytes::from(format!("log of {id}\n"));
        Ok(futures_util::stream::once(async move { Ok(text) }).boxed())
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// True when it is new here.
fn enter(inner: &mut Inner, order: &Order, script: &Script) -> Result<bool, Error> {
    if let Some(engine) = inner.engines.get_mut(&order.instance) {
        let actual = engine.seen.order.fence;
        if order.fence < actual {
            return Err(Error::Fenced { id: order.instance.clone(), given: order.fence, actual });
        }
        engine.seen.order.fence = order.fence;
        return Ok(false);
    }
    let seen = Seen {
        order: order.clone(),
        state: SeenState::Running,
        pid: Some(1),
        started_at: Timestamp::now(),
        resident: Some(order.memory),
        cpu: None,
        log_lines: 0,
    };
    let task = if script.refuse.is_none() { serve(&order.endpoint, script.load) } else { None };
    inner.engines.insert(order.instance.clone(), Engine { seen, end: script.end, task });
    Ok(true)
}

fn fault(what: &'static str) -> Error {
    Error::Io { what, path: "a fake".into(), source: io::Error::other("told to fail") }
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

#[cfg(test)]
mod tests;
