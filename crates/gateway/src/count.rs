//! How many tokens is a chat that nobody sends?
//!
//! In: a chat request. Out: a count by the model's own template and vocabulary, read from its file if need be; an estimate
//! where there is none. Fails: never. Holds: a thread off the async ones, of which a few count at once.

use std::sync::Arc;

use base::tasks;
use board::Entry;
use bytes::Bytes;
use tokens::Counts;
use tokio::sync::Semaphore;
use wire::openai::Shape;
use wire::scan;

use crate::prompt::{self, Prompts};

/// Counts at the same time; each may take a core for a second.
const AT_ONCE: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The tokens of this chat request for this deployment.
pub(crate) async fn count(counts: &Arc<Counts>, entry: &Entry, body: Bytes) -> u64 {
    let (counts, version) = (Arc::clone(counts), entry.version.clone());
    let _turn = TURNS.acquire().await;
    let work = move || {
        let Ok(scan) = scan::object(&body) else { return 0 };
        let counter = version.and_then(|version| prompt::read(&counts, &version).ok());
        let counted = counter.and_then(|counter| counter.count_chat(scan.value("messages")?, scan.value("tools")));
        counted.unwrap_or_else(|| estimate(&scan))
    };
    tasks::blocking("count-tokens", work).await.unwrap_or(0)
}

/// Of messages and tools.
fn estimate(scan: &scan::Scan<'_>) -> u64 {
    let tools = scan.value("tools").map_or(0, tokens::estimate);
    Prompts::of(Shape::Chat, scan).estimate() + tools
}
