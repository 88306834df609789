//! How many tokens is a chat that nobody sends?
//!
//! In: a chat request. Out: a count by the model's own template and vocabulary, read from its file if need be; an estimate
//! where there is none. Fails: never. Holds: turns, like all who count long texts.

use std::sync::Arc;

use access::Caller;
use board::Entry;
use bytes::Bytes;
use wire::openai::Shape;
use wire::scan;

use crate::Gateway;
use crate::prompt::{self, Prompts};
use crate::tally::{self, Texts};

/// The tokens of this chat request for this deployment.
pub(crate) async fn count(gateway: &Gateway, caller: &Caller, entry: &Entry, body: Bytes) -> u64 {
    let (counts, version) = (Arc::clone(gateway.counts()), entry.version.clone());
    let write = move || {
        let Ok(scan) = scan::object(&body) else { return Err(0) };
        let counter = version.and_then(|version| prompt::read(&counts, &version).ok());
        let written = counter.and_then(|counter| Some((counter.write_chat(scan.value("messages")?, scan.value("tools"))?, counter)));
        written.ok_or_else(|| Prompts::of(Shape::Chat, &scan).estimate())
    };
    let (chat, counter) = match gateway.turns().take(caller, write).await.unwrap_or(Err(0)) {
        Ok(written) => written,
        Err(estimate) => return estimate,
    };
    let texts = Texts::from([Some(chat.text)]);
    let counted = tally::count(gateway.turns(), caller, counter, texts, None).await;
    counted.map_or(0, |counted| counted.all + chat.around)
}
