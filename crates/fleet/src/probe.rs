//! Asks an instance whether it is up, for as long as it lives.
//!
//! In: where it listens and what to ask. Out: a report to the owner whenever the answer changes.
//! Fails: an unreachable instance is an answer too. Holds: one task for each instance; it asks
//! often while the instance comes up, since every millisecond until "ready" is a caller's wait, and
//! seldom afterwards.

use std::path::Path;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Backoff, Secret, Timestamp};
use bytes::Bytes;
use engine::{Engine, Load, Probe};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, header};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::Dialer;
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
    /// It was started so that it sleeps when nobody calls.
    pub(crate) sleeps: bool,
    /// Somebody goes by how full its cache is.
    pub(crate) fills: bool,
    /// Whom its URL may lead to.
    pub(crate) outbound: net::Guard,
}

/// That one is ready is to be known within a tenth of a second, however long its load took.
const RISING: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(40)];
const ASKS_EACH: usize = 40;
/// Of one behind a URL, which is others' as well and was not started for a caller: also as long as it says that it loads.
const AFAR: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(10) };
const UP: Duration = Duration::from_secs(5);
/// Of one that may fall asleep: until that is seen its memory serves nobody.
const DROWSY: Duration = Duration::from_secs(1);
/// Of one by whose cache others are started.
const FILLING: Duration = Duration::from_secs(1);
/// No engine says more than this to a probe.
const LONGEST_PAGE: usize = 1 << 20;
/// So many misses in a row count as down; one may be a busy moment.
const MISSES: u32 = 2;
const AFTER_MISS: Duration = Duration::from_millis(500);

/// What its owner has asked for so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Asks {
    /// To look at once.
    looks: u64,
    /// To report what is seen, whatever was reported before.
    anew: u64,
    /// To wake it.
    wakes: u64,
}

/// One that is asked for as long as this is held.
#[derive(Debug)]
pub(crate) struct Watched {
    _task: Task,
    asks: watch::Sender<Asks>,
    beat: watch::Receiver<Beat>,
    /// As its target was.
    pub(crate) fills: bool,
}

impl Watched {
    /// Starts to ask.
    pub(crate) fn new(target: Target, reports: mpsc::Sender<Event>) -> Self {
        let (asks, asked) = watch::channel(Asks::default());
        let (beats, beat) = watch::channel(Beat::default());
        let fills = target.fills;
        Self { _task: ask_on(target, asked, beats, reports), asks, beat, fills }
    }
    /// Asks at once, after a caller's complaint.
    pub(crate) fn nudge(&self) {
        self.asks.send_modify(|asks| asks.looks += 1);
    }
    /// Asks at once, and reports whatever the answer is.
    pub(crate) fn ask_anew(&self) {
        self.asks.send_modify(|asks| asks.anew += 1);
    }
    /// Wakes it, and then reports how it is.
    pub(crate) fn wake(&self) {
        self.asks.send_modify(|asks| (asks.anew, asks.wakes) = (asks.anew + 1, asks.wakes + 1));
    }
    /// What its loop last said.
    pub(crate) fn beat(&self) -> Beat {
        *self.beat.borrow()
    }
}

fn ask_on(target: Target, mut asked: watch::Receiver<Asks>, beats: watch::Sender<Beat>, reports: mpsc::Sender<Event>) -> Task {
    tasks::spawn("probe", async move {
        let mut stethoscope = Stethoscope::new(beats);
        let usual = [(target.sleeps, DROWSY), (target.fills, FILLING)].into_iter().filter(|(is, _)| *is).map(|(_, time)| time).min();
        let usual = usual.unwrap_or(UP);
        let mut last = Health::Unknown;
        let (mut asks, mut unready, mut misses, mut done) = (0_usize, 0_u32, 0_u32, Asks::default());
        loop {
            let wanted = *asked.borrow_and_update();
            if wanted.wakes != done.wakes {
                wake(&target).await;
                stethoscope.begin();
            }
            if wanted.anew != done.anew {
                last = Health::Unknown;
            }
            done = wanted;
            let mut health = ask(&target).await;
            asks += 1;
            unready = if matches!(health, Health::Up | Health::Asleep) { 0 } else { unready.saturating_add(1) };
            misses = if matches!(health, Health::Down(..)) { misses + 1 } else { 0 };
            let was_up = last == Health::Up;
            if was_up && misses > 0 && misses < MISSES {
                health = Health::Up;
            }
            if let (Health::Down(_, first), Health::Down(_, since)) = (&last, &mut health) {
                *since = *first; // down since then, whatever it says by now
            }
            if health != last {
                if health == Health::Up {
                    stethoscope.begin(); // before, nobody listened
                }
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
                (Health::Up | Health::Asleep, 0) if heard => usual,
                (Health::Up, _) => AFTER_MISS,
                _ => until_ready(&target.endpoint, asks, unready),
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                changed = asked.changed() => if changed.is_err() { return },
            }
        }
    })
}

/// The pause before one that is not up is asked again: after so many answers in all, and so many in a row that were no other.
fn until_ready(endpoint: &Endpoint, asks: usize, unready: u32) -> Duration {
    match endpoint {
        Endpoint::Unix(_) => RISING[(asks / ASKS_EACH).min(RISING.len() - 1)],
        Endpoint::Url(_) => AFAR.ceiling(unready),
    }
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

    /// From now on there should be beats.
    fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// Whether there was a beat, or none is to be expected.
    async fn listen(&mut self, target: &Target) -> bool {
        let Some(path) = target.probe.pulse else { return true };
        let answer = tokio::time::timeout(target.probe.timeout, get(target, path)).await;
        let now = Instant::now();
        let load = match answer {
            Ok(Ok((StatusCode::OK, page))) => load(target, &page).await,
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

/// What its pages say of its load. Its slots are asked for where somebody goes by them and there is something in them.
async fn load(target: &Target, page: &str) -> Option<Load> {
    let load = target.engine.load(page, None)?;
    let Some(path) = target.probe.slots.filter(|_| target.fills && load.running > 0) else { return Some(load) };
    match tokio::time::timeout(target.probe.timeout, get(target, path)).await {
        Ok(Ok((StatusCode::OK, slots))) => target.engine.load(page, Some(&slots)),
        _ => Some(load),
    }
}

/// One question.
async fn ask(target: &Target) -> Health {
    let answer = tokio::time::timeout(target.probe.timeout, get(target, target.probe.path)).await;
    let down = |what: String| Health::Down(what, Timestamp::steady());
    match answer {
        Ok(Ok((status, _))) => match judge(status, &target.probe) {
            Health::Up => match sleeps(target).await {
                Some(true) => Health::Asleep,
                Some(false) => Health::Up,
                // Not up: what it gave back may have been lent to others.
                None => down(format!("{} does not say whether it sleeps", target.endpoint)),
            },
            health => health,
        },
        Ok(Err(error)) => down(format!("{} cannot be reached: {}", target.endpoint, base::chain(error.as_ref()))),
        Err(_) => down(format!("{} gave no answer within {} s", target.endpoint, target.probe.timeout.as_secs())),
    }
}

/// Whether it says that it sleeps. One whose answer does not say is awake; of one that does not answer nobody knows.
async fn sleeps(target: &Target) -> Option<bool> {
    #[derive(serde::Deserialize)]
    struct Said {
        is_sleeping: bool,
    }
    let Some(sleep) = target.probe.sleep.filter(|_| target.sleeps) else { return Some(false) };
    let answer = tokio::time::timeout(target.probe.timeout, get(target, sleep.asks)).await;
    let (status, page) = answer.ok()?.ok()?;
    Some(status == StatusCode::OK && serde_json::from_str::<Said>(&page).is_ok_and(|said| said.is_sleeping))
}

/// Wakes it, for as long as that takes: whether it comes nearer to being awake is for its owner to see.
async fn wake(target: &Target) {
    let (Some(sleep), Endpoint::Unix(socket)) = (target.probe.sleep, &target.endpoint) else { return };
    let (path, body) = sleep.wakes;
    #[cfg(test)]
    if let Some(answer) = crate::tests::owner::answer(&target.endpoint, path) {
        return drop(answer.await); // its probe says what it is like
    }
    if let Err(error) = exchange(socket, target, Request::post(path), body).await {
        tracing::warn!(instance = %target.id, error = base::chain(error.as_ref()), "it could not be woken; its probe says what it is like");
    }
}

fn judge(status: StatusCode, probe: &Probe) -> Health {
    let down = |what: String| Health::Down(what, Timestamp::steady());
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
async fn get(target: &Target, path: &'static str) -> Result<(StatusCode, String), Cause> {
    #[cfg(test)]
    if let Some(answer) = crate::tests::owner::answer(&target.endpoint, path) {
        return answer.await;
    }
    match &target.endpoint {
        Endpoint::Unix(socket) => exchange(socket, target, Request::get(path), "").await,
        Endpoint::Url(base) => Ok((get_url(base, target, path).await?, String::new())),
    }
}

fn request<B>(mut request: Builder, target: &Target, body: B) -> Result<Request<B>, Cause> {
    if let Some(key) = &target.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
    }
    Ok(request.body(body)?)
}

async fn exchange(socket: &Path, target: &Target, head: Builder, body: &'static str) -> Result<(StatusCode, String), Cause> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(stream).await?;
    let mut request = request(head, target, Full::new(Bytes::from_static(body.as_bytes())))?;
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

async fn get_url(base: &str, target: &Target, path: &str) -> Result<StatusCode, Cause> {
    let head = Request::get(format!("{}{}", base.trim_end_matches('/'), path));
    let request = request(head, target, Empty::<Bytes>::new())?;
    let dialer = Dialer::new(target.outbound.clone());
    // It keeps no connection.
    let mut client = Client::builder(TokioExecutor::new());
    client.http2_only(target.http2).pool_max_idle_per_host(0);
    let reply = if request.uri().scheme_str() == Some("https") {
        let connector = HttpsConnectorBuilder::new().with_tls_config(net::trust()?).https_only();
        let connector =
            if target.http2 { connector.enable_http2().wrap_connector(dialer) } else { connector.enable_http1().wrap_connector(dialer) };
        client.build(connector).request(request).await?
    } else {
        client.build(dialer).request(request).await?
    };
    Ok(reply.status())
}

#[cfg(test)]
mod tests;
