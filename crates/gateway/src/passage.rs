//! A request's way through the house: its id, its time, and what is known of it when it is over.
//!
//! In: a request's head; later, from each step, what it has found out. Out: on the drop of the last
//! who holds it, one [`Record`] to those that [`Watch`]. Fails: never. Holds: a few atomics and cells
//! that are set once; one allocation for each request, and no lock.

mod laps;
mod record;
mod trace;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::Caller;
use base::Timestamp;
use board::{Entry, Member};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use spec::Ending;
use tokio::time::Instant;

pub(crate) use laps::Laps;
pub use record::{CallRecord, Lap, Listener, Peer, Record, Watch, Wish};
pub use trace::{Sampling, SpanId, Trace, TraceId};

use crate::error::CLIENT_GONE;
use crate::metrics::{Route, Stage};

/// The header of the request id, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static LOG_LEVEL: HeaderName = HeaderName::from_static("x-log-level");
static LOG_INFER: HeaderName = HeaderName::from_static("x-log-infer");
/// Longer ids are not repeated into logs and rows.
pub(crate) const LONGEST_ID: usize = 128;
/// What of a client's name is kept.
const LONGEST_AGENT: usize = 128;

/// When a request came, what it is called, and what becomes of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Arrival(Arc<Passage>);

impl Deref for Arrival {
    type Target = Passage;
    fn deref(&self) -> &Passage {
        &self.0
    }
}

/// The id of a request, as a header has it and as text.
#[derive(Debug, Clone)]
pub(crate) struct Id(HeaderValue);

impl Id {
    /// For a header.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Deref for Id {
    type Target = str;
    fn deref(&self) -> &str {
        self.0.to_str().unwrap_or_default() // only what is sane is ever put in
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// What is known of a request.
pub(crate) struct Passage {
    /// The client's own id if it is sane, so that it may come again, else a new one.
    pub(crate) id: Id,
    /// For measuring.
    pub(crate) began: Instant,
    /// For the row.
    pub(crate) at: Timestamp,
    /// Where its time went.
    pub(crate) laps: Laps,
    /// Its place in a trace, where anybody cares.
    pub(crate) trace: Option<Trace>,
    /// Where it came from.
    pub(crate) from: Option<IpAddr>,
    method: &'static str,
    route: Option<Arc<Route>>,
    status: AtomicU16,
    took: AtomicU64,
    left_after: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    caller: OnceLock<Arc<Caller>>,
    ended: OnceLock<Ended>,
    told: Option<Told>,
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who is told of the end, and what of the head they want to know.
struct Told {
    watch: Arc<Watch>,
    client: Option<SocketAddr>,
    agent: Box<str>,
    wish: Wish,
}

/// How a call of a model ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) operation: &'static str,
    pub(crate) model: String,
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) ending: Ending,
    pub(crate) error: Option<&'static str>,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) estimated: bool,
    pub(crate) first_byte: Option<Duration>,
    /// Work of ours on the answer.
    pub(crate) own_time: Duration,
    pub(crate) streamed: bool,
}

impl Arrival {
    /// Of a request with these headers, now, of which nobody is told.
    pub(crate) fn now(headers: &HeaderMap) -> Self {
        Self(Arc::new(Passage::now(headers)))
    }

    /// Of a request of this route. Somebody is told when it is over, if there is who wants to know.
    pub(crate) fn of<B>(request: &http::Request<B>, route: Arc<Route>, (watch, peer): (&Arc<Watch>, Option<Peer>)) -> Self {
        let headers = request.headers();
        let mut passage = Passage::now(headers);
        passage.method = crate::metrics::method(request.method());
        passage.route = Some(route);
        passage.from = peer.map(|peer| peer.0.ip());
        let wish = wish(request.uri(), headers);
        if watch.sampling.is_some() || watch.always {
            passage.trace = Trace::of(headers, watch.sampling);
        }
        if watch.always || wish >= Wish::Info {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            passage.told = Some(Told {
                watch: Arc::clone(watch),
                client: peer.map(|peer| peer.0),
                agent: agent.get(..LONGEST_AGENT).unwrap_or(agent).into(),
                wish,
            });
        }
        Self(Arc::new(passage))
    }
}

fn is_sane(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
}

/// `?log=`, then `X-Log-Level`, then `X-Log-Infer`.
fn wish(uri: &Uri, headers: &HeaderMap) -> Wish {
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("log=")));
    let Some(level) = asked.or_else(|| header(&LOG_LEVEL)) else {
        return if header(&LOG_INFER) == Some("1") { Wish::Info } else { Wish::Usual };
    };
    let is = |words: &[&str]| words.iter().any(|word| level.eq_ignore_ascii_case(word));
    match () {
        () if is(&["off", "none", "0"]) => Wish::Off,
        () if is(&["error", "warn"]) => Wish::Error,
        () if is(&["info", "1"]) => Wish::Info,
        () if is(&["debug", "trace"]) => Wish::Debug,
        () => Wish::Usual,
    }
}

impl Passage {
    fn now(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        let id = match given {
            // Copied, so that one header does not keep the whole head of the request in memory.
            Some(id) => HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("unknown")),
            None => own_id(),
        };
        let began = Instant::now();
        Self {
            id: Id(id),
            began,
            at: Timestamp::now(),
            laps: Laps::new(began),
            trace: None,
            from: None,
            method: "",
            route: None,
            status: AtomicU16::new(CLIENT_GONE),
            took: AtomicU64::new(0),
            left_after: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            caller: OnceLock::new(),
            ended: OnceLock::new(),
            told: None,
        }
    }

    /// It is known who asks.
    pub(crate) fn identified(&self, caller: &Arc<Caller>) {
        let _ = self.caller.set(Arc::clone(caller)); // the first one counts
        self.laps.lap(Stage::Identify);
    }

    /// The client's body is here.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_in.store(bytes as u64, Relaxed);
        self.laps.lap(Stage::Body);
    }

    /// The head of the answer goes out, with this status.
    pub(crate) fn head_goes_out(&self, status: u16) {
        self.status.store(status, Relaxed);
    }

    /// The status that the client has seen, once it has.
    pub(crate) fn shown(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|status| *status != CLIENT_GONE)
    }

    /// The client has gone before the end of its answer: what is held for it is let go now.
    pub(crate) fn client_leaves(&self) {
        let after = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.left_after.store(after.max(1), Relaxed);
    }

    /// How long after its coming its client was seen to have gone; nothing while it has not.
    pub(crate) fn left_after(&self) -> Option<Duration> {
        Some(self.left_after.load(Relaxed)).filter(|after| *after > 0).map(Duration::from_nanos)
    }

    /// The answer is out, or its client has gone.
    pub(crate) fn left(&self, status: u16, bytes: u64, took: Duration) {
        self.took.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.status.store(status, Relaxed);
        self.bytes_out.store(bytes, Relaxed);
    }

    /// The call of a model that it was is over.
    pub(crate) fn call_ended(&self, ended: Ended) {
        let _ = self.ended.set(ended); // a request is one call
    }

    /// Somebody will be told, so that it is worth to say how it ended.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Where the client did not trace, or we do, what its engine is told of the trace.
    pub(crate) fn put_trace(&self, from: &HeaderMap, to: &mut HeaderMap) {
        if let Some(trace) = &self.trace {
            trace.put(from, to);
        }
    }

    fn call(&self, took: Duration) -> Option<CallRecord<'_>> {
        let ended = self.ended.get()?;
        let entry = ended.entry.as_deref();
        let sent = self.laps.of(Stage::Send).map(|(at, _)| at);
        Some(CallRecord {
            operation: ended.operation,
            model: &ended.model,
            deployment: entry.map(|entry| entry.name.as_str()),
            instance: ended.member.as_deref().map(|member| member.id.as_str()),
            provider: entry.map(|entry| entry.spec.engine().as_str()),
            upstream_model: entry.map(|entry| entry.upstream_model.as_str()),
            ending: ended.ending,
            error: ended.error,
            prompt_tokens: ended.prompt_tokens,
            completion_tokens: ended.completion_tokens,
            estimated: ended.estimated,
            first_byte: ended.first_byte,
            waited: self.laps.waited(),
            sent,
            upstream: sent.map_or(Duration::ZERO, |sent| took.saturating_sub(sent).saturating_sub(ended.own_time)),
            streamed: ended.streamed,
        })
    }

    fn tell(&self, told: &Told, to: &(dyn Fn(&Record<'_>) + Send + Sync)) {
        let duration = Duration::from_nanos(self.took.load(Relaxed));
        let caller = self.caller.get();
        let lap = |stage: Stage| self.laps.of(stage).map(|(ended, took)| Lap { stage: stage.as_str(), ended, took });
        to(&Record {
            at: self.at,
            id: &self.id,
            method: self.method,
            route: self.route.as_deref().map_or("", |route| &route.path),
            status: self.status.load(Relaxed),
            duration,
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            client: told.client,
            agent: &told.agent,
            token: caller.and_then(|caller| caller.token()),
            project: caller.and_then(|caller| caller.project()),
            wish: if caller.is_some() { told.wish } else { Wish::Usual },
            trace: self.trace,
            call: self.call(duration),
            laps: Stage::ALL.map(lap),
        });
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(told) = self.told.take()
            && let Some(to) = &told.watch.ended
        {
            self.tell(&told, to.as_ref());
        }
    }
}

/// A new id: `req_` and 24 hexadecimal digits.
fn own_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = *b"req_000000000000000000000000";
    let random: [u8; 12] = base::id::random_bytes();
    for (pair, byte) in id[4..].chunks_exact_mut(2).zip(random) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests;
