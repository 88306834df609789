//! The walk of one call, each step once, each with the value of the one before.
//!
//! In: a request and the manner in which it speaks. Out: its answer. Fails: as the first step that
//! fails; from [`Account::open`] on every end is in the books.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::WARNING;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use base::tasks;
use board::{Entry, Lease};

use crate::account::Account;
use crate::admit::{admit, is_metered, limit_headers};
use crate::call::{Call, Face};
use crate::choose::{choose, has_left, search};
use crate::clock::{Clock, until};
use crate::error::{self, Error};
use crate::http::{self, Arrived};
use crate::identify::identify_call;
use crate::metrics::Stage;
use crate::prompt::{self, Prompts};
use crate::relay::{self, Held, early, relay};
use crate::send::{self, Failed, Outgoing, Reply, Target};
use crate::way::{Way, instead};
use crate::{Config, Gateway};

/// How a face reads its calls.
pub(crate) type Reader = fn(&Gateway, http::Raw) -> Result<Call, Error>;

/// From request to answer.
pub(crate) async fn walk(gateway: Gateway, request: Request, face: Face, read: Reader) -> Response {
    go(gateway, Arrived::of(request), face, read).await
}

/// The same for a request of which is known already when it came.
pub(crate) async fn go(gateway: Gateway, arrived: Arrived, face: Face, read: Reader) -> Response {
    match enter(&gateway, arrived, face, read).await {
        Ok((call, prompts)) => carry(gateway, call, prompts).await,
        Err(error) => refused(&error, face),
    }
}

/// From call to answer.
pub(crate) async fn carry(gateway: Gateway, call: Box<Call>, prompts: Prompts) -> Response {
    let opened = open(&gateway, &call, prompts).await;
    go_on(gateway, call, opened).await
}

/// A call that stands in the books, and was let in or not.
pub(crate) struct Opened {
    account: Box<Account>, // it goes through many hands
    way: Result<Box<Way>, Error>,
}

impl Opened {
    /// It was not let in: its answer is at hand.
    pub(crate) fn is_refused(&self) -> bool {
        self.way.is_err()
    }

    /// The limits of its caller, for whoever answers before the call does.
    pub(crate) fn put_limits(&self, headers: &mut HeaderMap) {
        limit_headers(&self.account.rates(), headers);
    }
}

/// May now.
pub(crate) async fn open(gateway: &Gateway, call: &Call, prompts: Prompts) -> Opened {
    let mut account = Box::new(Account::open(gateway, call, prompts.estimate()));
    let way = gateway.stopping().unless_ended(let_in(gateway, call, prompts, &mut account)).await;
    Opened { account, way }
}

/// From there to the answer.
pub(crate) async fn go_on(gateway: Gateway, call: Box<Call>, Opened { mut account, way }: Opened) -> Response {
    let face = call.face;
    let rates = account.rates();
    let notice = account.entry().and_then(|entry| entry.notice.clone());
    let outcome = match way {
        Ok(way) if call.streamed => streamed(gateway, call, way, account).await,
        Ok(way) => serve(&gateway, &call, way, account).await,
        Err(error) => {
            account.failed(&error);
            drop(account);
            Err(error)
        }
    };
    let mut response = outcome.unwrap_or_else(|error| error.response(face));
    limit_headers(&rates, response.headers_mut());
    if let Some(value) = notice.and_then(|notice| HeaderValue::from_bytes(notice.as_bytes()).ok()) {
        response.headers_mut().insert(WARNING, value);
    }
    response
}

/// The head of a stream goes out when its first event is there; earlier only where that takes long.
async fn streamed(gateway: Gateway, call: Box<Call>, way: Box<Way>, account: Box<Account>) -> Result<Response, Error> {
    let Config { keep_alive_comment: ping, cold_comment, .. } = *gateway.config();
    let after = match way.cold {
        // What becomes of the start is known a while after its beginning, whenever this call came; and a call that was long in coming
        // has waited already.
        Some(rises_for) => cold_comment.min(ping).saturating_sub(rises_for.max(call.arrival.began.elapsed())),
        None => ping,
    };
    let call = Arc::from(call);
    let same = Arc::clone(&call);
    let work = Box::pin(async move { serve(&gateway, &same, way, account).await });
    early::soon(call, work, after, ping).await
}

/// Where, ask, out; by a fallback once more, as long as the client knows of nothing.
async fn serve(gateway: &Gateway, call: &Call, mut way: Box<Way>, mut account: Box<Account>) -> Result<Response, Error> {
    loop {
        let asked = gateway.stopping().unless_ended(ask(gateway, call, &mut way, &mut account)).await;
        let goes_on = match asked {
            Ok(Asked { lease, reply, clock, streams }) => {
                match relay(gateway, call, reply, Held { lease, account, clock, streams }).await {
                    Ok(response) => return Ok(response),
                    Err(unsaid) => {
                        account = unsaid.account;
                        way.go_on(gateway.board(), unsaid.error, &account)
                    }
                }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = goes_on {
            account.failed(&error);
            return Err(error);
        }
    }
}

/// A request that never became a call.
pub(crate) fn refused(error: &Error, face: Face) -> Response {
    tracing::debug!(error = base::chain(error), "request refused");
    error.response(face)
}

async fn enter(gateway: &Gateway, arrived: Arrived, face: Face, read: Reader) -> Result<(Box<Call>, Prompts), Error> {
    let raw = take_in(gateway, arrived).await?;
    // What is made into another body is scanned again: that takes longer than this scan.
    let raw = if face == Face::OpenAi { raw } else { http::Raw { reader: None, ..raw } };
    scan(gateway, raw, read).await
}

/// In, and who, for a body that is made into another one.
pub(crate) async fn receive(gateway: &Gateway, request: Request) -> Result<http::Raw, Error> {
    Ok(http::Raw { reader: None, ..take_in(gateway, Arrived::of(request)).await? })
}

/// In, and who.
async fn take_in(gateway: &Gateway, arrived: Arrived) -> Result<http::Raw, Error> {
    let limit = gateway.config().max_body_bytes;
    let Arrived { arrival, headers, body } = arrived;
    http::check(&headers, limit)?;
    let caller = identify_call(gateway.access(), &headers, Some(&arrival)).await?;
    arrival.identified(&caller);
    caller.may_call()?;
    let announced = http::announced(&headers).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let (body, reader) = http::read(body, limit, announced).await?;
    arrival.received(body.len());
    Ok(http::Raw { arrival, headers, caller, body, reader })
}

/// Scans the body; a large one off the async threads, unless it was scanned while it came.
pub(crate) async fn scan(
    gateway: &Gateway,
    raw: http::Raw,
    read: impl FnOnce(&Gateway, http::Raw) -> Result<Call, Error> + Send + 'static,
) -> Result<(Box<Call>, Prompts), Error> {
    const LARGE: usize = 256 << 10; // takes about half a millisecond
    let large = raw.unread() > LARGE;
    let (arrival, gateway) = (raw.arrival.clone(), gateway.clone());
    let work = move || {
        let call = Box::new(read(&gateway, raw)?);
        let prompts = Prompts::of(call.ask.shape, &call.scan());
        Ok((call, prompts))
    };
    let done = if large { Box::pin(tasks::blocking("scan-body", work)).await.unwrap_or(Err(Error::Lost)) } else { work() };
    arrival.laps.lap(Stage::Read);
    done
}

/// May now: with the deployment that will probably serve, or with one that may stand in for it.
async fn let_in(gateway: &Gateway, call: &Call, prompts: Prompts, account: &mut Account) -> Result<Box<Way>, Error> {
    let (mut search, mut entry) = search(gateway.board(), call)?;
    gateway.note_asked();
    let mut first = None;
    loop {
        account.found(&entry);
        let Err(error) = let_in_for(gateway, call, &prompts, &entry, account).await else { break };
        let Some(next) = instead(gateway.board(), &mut search, call, (&entry, &error)) else { return Err(first.unwrap_or(error)) };
        entry = next;
        first.get_or_insert(error);
    }
    call.arrival.laps.lap(Stage::Admit);
    Ok(Box::new(Way::new(search, &entry, prompts)))
}

async fn let_in_for(gateway: &Gateway, call: &Call, prompts: &Prompts, entry: &Entry, account: &mut Account) -> Result<(), Error> {
    let input = prompt::measure(gateway, call, prompts, entry, is_metered(call, entry)).await?;
    admit(gateway.access(), call, entry, input, account)
}

/// A call that an engine has begun to answer.
struct Asked {
    lease: Lease,
    reply: Reply,
    clock: Clock,
    streams: bool,
}

/// Where, ask: a member, and another one, or the same later, if that is safe; else a fallback.
async fn ask(gateway: &Gateway, call: &Call, way: &mut Way, account: &mut Account) -> Result<Asked, Error> {
    loop {
        let lease = choose_in_time(gateway, call, way, account).await.map_err(|error| way.why(error))?;
        gateway.metrics().waited(lease.waited);
        call.arrival.laps.lap_after(Stage::Choose, lease.waited);
        if let Err(error) = way.enter(gateway, call, &lease.entry, account).await {
            way.pass_over(&lease.entry, error)?;
            continue;
        }
        let target = gateway.sender().target(&lease)?;
        let clock = clock(gateway, call, &lease.entry);
        if (way.is_again() && clock.is_over()) || !way.tries.begin(&target) {
            return Err(way.why(Error::TotalTimeout));
        }
        account.sent(&lease);
        if let Some(keep) = call.keep {
            gateway.board().note_keep_alive(&lease.entry.name, keep);
        }
        let failed = match ask_one(gateway, call, (&lease, &target), clock, (way, account)).await {
            Ok((reply, clock, streams)) => return Ok(Asked { lease, reply, clock, streams }),
            Err(failed) => failed,
        };
        send::report(&lease, &failed.error);
        way.search.failed(&lease);
        let others = way.search.has_others();
        if !others && failed.is_of_nobody(&target) && has_left(gateway.board(), &lease).await {
            way.failed(failed.error);
            continue;
        }
        let wait = way.tries.again(&failed, &lease, &target, (&clock, others));
        drop(lease); // before another is asked for: it may be the last slot
        match wait {
            Some(wait) => {
                way.failed(failed.error);
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            }
            None => way.go_on(gateway.board(), failed.error, account)?,
        }
    }
}

/// Whoever waits, in line or for a model that comes up, waits no longer than the call may take.
async fn choose_in_time(gateway: &Gateway, call: &Call, way: &mut Way, account: &Account) -> Result<Lease, Error> {
    let chosen = choose(gateway.board(), &mut way.search, call);
    let Some(entry) = account.entry() else { return chosen.await };
    until(|| clock(gateway, call, entry).total_by, chosen).await.unwrap_or(Err(Error::TotalTimeout))
}

/// One try with one member. An engine that has too much to do has not taken the call.
async fn ask_one(
    gateway: &Gateway,
    call: &Call,
    (lease, target): (&Lease, &Arc<Target>),
    clock: Clock,
    (way, account): (&mut Way, &mut Account),
) -> Result<(Reply, Clock, bool), Failed> {
    let outgoing = Outgoing::new(call, &lease.entry);
    call.arrival.laps.lap(Stage::Send);
    let clock = clock.asked(&lease.entry.spec.timeouts, outgoing.streams);
    let mut reply = gateway.sender().send(lease, target, &outgoing, &clock).await;
    if matches!(reply, Err(Failed { stale: true, .. })) && way.tries.afresh(lease, target) {
        account.sent_again();
        reply = gateway.sender().send_afresh(lease, target, &outgoing, &clock).await;
    }
    call.arrival.laps.lap(Stage::Engine);
    let reply = reply?;
    if error::is_busy(reply.status) {
        return Err(Failed::untouched(Box::pin(relay::said(reply, &clock, &lease.entry)).await));
    }
    target.budget.answered();
    Ok((reply, clock, outgoing.streams))
}

fn clock(gateway: &Gateway, call: &Call, entry: &Entry) -> Clock {
    let limits = &entry.spec.timeouts;
    let total = match gateway.config().infer_timeout {
        Some(most) if call.face == Face::Lines => most.min(limits.total),
        _ => limits.total,
    };
    Clock::start(call.arrival.began, limits, total)
}
