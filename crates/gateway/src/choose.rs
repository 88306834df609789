//! Where: the public name becomes a slot of an instance.
//!
//! In: the name that was asked for, of a deployment or a route; the caller's patience; what the call belongs to. Out:
//! the deployment that will probably serve, then a lease, and another one when that failed. Fails:
//! no such model, not allowed, not served by this engine; line full, patience ended, loading, down.
//! That there is such a model is told before anything is set aside: a misspelling costs no allowance.

use std::sync::Arc;
use std::time::Duration;

use access::Caller;
use board::{Board, Entry, Hint, Lease, Search, Table, Wait};
use http::{HeaderMap, HeaderName};
use spec::{Affinity, Dialect, Name};
use wire::openai::{Ask, Shape};
use wire::scan::Kind;

use crate::call::Call;
use crate::error::Error;

/// The header that names a session.
static SESSION: HeaderName = HeaderName::from_static("x-session-id");
/// The members of a body that name one; the first that is there counts.
const SESSIONS: [&str; 2] = ["prompt_cache_key", "user"];

/// Of a prompt, so much is looked at: as much as the board remembers.
const MOST_PROMPT: usize = 32 << 10;

/// Where a call may go, and the deployment that will probably serve it.
pub(crate) fn search(board: &Board, call: &Call) -> Result<(Search, Arc<Entry>), Error> {
    look(board, &call.caller, &call.ask, |affinity| hint(call, affinity))
}

/// The deployment behind the name that would probably serve, if this caller may use it for this.
pub(crate) fn find(board: &Board, caller: &Caller, ask: &Ask) -> Result<Arc<Entry>, Error> {
    look(board, caller, ask, |_| Hint::default()).map(|(_, entry)| entry)
}

fn look<'a>(board: &Board, caller: &Caller, ask: &Ask, hint: impl FnOnce(Affinity) -> Hint<'a>) -> Result<(Search, Arc<Entry>), Error> {
    let found = board.find(&ask.model).and_then(|search| kept_to(search, caller));
    let mut search = found.ok_or_else(|| Error::UnknownModel { model: shown(&ask.model) })?;
    caller.may_infer(search.name().as_str())?;
    let (serves, what): (fn(&Dialect) -> bool, _) = match ask.shape {
        Shape::Chat => (|dialect| dialect.chat, "chat completions"),
        Shape::Completions => (|dialect| dialect.completions, "completions"),
        Shape::Embeddings => (|dialect| dialect.embeddings, "embeddings"),
    };
    let mut aimed = search.aim(serves, &hint(search.affinity()));
    // A route whose targets are gone still has its fallbacks. One that does not do this kind of call has said so.
    while aimed.is_none() && search.is_deserted() && search.leave(board) {
        aimed = search.aim_again(&Hint::default());
    }
    match aimed {
        Some(entry) => Ok((search, entry)),
        None => Err(Error::NotServed { model: search.name().clone(), what }),
    }
}

/// The same for this caller; nothing where all that is behind the name belongs to others.
fn kept_to(mut search: Search, caller: &Caller) -> Option<Search> {
    (caller.calls_everywhere() || search.keep_to(caller.project_name())).then_some(search)
}

/// Whether a public name is there for this caller: they may call it, and not all that is behind it belongs to others.
pub(crate) fn is_there(table: &Table, caller: &Caller, name: &str) -> bool {
    caller.may_infer(name).is_ok() && (entry_for(table, caller, name).is_some() || table.entry(name).is_none())
}

/// The deployment behind a public name, if it is there for this caller; of a route, the first of its targets that is.
pub(crate) fn entry_for<'a>(table: &'a Table, caller: &Caller, name: &str) -> Option<&'a Arc<Entry>> {
    let is_there = |entry: &&Arc<Entry>| caller.calls_reach(entry.spec.project.as_ref().map(Name::as_str));
    let targets = || table.routes.get(name).into_iter().flat_map(|route| &route.spec.targets);
    match table.deployments.get(name) {
        Some(entry) => Some(entry).filter(is_there),
        None => targets().filter_map(|target| table.deployments.get(&target.deployment)).find(is_there),
    }
}

/// The deployment that will probably serve now that others are ruled out: another target of the route, else, where that may
/// be, a fallback.
pub(crate) fn next(board: &Board, search: &mut Search, call: &Call, may_leave: bool) -> Option<Arc<Entry>> {
    loop {
        let hint = hint(call, search.affinity());
        if let Some(entry) = search.aim_again(&hint) {
            return Some(entry);
        }
        if !(may_leave && search.leave(board)) {
            return None;
        }
    }
}

/// What of a client's text is repeated in an error.
fn shown(model: &str) -> String {
    const MOST: usize = 128;
    if model.chars().count() <= MOST { model.to_owned() } else { model.chars().take(MOST).chain(['…']).collect() }
}

/// A slot on an instance; waits in line as long as the deployment allows. Asked again after
/// [`Search::failed`], it is a slot of another one, or of a fallback.
pub(crate) async fn choose(board: &Board, search: &mut Search, call: &Call) -> Result<Lease, Error> {
    let hint = hint(call, search.affinity());
    Ok(search.lease(board, &hint).await?)
}

/// A slot for somebody who only wants the model to be there.
pub(crate) async fn warm(board: &Board, entry: &Entry) -> Result<Lease, Error> {
    let limits = &entry.spec.timeouts;
    let wait = Wait { patience_ready: limits.wait, patience_cold: limits.start, keep_alive: None, avoid: Vec::new() };
    Ok(board.lease(&entry.name, wait).await?)
}

/// Whether the member of this lease, which has ended, leaves the board: the next lease is then one of whoever comes in its place.
pub(crate) async fn has_left(board: &Board, lease: &Lease) -> bool {
    const KNOWN_WITHIN: Duration = Duration::from_secs(1);
    let has_left = |table: &Table| {
        let entry = table.deployments.get(&lease.entry.name);
        entry.is_none_or(|entry| entry.instances.iter().all(|member| member.id != lease.member.id))
    };
    tokio::time::timeout(KNOWN_WITHIN, board.wait_for(has_left)).await.is_ok()
}

/// What the call belongs to; not looked for where there is nothing to choose.
fn hint(call: &Call, affinity: Affinity) -> Hint<'_> {
    let session = || header(&call.headers).or_else(|| member(call)).filter(|session| !session.is_empty());
    match affinity {
        Affinity::None => Hint::default(),
        Affinity::Session => Hint { session: session(), prompt: None },
        Affinity::Prefix => Hint { session: session(), prompt: prompt(call) },
    }
}

fn header(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(&SESSION).map(|value| value.as_bytes().trim_ascii())
}

fn member(call: &Call) -> Option<&[u8]> {
    let scan = call.scan();
    let named = |key: &&str| scan.get(key).filter(|member| member.kind == Kind::String).map(|member| scan.raw(member));
    SESSIONS.iter().find_map(named).map(|raw| raw.trim_matches('"').as_bytes())
}

/// The prompt as it stands in the body: the same words give the same bytes, which is all that counts.
fn prompt(call: &Call) -> Option<&[u8]> {
    let key = match call.ask.shape {
        Shape::Chat => "messages",
        Shape::Completions => "prompt",
        Shape::Embeddings => return None, // an engine keeps nothing of these
    };
    let scan = call.scan();
    Some(scan.start_of(scan.get(key)?.value_span, MOST_PROMPT).as_bytes())
}
