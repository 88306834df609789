//! Where: the public name becomes a slot of an instance.
//!
//! In: the name that was asked for; the caller's patience. Out: the deployment, then a lease. Fails:
//! no such model, not allowed, not served by this engine; line full, patience ended, loading, down.
//! That there is such a model is told before anything is set aside: a misspelling costs no allowance.

use std::sync::Arc;

use access::Caller;
use board::{Board, Entry, Lease, Wait};
use spec::InstanceId;
use wire::openai::{Ask, Shape};

use crate::error::Error;

/// The deployment behind the name, if this caller may use it for this.
pub(crate) fn find(board: &Board, caller: &Caller, ask: &Ask) -> Result<Arc<Entry>, Error> {
    let table = board.table();
    let entry = table.deployments.get(ask.model.as_str()).ok_or_else(|| Error::UnknownModel { model: shown(&ask.model) })?;
    caller.may_infer(entry.name.as_str())?;
    let dialect = &entry.dialect;
    let (served, what) = match ask.shape {
        Shape::Chat => (dialect.chat, "chat completions"),
        Shape::Completions => (dialect.completions, "completions"),
        Shape::Embeddings => (dialect.embeddings, "embeddings"),
    };
    if served { Ok(Arc::clone(entry)) } else { Err(Error::NotServed { model: entry.name.clone(), what }) }
}

/// What of a client's text is repeated in an error.
fn shown(model: &str) -> String {
    const MOST: usize = 128;
    if model.chars().count() <= MOST { model.to_owned() } else { model.chars().take(MOST).chain(['…']).collect() }
}

/// A slot on an instance; waits in line as long as the deployment allows.
pub(crate) async fn choose(board: &Board, entry: &Entry, avoid: Option<InstanceId>) -> Result<Lease, Error> {
    let limits = &entry.spec.timeouts;
    let wait = Wait { patience_ready: limits.wait, patience_cold: limits.start, keep_alive: None, avoid };
    Ok(board.lease(&entry.name, wait).await?)
}
