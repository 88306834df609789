//! Ask: the call goes to the member of a lease, and a reply begins to come.
//!
//! In: a [`Call`](crate::call::Call), a lease. Out: a [`Reply`] (status, headers, byte flow). Fails: connect, its timeout, no first byte in
//! time, a broken connection. What a member is sent is made ready once ([`target`]); HTTP/1.1 goes over links that
//! their user drives ([`link`]), HTTP/2 over lines that many share ([`line`]); the [`pool`] keeps both. A
//! reused link that proves dead before anybody has read of the call is replaced by a fresh one here; where that is only likely,
//! and whether another member is asked, and when, is what [`retry`] says.

mod budget;
mod connect;
mod flow;
mod line;
mod link;
mod outgoing;
mod pieces;
mod pool;
pub(crate) mod retry;
mod target;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use base::tasks::Task;
use board::{Board, Failure, Lease};
use http::{HeaderMap, StatusCode};
use spec::HttpVersion;
use tokio::time::{timeout, timeout_at};

pub(crate) use connect::Cause;
use connect::{Connector, Opened};
pub(crate) use flow::Flow;
use flow::Home;
use link::{Fault, Link, Unsent};
pub(crate) use outgoing::Outgoing;
use pool::Place;
pub(crate) use target::Target;
use targets::Targets;

use crate::clock::Clock;
use crate::error::Error;

/// A server that hangs up on an idle connection and a call that comes just then miss each other by no more than this. What fails
/// later was begun by somebody.
const RACE: Duration = Duration::from_millis(10);
/// The same of an engine of ours that is told to end: it may take a call from the socket and look at it no more, on a machine that is busy with
/// the one that comes in its place.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The engine's answer as it begins.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers, of a refusal; nobody asks for those of a success.
    pub(crate) headers: Option<Box<HeaderMap>>,
    /// Its bytes.
    pub(crate) flow: Flow,
}

/// A try that brought no reply.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) error: Error,
    /// True when the engine cannot have begun to work on it, so that another may be asked.
    pub(crate) safe: bool,
    /// True when an idle connection proved dead at once, so that hardly anybody has: a fresh one may be tried.
    pub(crate) stale: bool,
}

impl Failed {
    /// Somebody may have begun to work on it, or nobody ever will.
    pub(crate) fn for_good(error: Error) -> Self {
        Self { error, safe: false, stale: false }
    }
    /// Nobody has begun to work on it.
    pub(crate) fn untouched(error: Error) -> Self {
        Self { error, safe: true, stale: false }
    }
}

/// Sends calls to engines.
#[derive(Debug)]
pub(crate) struct Sender {
    targets: Arc<Targets>,
    connector: Connector,
    _watch: Task,
}

impl Sender {
    /// With nothing open, and calls only for where this lets them, to members of this board; must be called within a tokio runtime.
    pub(crate) fn start(outbound: net::Guard, board: Arc<Board>) -> Self {
        let targets = Arc::default();
        let watch = targets::watch(&targets, board);
        Self { targets, connector: Connector::new(outbound), _watch: watch }
    }

    /// Where calls of this lease go.
    pub(crate) fn target(&self, lease: &Lease) -> Result<Arc<Target>, Error> {
        self.targets.of(lease)
    }

    /// Sends the call to the lease's member; its head must be there in time.
    pub(crate) async fn send(&self, lease: &Lease, target: &Arc<Target>, outgoing: &Outgoing<'_>, clock: &Clock) -> Result<Reply, Failed> {
        if target.may_speak(HttpVersion::Http2)
            && let Some(place) = target.lines.take()
        {
            return on_line(target, place, outgoing, clock).await;
        }
        if target.may_speak(HttpVersion::Http1)
            && let Some((link, from)) = target.pool.take()
        {
            match over_link(lease, target, link, outgoing, clock).await {
                // It hung up while nobody looked. Once: another idle one may be as dead.
                Err(Failed { safe: true, .. }) => {}
                Err(Failed { stale: true, .. }) if target.is_ours() && from.elapsed() < LAST_WORDS => {}
                Err(failed) => return Err(Failed { stale: failed.stale && !target.is_ours() && from.elapsed() < RACE, ..failed }),
                Ok(reply) => return Ok(reply),
            }
        }
        self.send_afresh(lease, target, outgoing, clock).await
    }

    /// The same over a connection that nobody has used.
    pub(crate) async fn send_afresh(
        &self,
        lease: &Lease,
        target: &Arc<Target>,
        outgoing: &Outgoing<'_>,
        clock: &Clock,
    ) -> Result<Reply, Failed> {
        // Boxed, so that a call that finds a connection carries none of this.
        match Box::pin(self.connect(lease, target)).await? {
            Fresh::Link(link) => over_link(lease, target, link, outgoing, clock).await.map_err(|failed| Failed { stale: false, ..failed }),
            Fresh::Place(place) => on_line(target, place, outgoing, clock).await,
        }
    }

    /// A connection that nobody has used.
    async fn connect(&self, lease: &Lease, target: &Target) -> Result<Fresh, Failed> {
        let after = lease.entry.spec.timeouts.connect;
        let error = match timeout(after, self.open(target)).await {
            Ok(Ok(fresh)) => return Ok(fresh),
            Ok(Err(error)) => error,
            Err(_elapsed) => Error::ConnectTimeout { after },
        };
        Err(Failed::untouched(error))
    }

    async fn open(&self, target: &Target) -> Result<Fresh, Error> {
        // Where calls share a connection, all but one wait for it instead of opening their own.
        let _turn = if target.may_speak(HttpVersion::Http2) { target.lines.turn().await } else { None };
        if let Some(place) = target.lines.take() {
            return Ok(Fresh::Place(place));
        }
        let Opened { pipe, http2 } = self.connector.open(target).await.map_err(|source| Error::Connect { source })?;
        target.speaks(if http2 { HttpVersion::Http2 } else { HttpVersion::Http1 });
        if !http2 {
            return Ok(Fresh::Link(Link::new(pipe)));
        }
        let line = line::open(pipe).await.map_err(|source| Error::Broken { source: source.into() })?;
        Ok(Fresh::Place(target.lines.put(line)))
    }
}

/// What was opened.
enum Fresh {
    Link(Link),
    Place(Place),
}

/// What it says of a stale link is true of an idle one: it hung up, and had not said one byte.
async fn over_link(lease: &Lease, target: &Arc<Target>, mut link: Link, outgoing: &Outgoing<'_>, clock: &Clock) -> Result<Reply, Failed> {
    let head = match link.exchange(outgoing.parts(target), clock.first_by).await {
        Ok(head) => head,
        Err(Unsent { fault: Fault::Late, .. }) => return Err(Failed::for_good(clock.late(true))),
        Err(Unsent { fault, untouched, unanswered }) => {
            let safe = untouched || unanswered && target.is_ours() && was_never_read(&fault);
            let stale = unanswered && matches!(fault, Fault::HungUp | Fault::Io(_));
            return Err(Failed { error: Error::Broken { source: fault.into() }, safe, stale });
        }
    };
    let home = Home { target: Arc::clone(target), most: slots(lease) };
    Ok(Reply { status: head.status, headers: head.headers, flow: Flow::by_link(link, home) })
}

/// An engine that ended before it had read all of the call. The kernel says so of a Unix socket, and of no other: whoever closes one
/// resets it if bytes lie there that it has not read, and nothing can be written to one that is closed. What has read all and ended
/// may have worked on it; then there is only an end.
fn was_never_read(fault: &Fault) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(fault, Fault::Io(error) if matches!(error.kind(), BrokenPipe | ConnectionReset))
}

async fn on_line(target: &Target, place: Place, outgoing: &Outgoing<'_>, clock: &Clock) -> Result<Reply, Failed> {
    let request = outgoing.request(target);
    let mut sender = place.sender();
    let response = match timeout_at(clock.first_by, sender.try_send_request(request)).await {
        Err(_elapsed) => return Err(Failed::for_good(clock.late(true))),
        Ok(Err(mut failed)) => {
            let untouched = failed.take_message().is_some() || line::was_refused(failed.error());
            return Err(Failed { error: Error::Broken { source: failed.into_error().into() }, safe: untouched, stale: false });
        }
        Ok(Ok(response)) => response,
    };
    let (head, body) = response.into_parts();
    Ok(Reply { status: head.status, headers: Some(head.headers.into()), flow: Flow::by_line(body, place) })
}

fn slots(lease: &Lease) -> usize {
    usize::try_from(lease.member.slots).unwrap_or(usize::MAX)
}

/// Tells the board of a member that did not answer as a living one does.
pub(crate) fn report(lease: &Lease, error: &Error) {
    if let Some(failure) = failure(error) {
        lease.failed(failure);
    }
}

/// What the error says of the member; nothing where it is the call's own fault.
fn failure(error: &Error) -> Option<Failure> {
    match error {
        Error::Connect { .. } | Error::ConnectTimeout { .. } => Some(Failure::Unreachable),
        Error::Broken { .. } | Error::Wire(wire::Error::Cut) => Some(Failure::Broken),
        Error::FirstByteTimeout | Error::IdleTimeout { .. } => Some(Failure::Late),
        Error::Said(said) if said.busy.is_some() => Some(Failure::Busy(said.wait)),
        Error::Said(said) if said.status.is_server_error() => Some(Failure::Error),
        _ => None,
    }
}
