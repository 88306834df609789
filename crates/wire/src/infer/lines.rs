//! The lines of an answer to `/infer`.
//!
//! In: the engine's stream. Out: lines. Fails: with the engine's error, or when the stream ends early; nothing has been
//! written for that, the caller ends with [`error_line`]. Holds: the text so far, as JSON wrote it.

use std::time::Duration;

use bytes::Bytes;

use crate::Error;
use crate::chunk::{Choice, Chunk, Summary};
use crate::fold::REPLY_LIMIT;
use crate::openai::usage::Tally;
use crate::openai::{Usage, error};
use crate::scan;
use crate::splice::quote;
use crate::sse::{Frame, Scanner};

/// Turns an engine's stream, of completions or of chat, into lines.
#[derive(Debug)]
pub struct Lines {
    stream: bool,
    scanner: Scanner,
    summary: Summary,
    tally: Tally,
    content: String,
    prompt_estimate: Option<u64>,
}

/// The line that ends an answer which has begun but cannot go on.
pub fn error_line(message: &str, code: u16) -> Bytes {
    Bytes::from(format!("{{\"error\":{},\"code\":{code},\"done\":true}}\n", quote(message)))
}

/// The body of an answer that never began.
pub fn error_body(message: &str, code: u16) -> Bytes {
    Bytes::from(format!("{{\"error\":{},\"code\":{code}}}\n", quote(message)))
}

impl Lines {
    /// At the start of an answer; `stream` is what the client wants.
    pub fn new(stream: bool) -> Self {
        Self {
            stream,
            scanner: Scanner::default(),
            summary: Summary::default(),
            tally: Tally::default(),
            content: String::new(),
            prompt_estimate: None,
        }
    }

    /// Gives our own count of the prompt, for an engine that sends no usage.
    #[must_use]
    pub fn prompt_estimate(mut self, tokens: u64) -> Self {
        self.prompt_estimate = Some(tokens);
        self
    }

    /// What the stream has brought so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes bytes from the engine; puts a line for each piece of text into `out`.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), Error> {
        let mut frames = Vec::new();
        let scanned = self.scanner.push(chunk, &mut frames);
        for frame in &frames {
            self.frame(frame, out)?;
        }
        scanned
    }

    /// The engine has closed its stream, or sent `[DONE]`: text that came last, then the last line.
    pub fn finish(&mut self, took: Duration, out: &mut Vec<Bytes>) -> Result<(), Error> {
        if let Some(frame) = self.scanner.finish()? {
            self.frame(&frame, out)?;
        }
        if self.summary.error || !(self.summary.is_finished() || self.summary.done) {
            return Err(Error::Cut);
        }
        out.push(self.last_line(took));
        Ok(())
    }

    fn frame(&mut self, frame: &Frame, out: &mut Vec<Bytes>) -> Result<(), Error> {
        if self.summary.done || frame.is_blank() {
            return Ok(());
        }
        if frame.is_done() {
            self.summary.done = true;
            return Ok(());
        }
        let is_error = frame.event.as_deref() == Some(b"error");
        let chunk = Chunk::read(&frame.data).map_err(Error::Event)?;
        if is_error || chunk.error.is_some() {
            self.summary.error = true;
            return Err(Error::Engine { body: error::relay(&frame.data) });
        }
        self.summary.note(&chunk, &mut self.tally)?;
        for text in chunk.choices.iter().filter_map(Choice::text).filter(|text| *text != "\"\"") {
            if self.content.len() + text.len() > REPLY_LIMIT {
                return Err(Error::ReplyTooLarge { limit: REPLY_LIMIT });
            }
            self.content.push_str(scan::inside(text));
            if self.stream {
                out.push(Bytes::from(format!("{{\"token\":{text},\"done\":false}}\n")));
            }
        }
        Ok(())
    }

    fn last_line(&self, took: Duration) -> Bytes {
        let counted = self.tally.total(self.summary.finish_reasons.len()).map(|(usage, _)| usage);
        let usage = counted.unwrap_or_else(|| Usage::new(self.prompt_estimate.unwrap_or(0), self.summary.content_frames));
        let reason = self.summary.finish_reasons.values().flatten().next();
        Bytes::from(format!(
            "{{\"done\":true,\"content\":\"{}\",\"finish_reason\":{},\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{},\
             \"total_tokens\":{}}},\"stats\":{{\"duration_ms\":{}}}}}\n",
            self.content,
            reason.map_or_else(|| "null".to_owned(), |reason| quote(reason)),
            usage.prompt,
            usage.completion,
            usage.total,
            took.as_millis(),
        ))
    }
}
