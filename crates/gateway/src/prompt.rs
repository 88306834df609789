//! How long is the prompt of a call, in tokens?
//!
//! In: a scanned body; the model's counter if it is at hand. Out: an estimate for every call, and a true
//! count where one is needed: before the engine is asked, for a text that may be longer than the
//! context. Fails: when it is. Holds: nothing; long counts run off the async threads. Only text is
//! counted, without the words that a chat template adds, so a count over the limit is over the limit.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use base::tasks;
use board::Entry;
use tokens::{Counter, Counts};
use wire::openai::Shape;
use wire::scan::{self, Kind, Scan};

use crate::call::Call;
use crate::error::Error;

/// What a chat template puts around one message, about.
const PER_MESSAGE: u64 = 4;
/// Texts longer than this take more than half a millisecond to count.
const LONG: usize = 4 << 10;

/// The prompts of a call; a chat is one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompts {
    texts: Vec<String>,
    /// Tokens in lists of token ids, of the longest list.
    ids: u64,
    all_ids: u64,
    messages: u64,
}

impl Prompts {
    /// Reads them from the body.
    pub(crate) fn of(shape: Shape, scan: &Scan<'_>) -> Self {
        let mut prompts = Self::default();
        match shape {
            Shape::Chat => prompts.chat(scan.value("messages").unwrap_or("[]")),
            Shape::Completions => prompts.list(scan, "prompt"),
            Shape::Embeddings => prompts.list(scan, "input"),
        }
        prompts
    }

    fn chat(&mut self, messages: &str) {
        let mut text = String::new();
        for (message, _) in scan::array_in(messages).unwrap_or_default() {
            self.messages += 1;
            let Ok(message) = scan::object_in(message) else { continue };
            match message.get("content").map(|content| (content.kind, message.raw(content))) {
                Some((Kind::String, raw)) => text.push_str(&scan::decode(raw).unwrap_or_default()),
                Some((Kind::Array, raw)) => {
                    for (part, _) in scan::array_in(raw).unwrap_or_default() {
                        let words = scan::object_in(part).ok().and_then(|part| part.str("text").map(Cow::into_owned));
                        text.push_str(&words.unwrap_or_default());
                    }
                }
                _ => {}
            }
            text.push('\n');
        }
        self.texts.push(text);
    }

    fn list(&mut self, scan: &Scan<'_>, key: &str) {
        if let Some(text) = scan.str(key) {
            self.texts.push(text.into_owned());
            return;
        }
        let elements = scan.value(key).map(|raw| scan::array_in(raw).unwrap_or_default()).unwrap_or_default();
        if elements.first().is_some_and(|(_, kind)| *kind == Kind::Number) {
            self.id_list(elements.len());
            return;
        }
        for (element, kind) in elements {
            match kind {
                Kind::String => self.texts.push(scan::decode(element).unwrap_or_default().into_owned()),
                Kind::Array => self.id_list(scan::array_in(element).map_or(0, |ids| ids.len())),
                _ => {}
            }
        }
    }

    fn id_list(&mut self, len: usize) {
        self.ids = self.ids.max(len as u64);
        self.all_ids += len as u64;
    }

    /// About how many tokens all of it is.
    pub(crate) fn estimate(&self) -> u64 {
        let texts: u64 = self.texts.iter().map(|text| tokens::estimate(text)).sum();
        texts + self.all_ids + self.messages * PER_MESSAGE
    }

    fn longest(&self) -> usize {
        self.texts.iter().map(String::len).max().unwrap_or(0)
    }

    /// The most tokens of any one prompt.
    fn count(&self, counter: &Counter) -> u64 {
        self.texts.iter().map(|text| counter.count(text)).max().unwrap_or(0)
    }
}

/// Tokens that one call of this deployment may have, as far as is known.
pub(crate) fn context(entry: &Entry) -> Option<u64> {
    let of_model = entry.version.as_ref().map(|version| version.context_length).filter(|length| *length > 0);
    entry.spec.context.or(of_model).map(u64::from)
}

/// Refuses a prompt that cannot fit, when that can be told from here; else the engine will tell.
pub(crate) async fn check(counts: &Arc<Counts>, call: &Call, prompts: Arc<Prompts>, entry: &Entry) -> Result<(), Error> {
    let Some(limit) = context(entry) else { return Ok(()) };
    let too_long = |tokens| Error::TooLong { model: entry.name.clone(), tokens, limit, param: param(call.ask.shape) };
    if prompts.ids > limit {
        return Err(too_long(prompts.ids));
    }
    // No vocabulary has tokens of less than a byte.
    if (prompts.longest() as u64) <= limit {
        return Ok(());
    }
    let Some(counter) = entry.version.as_ref().and_then(|version| counts.ready(&version.digest)) else {
        fetch(counts, entry);
        return Ok(());
    };
    let tokens = if prompts.longest() <= LONG {
        prompts.count(&counter)
    } else {
        tasks::blocking("count-tokens", move || prompts.count(&counter)).await.unwrap_or(0)
    };
    if tokens > limit { Err(too_long(tokens)) } else { Ok(()) }
}

/// Lets the model's counter be read for the calls to come; nobody waits for it.
fn fetch(counts: &Arc<Counts>, entry: &Entry) {
    let Some(version) = entry.version.clone() else { return };
    let counts = Arc::clone(counts);
    let reading = async move {
        let read = tasks::blocking("read-vocabulary", move || counts.read(&version.digest, &version.path)).await;
        if let Some(Err(error)) = read {
            tracing::debug!(error = base::chain(&error), "no token counts for this model");
        }
    };
    tasks::spawn("read-vocabulary", reading).detach();
}

fn param(shape: Shape) -> &'static str {
    match shape {
        Shape::Chat => "messages",
        Shape::Completions => "prompt",
        Shape::Embeddings => "input",
    }
}
