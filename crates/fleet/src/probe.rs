//! Asks an instance whether it is up, for as long as it lives.
//!
//! In: where it listens and what to ask. Out: a report to the owner whenever the answer changes.
//! Fails: an unreachable instance is an answer too. Holds: one task for each instance; it asks
//! often while the instance comes up, since every millisecond until "ready" is a caller's wait, and
//! seldom afterwards.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Secret, Timestamp};
use bytes::Bytes;
use engine::{Engine, Load, Probe};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use spec::{Endpoint, InstanceId};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::pulse::Beat;
use crate::turn::Event;
use crate::world::Health;

/// Whom to ask, and what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) id: InstanceId,
    pub(crate) engine: &'static dyn Engine,
    pub(crate) endpoint: Endpoint,
    pub(crate) key: Option<Secret>,
    pub(crate) probe: Probe,
    /// It is spoken to by HTTP/2 alone.
    pub(crate) http2: bool,
}

const RISING: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(100)];
const ASKS_EACH: usize = 40;
const UP: Duration = Duration::from_secs(5);
/// No engine says more than this to a probe.
const LONGEST_PAGE: usize = 1 << 20;
/// So many misses in a row count as down; one may be a busy moment.
const MISSES: u32 = 2;
const AFTER_MISS: Duration = Duration::from_millis(500);

/// One that is asked for as long as this is held.
#[derive(Debug)]
pub(crate) struct Watched {
    _task: Task,
    nudge: watch::Sender<u64>,
    beat: watch::Receiver<Beat>,
}

impl Watched {
    /// Starts to ask.
    pub(crate) fn new(target: Target, reports: mpsc::Sender<Event>) -> Self {
        let (nudge, nudged) = watch::channel(0);
        let (beats, beat) = watch::channel(Beat::default());
        Self { _task: ask_on(target, nudged, beats, reports), nudge, beat }
    }
    /// Asks at once, after a caller's complaint.
    pub(crate) fn nudge(&self) {
        self.nudge.send_modify(|n| *n = n.wrapping_add(1));
    }
    /// What its loop last said.
    pub(crate) fn beat(&self) -> Beat {
        *self.beat.borrow()
    }
}

fn ask_on(target: Target, mut nudge: watch::Receiver<u64>, beats: watch::Sender<Beat>, reports: mpsc::Sender<Event>) -> Task {
    tasks::spawn("probe", async move {
        let mut stethoscope = Stethoscope::new(beats);
        let mut last = Health::Unknown;
        let (mut asks, mut misses) = (0_usize, 0_u32);
        loop {
            let mut health = ask(&target).await;
            asks += 1;
            misses = if matches!(health, Health::Down(..)) { misses + 1 } else { 0 };
            let was_up = last == Health::Up;
            if was_up && misses > 0 && misses < MISSES {
                health = Health::Up;
            }
            if let (Health::Down(_, first), Health::Down(_, since)) = (&last, &mut health) {
                *since = *first; // down since then, whatever it says by now
            }
            if health != last {
                last = health.clone();
                if reports.send(Event::Probed(target.id.clone(), health)).await.is_err() {
                    return;
                }
            }
            let mut heard = true;
            if last == Health::Up && misses == 0 {
                heard = stethoscope.listen(&target).await;
            }
            let pause = match (&last, misses) {
                (Health::Up, 0) if heard => UP,
                (Health::Up, _) => AFTER_MISS,
                _ => RISING[(asks / ASKS_EACH).min(RISING.len() - 1)],
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = nudge.changed() => if changed.is_err() { return },
            }
        }
    })
}

/// Listens to the loop behind the answers.
struct Stethoscope {
    beats: watch::Sender<Beat>,
    last: Instant,
    load: Option<Load>,
}

impl Stethoscope {
    fn new(beats: watch::Sender<Beat>) -> Self {
        Self { beats, last: Instant::now(), load: None }
    }

    /// Whether there was a beat, or none is to be expected.
    async fn listen(&mut self, target: &Target) -> bool {
        let Some(path) = target.probe.pulse else { return true };
        let answer = tokio::time::timeout(target.probe.timeout, get(target, path)).await;
        let now = Instant::now();
        let load = match answer {
            Ok(Ok((StatusCode::OK, page))) => target.engine.load(&page),
            // A connection that is refused, or a page that an older engine does not have, says nothing of the loop.
            Ok(_) => return true,
            Err(_) => None,
        };
        let before = self.load.replace(load.or(self.load).unwrap_or_default());
        let beat = load.is_some_and(|load| load.running == 0 || before.is_none_or(|before| before.steps != load.steps));
        if beat {
            self.last = now;
        }
        self.beats.send_replace(Beat { silent: now.duration_since(self.last), load: self.load });
        beat
    }
}

/// One question.
async fn ask(target: &Target) -> Health {
    let answer = tokio::time::timeout(target.probe.timeout, get(target, target.probe.path)).await;
    let down = |what: String| Health::Down(what, Timestamp::now());
    match answer {
        Ok(Ok((status, _))) => judge(status, &target.probe),
        Ok(Err(error)) => down(format!("{} cannot be reached: {}", target.endpoint, base::chain(error.as_ref()))),
        Err(_) => down(format!("{} gave no answer within {} s", target.endpoint, target.probe.timeout.as_secs())),
    }
}

fn judge(status: StatusCode, probe: &Probe) -> Health {
    let down = |what: String| Health::Down(what, Timestamp::now());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !probe.key_may_be_refused => {
            down(format!("it refuses our key with status {status}"))
        }
        status if Some(status.as_u16()) == probe.loading => Health::Loading,
        status if status.is_server_error() => down(format!("it answers its probe with status {status}")),
        _ => Health::Up, // servers without the probe's path are up as well
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The status of the answer, and its text where it is one of our engines.
async fn get(target: &Target, path: &str) -> Result<(StatusCode, String), Cause> {
    match &target.endpoint {
        Endpoint::Unix(socket) => get_unix(socket, target, path).await,
        Endpoint::Url(base) => Ok((get_url(base, target, path).await?, String::new())),
    }
}

fn request(uri: &str, target: &Target) -> Result<Request<Empty<Bytes>>, Cause> {
    let mut request = Request::get(uri);
    if let Some(key) = &target.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
    }
    Ok(request.body(Empty::new())?)
}

async fn get_unix(socket: &Path, target: &Target, path: &str) -> Result<(StatusCode, String), Cause> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(stream).await?;
    let mut request = request(path, target)?;
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
    let exchange = async {
        let reply = sender.send_request(request).await?;
        let status = reply.status();
        let text = Limited::new(reply.into_body(), LONGEST_PAGE).collect().await?.to_bytes();
        Ok::<_, Cause>((status, String::from_utf8_lossy(&text).into_owned()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        status = &mut exchange => status,
        ended = &mut connection => { ended?; exchange.await }
    }
}

type Remote = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// One for all of each HTTP: reading the machine's certificates takes longer than a probe may. They keep no connection.
fn remote(http2: bool) -> Result<&'static Remote, Cause> {
    static REMOTES: [OnceLock<Remote>; 2] = [const { OnceLock::new() }; 2];
    let remote = &REMOTES[usize::from(http2)];
    if let Some(made) = remote.get() {
        return Ok(made);
    }
    let connector = HttpsConnectorBuilder::new().with_provider_and_native_roots(rustls::crypto::ring::default_provider())?;
    let connector = connector.https_or_http();
    let connector = if http2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
    Ok(remote.get_or_init(|| Client::builder(TokioExecutor::new()).http2_only(http2).pool_max_idle_per_host(0).build(connector)))
}

async fn get_url(base: &str, target: &Target, path: &str) -> Result<StatusCode, Cause> {
    let reply = remote(target.http2)?.request(request(&format!("{}{}", base.trim_end_matches('/'), path), target)?).await?;
    Ok(reply.status())
}
