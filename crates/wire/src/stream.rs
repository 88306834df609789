//! What must the client see of an engine's stream?
//!
//! In: the engine's bytes, and what the client asked for ([`Wish`]). Out: events, byte for byte as they came unless one
//! of these rules changes them; a [`Summary`] for the account. Fails: on an event over the limit. Holds: the event in progress
//! and the last usage. The rules:
//!
//! - the client did not ask for usage: chunks that only carry it go, `usage` on other chunks goes;
//! - it did ask: every chunk has `"usage":null` and one last chunk has `"choices":[]` and the usage, wherever
//!   the engine put it, however often;
//! - `finish_reason` `""` becomes null; `role` stays in the first delta of a choice only; `logprobs.content` is a list;
//! - pieces of tool calls have an `index`, and `id`, `type` and `name` in the first piece only;
//! - on the completions path `delta.content` becomes `text`;
//! - exactly one `[DONE]`, also when the engine leaves it out after its finish reasons;
//! - an error event ends the stream, without `[DONE]`; nothing after it is let through.
//!
//! An event that is not JSON is let through as it is. Most events of a stream are one token in a wrapping that
//! needs nothing done: seven substring searches tell, and only the others are parsed.

mod calls;
mod edit;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::Error;
use crate::chunk::Chunk;
pub use crate::chunk::Summary;
use crate::openai::usage::Tally;
use crate::openai::{Shape, Usage, error};
use crate::sse::{self, Frame, Scanner};
use calls::Calls;

/// What the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// It wants the usage in the stream.
    pub usage: bool,
    /// Which call it made.
    pub shape: Shape,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; the client has its `[DONE]`.
    Done,
    /// With an error event from the engine, which the client has.
    Failed,
    /// Before the engine said why; the client still has to be told.
    Cut,
}

/// Turns an engine's stream into the client's.
#[derive(Debug)]
pub struct Filter {
    wish: Wish,
    scanner: Scanner,
    frames: Vec<Frame>,
    summary: Summary,
    tally: Tally,
    /// Choices whose role the client has.
    roles: BTreeSet<u64>,
    calls: Calls,
    /// The chunk from which a last chunk with the usage can be made.
    model_chunk: Option<Bytes>,
    prompt_estimate: Option<u64>,
    ended: Option<Outcome>,
}

/// The words that make an event worth parsing.
#[derive(Debug)]
struct Marks {
    usage: Finder<'static>,
    error: Finder<'static>,
    role: Finder<'static>,
    finish: Finder<'static>,
    first_choice: Finder<'static>,
    calls: Finder<'static>,
    logprobs: Finder<'static>,
}

impl Filter {
    /// A filter at the start of a stream.
    pub fn new(wish: Wish) -> Self {
        Self {
            wish,
            scanner: Scanner::default(),
            frames: Vec::new(),
            summary: Summary::default(),
            tally: Tally::default(),
            roles: BTreeSet::new(),
            calls: Calls::default(),
            model_chunk: None,
            prompt_estimate: None,
            ended: None,
        }
    }

    /// Tells it of how many prompts the call is.
    #[must_use]
    pub fn prompts(mut self, prompts: u64) -> Self {
        self.tally.of_prompts(prompts);
        self
    }

    /// Gives the filter our own count of the prompt, for a client that wants a usage from an engine that sends none.
    #[must_use]
    pub fn prompt_estimate(mut self, tokens: u64) -> Self {
        self.prompt_estimate = Some(tokens);
        self
    }

    /// What the stream has brought so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// How it ended, once it has: after that nothing more comes out.
    pub fn ended(&self) -> Option<Outcome> {
        self.ended
    }

    /// Takes bytes from the engine; puts what the client must see into `out`, one item for each event.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), Error> {
        let mut frames = std::mem::take(&mut self.frames);
        let scanned = self.scanner.push(chunk, &mut frames);
        for frame in frames.drain(..) {
            self.frame(&frame, out)?;
        }
        self.frames = frames;
        scanned
    }

    /// The engine has closed its stream.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Outcome {
        if let Ok(Some(frame)) = self.scanner.finish()
            && self.frame(&frame, out).is_err()
        {
            self.ended.get_or_insert(Outcome::Cut);
        }
        if self.ended.is_none() && self.summary.is_finished() {
            self.close(out);
        }
        *self.ended.get_or_insert(Outcome::Cut)
    }

    fn frame(&mut self, frame: &Frame, out: &mut Vec<Bytes>) -> Result<(), Error> {
        if self.ended.is_some() || frame.is_blank() {
            return Ok(());
        }
        if frame.is_done() {
            self.summary.done = true;
            self.close(out);
        } else if frame.event.as_deref() == Some(b"error") {
            self.fail(&frame.data, out);
        } else if self.is_plain(frame) {
            self.summary.content_frames += 1;
            out.push(if self.wish.usage { edit::with_null_usage(&frame.data) } else { frame.to_wire() });
        } else {
            self.parsed(frame, out)?;
        }
        Ok(())
    }

    /// True for a token in its wrapping: nothing in it has to be noted or changed.
    fn is_plain(&self, frame: &Frame) -> bool {
        let data = frame.data.as_ref();
        let Marks { usage, error, role, finish, first_choice, calls, logprobs } = &*MARKS;
        let has = |mark: &Finder<'_>| mark.find(data).is_some();
        self.wish.shape == Shape::Chat
            && self.summary.finish_reasons.contains_key(&0)
            && data.first() == Some(&b'{')
            && data.last() == Some(&b'}')
            && frame.event.is_none()
            && memchr::memchr(b'\n', data).is_none()
            && has(first_choice)
            && !has(usage)
            && !has(error)
            && !has(role)
            && !has(calls)
            && logprobs.find(data).is_none_or(|at| is_null_after(data.get(at + LOGPROBS.len()..).unwrap_or_default()))
            && finish.find_iter(data).all(|at| is_null_after(data.get(at + FINISH.len()..).unwrap_or_default()))
    }

    fn parsed(&mut self, frame: &Frame, out: &mut Vec<Bytes>) -> Result<(), Error> {
        let Ok(chunk) = Chunk::read(&frame.data) else {
            out.push(frame.to_wire());
            return Ok(());
        };
        if chunk.error.is_some() {
            self.fail(&frame.data, out);
            return Ok(());
        }
        self.summary.note(&chunk, &mut self.tally)?;
        let only_usage = chunk.choices.is_empty() && chunk.usage.is_some();
        if only_usage || !chunk.choices.is_empty() {
            self.model_chunk = Some(frame.data.clone());
        }
        if !only_usage {
            out.push(match edit::chunk(&chunk, self.wish, &self.roles, &mut self.calls) {
                Some(text) => frame.to_wire_with(text),
                None => frame.to_wire(),
            });
            self.roles.extend(chunk.choices.iter().filter(|choice| edit::has_role(choice)).map(|choice| choice.index));
        }
        Ok(())
    }

    fn fail(&mut self, data: &Bytes, out: &mut Vec<Bytes>) {
        self.summary.error = true;
        self.ended = Some(Outcome::Failed);
        out.push(sse::event(error::relay(data)));
    }

    /// The usage that is owed, then the end.
    fn close(&mut self, out: &mut Vec<Bytes>) {
        if self.wish.usage
            && let Some(usage) = self.usage_text()
        {
            out.push(sse::event(edit::last_chunk(self.model_chunk.as_deref().unwrap_or(b"{}"), self.wish.shape, &usage)));
        }
        out.push(Bytes::from_static(sse::DONE));
        self.ended = Some(Outcome::Done);
    }

    /// The engine's usage, else our estimate if we were given one.
    fn usage_text(&self) -> Option<String> {
        if let Some((_, text)) = self.tally.total(self.summary.finish_reasons.len()) {
            return Some(text);
        }
        Some(Usage::new(self.prompt_estimate?, self.summary.content_frames).to_json())
    }
}

const FINISH: &str = "\"finish_reason\"";
const LOGPROBS: &str = "\"logprobs\"";

/// Made once: a stream holds none of its own.
static MARKS: LazyLock<Marks> = LazyLock::new(Marks::new);

impl Marks {
    fn new() -> Self {
        Self {
            usage: Finder::new("\"usage\""),
            error: Finder::new("\"error\""),
            role: Finder::new("\"role\""),
            finish: Finder::new(FINISH),
            first_choice: Finder::new("\"index\":0"),
            calls: Finder::new("\"tool_calls\""),
            logprobs: Finder::new(LOGPROBS),
        }
    }
}

/// True when a key's colon and `null` follow.
fn is_null_after(rest: &[u8]) -> bool {
    rest.trim_ascii_start().strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
}
