//! How long is the prompt of a call, in tokens?
//!
//! In: a scanned body; the model's counter if it is at hand. Out: an estimate for every call, made
//! without a copy of its text, and a true count where one is needed: for a caller whose tokens are
//! limited, and for a text that may be longer than the context. Fails: when it is. Holds: nothing;
//! counts run off the async threads, long ones in turns. Only text is counted, without the words that a chat
//! template adds, so a count over the limit is over the limit; what of tools gets into the prompt is estimated.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use base::tasks;
use board::Entry;
use spec::Version;
use tokens::{Counter, Counts, PIECE};
use wire::openai::Shape;
use wire::scan::{self, Kind, Member, Scan, Span};

use crate::Gateway;
use crate::call::Call;
use crate::error::Error;
use crate::tally::{self, Counted, Texts};

/// What a chat template puts around one message, about.
const PER_MESSAGE: u64 = 4;
/// Texts longer than this take more than half a millisecond to count.
const LONG: usize = 4 << 10;
/// Of longer texts, so much is looked at to estimate the rest.
const SAMPLE: usize = 32 << 10;

/// How much the prompts of a call are; a chat is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prompts {
    /// Tokens of all texts, about.
    texts: u64,
    /// Bytes of all texts, as they are written.
    bytes: usize,
    /// Bytes of the longest prompt.
    longest: usize,
    /// Tokens in lists of token ids, of the longest list.
    ids: u64,
    all_ids: u64,
    messages: u64,
    /// Tokens of what stands beside the texts, about.
    beside: u64,
}

/// What the model reads of a message: its content, and beside it its thoughts and the calls of tools.
const READ: [&str; 4] = ["content", "reasoning_content", "tool_calls", "function_call"];

/// A part of a prompt.
enum Piece {
    /// A message begins.
    Message,
    /// Here is a text as it is written, with its quotes.
    Text(Span),
    /// Here is what the template makes a text of, as it is written.
    Beside(Span),
    /// So many token ids.
    Ids(usize),
    /// The prompt ends.
    End,
}

/// Goes through the prompts of a body; a picture among them is not looked at.
fn each_piece(shape: Shape, scan: &Scan<'_>, take: &mut impl FnMut(Piece)) {
    match shape {
        Shape::Chat => chat(scan, take),
        Shape::Completions => list(scan, "prompt", take),
        Shape::Embeddings => list(scan, "input", take),
    }
}

fn chat(scan: &Scan<'_>, take: &mut impl FnMut(Piece)) {
    // What is no array of objects holds no text, and that is all there is to say of it here.
    let is_text = |member: &Member| member.kind == Kind::String;
    let [messages, tools, functions] = scan.pick(["messages", "tools", "functions"]);
    beside([tools, functions], take);
    if let Some(messages) = messages {
        let _ = scan.rows(messages.value_span, READ, |[content, more @ ..]| {
            take(Piece::Message);
            beside(more, take);
            match content {
                Some(content) if is_text(&content) => take(Piece::Text(content.value_span)),
                Some(content) if content.kind == Kind::Array => {
                    let _ = scan.rows(content.value_span, ["text"], |[text]| {
                        if let Some(text) = text.filter(is_text) {
                            take(Piece::Text(text.value_span));
                        }
                    });
                }
                _ => {}
            }
        });
    }
    take(Piece::End);
}

fn beside<const N: usize>(members: [Option<Member>; N], take: &mut impl FnMut(Piece)) {
    let said = members.into_iter().flatten().filter(|member| member.kind != Kind::Null);
    said.for_each(|member| take(Piece::Beside(member.value_span)));
}

fn list(scan: &Scan<'_>, key: &str, take: &mut impl FnMut(Piece)) {
    let Some(member) = scan.get(key) else { return };
    if member.kind == Kind::String {
        take(Piece::Text(member.value_span));
        return take(Piece::End);
    }
    let (mut first, mut count) = (None, 0);
    let _ = scan.each(member.value_span, |element, kind| {
        count += 1;
        if *first.get_or_insert(kind) == Kind::Number {
            return;
        }
        match kind {
            Kind::String => take(Piece::Text(element)),
            Kind::Array => take(Piece::Ids(length(scan, element))),
            _ => {}
        }
        take(Piece::End);
    });
    if first == Some(Kind::Number) {
        take(Piece::Ids(count));
    }
}

/// Of the array that lies here.
fn length(scan: &Scan<'_>, array: Span) -> usize {
    let mut length = 0;
    let _ = scan.each(array, |_, _| length += 1);
    length
}

/// A JSON string without its quotes.
fn unquoted(raw: &str) -> &str {
    raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw)
}

/// Of what lies here.
fn estimate(scan: &Scan<'_>, text: Span) -> u64 {
    let bytes = scan.bytes().get(text.start..text.end).unwrap_or_default();
    match bytes.get(..SAMPLE) {
        None => tokens::estimate(bytes),
        Some(start) => tokens::estimate(start).saturating_mul(bytes.len() as u64) / SAMPLE as u64,
    }
}

impl Prompts {
    /// Reads them from the body.
    pub(crate) fn of(shape: Shape, scan: &Scan<'_>) -> Self {
        let (mut prompts, mut this) = (Self::default(), 0_usize);
        each_piece(shape, scan, &mut |piece| match piece {
            Piece::Message => prompts.messages += 1,
            Piece::Text(raw) => {
                let text = Span { start: raw.start + 1, end: raw.end - 1 };
                this += text.len();
                prompts.bytes += text.len();
                prompts.texts += estimate(scan, text);
            }
            Piece::Beside(span) => prompts.beside += estimate(scan, span),
            Piece::Ids(len) => {
                prompts.ids = prompts.ids.max(len as u64);
                prompts.all_ids += len as u64;
            }
            Piece::End => prompts.longest = prompts.longest.max(std::mem::take(&mut this)),
        });
        prompts
    }

    /// About how many tokens all of it is.
    pub(crate) fn estimate(&self) -> u64 {
        self.with(self.texts)
    }

    fn with(&self, texts: u64) -> u64 {
        texts + self.beside + self.all_ids + self.messages * PER_MESSAGE
    }
}

/// Goes through the texts that count one by one, the template stands between them: those of a message are one. `None` ends a prompt.
fn each_text<'a>(shape: Shape, scan: &Scan<'a>, take: &mut impl FnMut(Option<Cow<'a, str>>)) {
    let mut text = Cow::Borrowed("");
    each_piece(shape, scan, &mut |piece| match piece {
        Piece::Text(raw) => {
            let raw = scan.at(raw);
            let more = scan::decode(raw).unwrap_or(Cow::Borrowed(unquoted(raw)));
            if text.is_empty() { text = more } else { text.to_mut().push_str(&more) }
        }
        Piece::Message | Piece::End => {
            if !text.is_empty() {
                take(Some(std::mem::take(&mut text)));
            }
            if matches!(piece, Piece::End) {
                take(None);
            }
        }
        Piece::Beside(_) | Piece::Ids(_) => {}
    });
}

/// Counts the texts of a body, of which none is longer than a piece.
fn count(shape: Shape, scan: &Scan<'_>, counter: &Counter) -> Counted {
    let mut counted = Counted::default();
    each_text(shape, scan, &mut |text| match text {
        Some(text) => counted.add(counter.count_start(&text).0),
        None => counted.end_prompt(),
    });
    counted
}

/// Counts those of a long one, until one of its prompts has more tokens than this.
async fn count_long(gateway: &Gateway, call: &Call, counter: Arc<Counter>, limit: Option<u64>) -> Option<Counted> {
    let (turns, caller) = (gateway.turns(), &*call.caller);
    let (shape, body) = (call.ask.shape, call.body.clone());
    let read = move || {
        let scan = scan::object(&body).ok()?;
        let mut texts = Texts::new();
        each_text(shape, &scan, &mut |text| texts.push_back(text.map(Cow::into_owned)));
        Some(texts)
    };
    let texts = turns.take(caller, read).await.flatten()?;
    tally::count(turns, caller, counter, texts, limit).await
}

/// Tokens that one call of this deployment may have, as far as is known.
pub(crate) fn context(entry: &Entry) -> Option<u64> {
    entry.spec.context_with(entry.version.as_deref()).map(u64::from)
}

/// The tokens of all prompts: counted if that is asked for and the model's counter is at hand, else
/// estimated. Refuses a prompt that cannot fit, when that can be told from here; else the engine will tell.
pub(crate) async fn measure(gateway: &Gateway, call: &Call, prompts: &Prompts, entry: &Entry, exact: bool) -> Result<u64, Error> {
    let limit = context(entry);
    let check = |tokens| match limit {
        Some(limit) if tokens > limit => Err(Error::TooLong { model: entry.name.clone(), tokens, limit, param: param(call.ask.shape) }),
        _ => Ok(()),
    };
    check(prompts.ids)?;
    // No vocabulary has tokens of less than a byte.
    let may_be_too_long = limit.is_some_and(|limit| prompts.longest as u64 > limit);
    if prompts.bytes == 0 || !(exact || may_be_too_long) {
        return Ok(prompts.estimate());
    }
    let counts = gateway.counts();
    let Some(counter) = entry.version.as_ref().and_then(|version| counts.ready(&version.prompt_key())) else {
        fetch(counts, entry);
        return Ok(prompts.estimate());
    };
    let shape = call.ask.shape;
    let counted = if prompts.bytes <= LONG {
        Some(count(shape, &call.scan(), &counter))
    } else if prompts.bytes <= PIECE {
        let body = call.body.clone();
        let work = move || scan::object(&body).map(|scan| count(shape, &scan, &counter)).ok();
        tasks::blocking("count-tokens", work).await.flatten()
    } else {
        Box::pin(count_long(gateway, call, counter, limit)).await
    };
    let Some(counted) = counted else { return Ok(prompts.estimate()) };
    check(counted.longest)?;
    Ok(prompts.with(counted.all))
}

/// Lets the model's counter be read for the calls to come; nobody waits for it.
fn fetch(counts: &Arc<Counts>, entry: &Entry) {
    let Some(version) = entry.version.clone().filter(|version| !counts.was_asked(&version.prompt_key())) else { return };
    let counts = Arc::clone(counts);
    let reading = async move {
        let read = tasks::blocking("read-vocabulary", move || read(&counts, &version)).await;
        if let Some(Err(error)) = read {
            tracing::debug!(error = base::chain(&error), "no token counts for this model");
        }
    };
    tasks::spawn("read-vocabulary", reading).detach();
}

/// The counter of a version, with the chat template that it is served with. Blocks.
pub(crate) fn read(counts: &Counts, version: &Version) -> Result<Arc<Counter>, tokens::Error> {
    counts.read_with(&version.prompt_key(), &version.path, version.contents.serving.chat_template.as_deref())
}

fn param(shape: Shape) -> &'static str {
    match shape {
        Shape::Chat => "messages",
        Shape::Completions => "prompt",
        Shape::Embeddings => "input",
    }
}
