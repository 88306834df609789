//! How does an engine's stream become one reply?
//!
//! In: the bytes of a stream; the client asked for none. Out: the reply that the engine would have sent without one, no field lost.
//! Fails: with the engine's error, or when the stream ends early. Holds: what has come so far, bounded by
//! [`REPLY_LIMIT`]. Strings are joined as they are written, escapes and all, so nothing is decoded and encoded again:
//! big integers, `\u0000` and surrogates split over two events survive.
//!
//! What of two events becomes of one member is the table in `rule.rs`. Choices read `index`, `message` or
//! `text`, `logprobs`, `finish_reason`, then what else the engine sent; `content`, `refusal` and `logprobs` are there even if
//! null, as OpenAI's description wants.

mod node;
mod reply;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Error;
use crate::chunk::{Choice, Chunk, Summary};
use crate::openai::usage::Tally;
use crate::openai::{Shape, Usage, error};
use crate::scan::Kind;
use crate::sse::{Frame, Scanner};
use node::Fields;
use rule::Place;

/// The most bytes of choices that one reply may be made of.
pub const REPLY_LIMIT: usize = 256 << 20;

/// Gathers a stream.
#[derive(Debug)]
pub struct Fold {
    shape: Shape,
    scanner: Scanner,
    summary: Summary,
    tally: Tally,
    top: Fields,
    choices: BTreeMap<u64, Fields>,
    size: usize,
    prompt_estimate: Option<u64>,
}

impl Fold {
    /// Nothing gathered yet.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            scanner: Scanner::default(),
            summary: Summary::default(),
            tally: Tally::default(),
            top: Fields::default(),
            choices: BTreeMap::new(),
            size: 0,
            prompt_estimate: None,
        }
    }

    /// Tells it of how many prompts the call is.
    #[must_use]
    pub fn prompts(mut self, prompts: u64) -> Self {
        self.tally.of_prompts(prompts);
        self
    }

    /// Gives the fold our own count of the prompt, for an engine that sends no usage.
    #[must_use]
    pub fn prompt_estimate(mut self, tokens: u64) -> Self {
        self.prompt_estimate = Some(tokens);
        self
    }

    /// Which kind of reply it will be.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What the stream has brought so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes bytes from the engine.
    pub fn push(&mut self, chunk: &Bytes) -> Result<(), Error> {
        let mut frames = Vec::new();
        let scanned = self.scanner.push(chunk, &mut frames);
        for frame in &frames {
            self.frame(frame)?;
        }
        scanned
    }

    /// The engine has closed its stream, or sent `[DONE]`: the reply.
    pub fn finish(&mut self) -> Result<Bytes, Error> {
        if let Some(frame) = self.scanner.finish()? {
            self.frame(&frame)?;
        }
        if self.summary.error || !(self.summary.is_finished() || self.summary.done && !self.choices.is_empty()) {
            return Err(Error::Cut);
        }
        Ok(Bytes::from(reply::write(self.shape, &self.top, &self.choices, self.usage_text().as_deref())))
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), Error> {
        if self.summary.done || frame.is_blank() {
            return Ok(());
        }
        if frame.is_done() {
            self.summary.done = true;
            return Ok(());
        }
        if frame.event.as_deref() == Some(b"error") {
            return Err(self.engine_error(&frame.data));
        }
        let chunk = Chunk::read(&frame.data).map_err(Error::Event)?;
        if chunk.error.is_some() {
            return Err(self.engine_error(&frame.data));
        }
        self.summary.note(&chunk, &mut self.tally)?;
        for member in chunk.scan.members() {
            if !["choices", "usage", "object"].iter().any(|key| chunk.scan.is(*member, key)) {
                self.top.merge(Place::Top, &chunk.scan, *member);
            }
        }
        chunk.choices.iter().try_for_each(|choice| self.choice(choice))
    }

    fn choice(&mut self, choice: &Choice<'_>) -> Result<(), Error> {
        self.size = self.size.saturating_add(choice.scan.text().len());
        if self.size > REPLY_LIMIT {
            return Err(Error::ReplyTooLarge { limit: REPLY_LIMIT });
        }
        let fields = self.choices.entry(choice.index).or_default();
        for member in choice.scan.members() {
            let empty_reason = choice.scan.is(*member, "finish_reason") && choice.finish.is_none();
            let mixed = self.shape == Shape::Completions && choice.scan.is(*member, "delta");
            if !empty_reason && !mixed {
                fields.merge(Place::Choice, &choice.scan, *member);
            }
        }
        // Engines that answer the completions path with a delta.
        if self.shape == Shape::Completions
            && let Some(delta) = &choice.delta
            && let Some(content) = delta.get("content").filter(|member| member.kind == Kind::String)
        {
            fields.join("\"text\"", delta.raw(content));
        }
        Ok(())
    }

    fn engine_error(&mut self, data: &Bytes) -> Error {
        self.summary.error = true;
        Error::Engine { body: error::relay(data) }
    }

    fn usage_text(&self) -> Option<String> {
        if let Some((_, text)) = self.tally.total(self.summary.finish_reasons.len()) {
            return Some(text);
        }
        Some(Usage::new(self.prompt_estimate?, self.summary.content_frames).to_json())
    }
}
