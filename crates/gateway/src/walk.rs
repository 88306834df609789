//! The walk of one call, each step once, each with the value of the one before.
//!
//! In: a request and the manner in which it speaks. Out: its answer. Fails: as the first step that
//! fails; from [`Account::open`] on every end is in the books.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use base::tasks;
use board::{Entry, Lease};
use tokio::time::Instant;

use crate::Gateway;
use crate::account::Account;
use crate::admit::{admit, limit_headers};
use crate::call::{Call, Face};
use crate::choose::{choose, find};
use crate::clock::Clock;
use crate::error::Error;
use crate::http::{self, Arrival};
use crate::identify::identify;
use crate::metrics::Stage;
use crate::prompt::{self, Prompts};
use crate::relay::{Held, relay};
use crate::send::{self, Failed, Outgoing, Reply};

/// Members that are asked before the call is given up.
const TRIES: u32 = 2;

/// How a face reads its calls.
pub(crate) type Reader = fn(&Gateway, http::Raw) -> Result<Call, Error>;

/// From request to answer.
pub(crate) async fn walk(gateway: Gateway, request: Request, face: Face, read: Reader) -> Response {
    let (call, prompts) = match enter(&gateway, request, read).await {
        Ok(entered) => entered,
        Err(error) => return refused(&error, face),
    };
    let mut account = Account::open(&gateway, &call, prompts.estimate());
    let asked = gateway.stopping().unless_ended(ask(&gateway, &call, prompts, &mut account)).await;
    let outcome = match asked {
        Ok(Asked { lease, reply, clock, streams }) => relay(&gateway, &call, reply, Held { lease, account, clock, streams }).await,
        Err(error) => {
            account.failed(&error);
            drop(account);
            Err(error)
        }
    };
    let mut response = outcome.unwrap_or_else(|error| error.response(face));
    limit_headers(&call.caller.rates(), response.headers_mut());
    response
}

/// A request that never became a call.
fn refused(error: &Error, face: Face) -> Response {
    tracing::debug!(error = base::chain(error), "request refused");
    error.response(face)
}

/// In, and who.
async fn enter(gateway: &Gateway, request: Request, read: Reader) -> Result<(Call, Arc<Prompts>), Error> {
    let limit = gateway.config().max_body_bytes;
    let (head, body) = request.into_parts();
    let arrival = head.extensions.get::<Arrival>().cloned().unwrap_or_else(|| Arrival::now(&head.headers));
    http::check(&head.headers, limit)?;
    let caller = identify(gateway.access(), &head.headers)?;
    let body = http::read(body, limit).await?;
    scan(gateway, http::Raw { arrival, headers: head.headers, caller, body }, read).await
}

/// Scans the body; a large one off the async threads.
async fn scan(gateway: &Gateway, raw: http::Raw, read: Reader) -> Result<(Call, Arc<Prompts>), Error> {
    const LARGE: usize = 256 << 10; // takes about half a millisecond
    let from = Instant::now();
    let large = raw.body.len() > LARGE;
    let (metrics, gateway) = (gateway.metrics(), gateway.clone());
    let work = move || {
        let call = read(&gateway, raw)?;
        let prompts = Prompts::of(call.ask.shape, &call.scan());
        Ok((call, Arc::new(prompts)))
    };
    let done = if large { tasks::blocking("scan-body", work).await.unwrap_or(Err(Error::Lost)) } else { work() };
    metrics.spent(Stage::Read, from.elapsed());
    done
}

/// A call that an engine has begun to answer.
struct Asked {
    lease: Lease,
    reply: Reply,
    clock: Clock,
    streams: bool,
}

/// May now, where, ask.
async fn ask(gateway: &Gateway, call: &Call, prompts: Arc<Prompts>, account: &mut Account) -> Result<Asked, Error> {
    let from = Instant::now();
    let entry = find(gateway.board(), &call.caller, &call.ask)?;
    gateway.note_asked();
    account.admitted(admit(gateway.access(), gateway.lately(), call, &entry, prompts.estimate())?);
    gateway.metrics().spent(Stage::Admit, from.elapsed());
    prompt::check(gateway.counts(), call, prompts, &entry).await?;
    let from = Instant::now();
    let lease = choose(gateway.board(), &entry, None).await?;
    gateway.metrics().waited(lease.waited);
    gateway.metrics().spent(Stage::Choose, from.elapsed().saturating_sub(lease.waited));
    send(gateway, call, lease, account).await
}

/// Asks the member of the lease, and another one if that is safe.
async fn send(gateway: &Gateway, call: &Call, mut lease: Lease, account: &mut Account) -> Result<Asked, Error> {
    let mut tries = 1;
    loop {
        account.sent(&lease.entry, call);
        let Failed { error, safe } = match send_once(gateway, call, &lease).await {
            Ok((reply, clock, streams)) => return Ok(Asked { lease, reply, clock, streams }),
            Err(failed) => failed,
        };
        send::report(&lease, &error);
        if !safe || tries == TRIES {
            return Err(error);
        }
        tries += 1;
        let (entry, avoid) = (Arc::clone(&lease.entry), lease.member.id.clone());
        drop(lease); // before another is asked for: it may be the last slot
        lease = choose(gateway.board(), &entry, Some(avoid)).await?;
    }
}

async fn send_once(gateway: &Gateway, call: &Call, lease: &Lease) -> Result<(Reply, Clock, bool), Failed> {
    let from = Instant::now();
    let outgoing = Outgoing::new(call, &lease.entry, &lease.member).map_err(|error| Failed { error, safe: false })?;
    gateway.metrics().spent(Stage::Send, from.elapsed());
    let clock = clock(gateway, call, &lease.entry, outgoing.streams);
    let reply = gateway.sender().send(lease, &outgoing, &clock).await?;
    Ok((reply, clock, outgoing.streams))
}

fn clock(gateway: &Gateway, call: &Call, entry: &Entry, streams: bool) -> Clock {
    let limits = &entry.spec.timeouts;
    let total = match gateway.config().infer_timeout {
        Some(most) if call.face == Face::Lines => most.min(limits.total),
        _ => limits.total,
    };
    Clock::start(call.arrival.began, limits, total, streams)
}
