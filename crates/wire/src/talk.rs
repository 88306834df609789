//! What does a chat say, in whatever manner its client wants to read it?
//!
//! In: the engine's stream, of chat or of completions; the prompt's length as far as we know it. Out: the calls of a
//! [`Codec`], which writes for one kind of client: the answer begins, blocks (reasoning, text, tool calls) open, grow
//! and close one after the other, the answer ends. Fails: with the engine's error, or when the stream ends early.
//! Holds: what was said so far, up to [`TALK_LIMIT`], since most clients want it once more at the end.
//!
//! One block is open at a time, as Anthropic's clients need it. Engines write parallel tool calls one after the other,
//! but nothing holds them to it: what belongs to a later block waits until the call before it is complete JSON.

mod blocks;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::Error;
use crate::chunk::{Choice, Chunk, Summary};
use crate::openai::usage::Tally;
use crate::openai::{Usage, error};
use crate::scan::{self, Kind, Scan};
use crate::sse::{Frame, Scanner};
use blocks::Blocks;
pub use blocks::{Block, Part};

/// The most bytes of text that one answer may have.
pub const TALK_LIMIT: usize = 64 << 20;

/// Where a codec writes, and when: the time since the call came.
#[derive(Debug)]
pub struct To<'a> {
    /// Since the call came.
    pub now: Duration,
    /// One item for each event or line.
    pub out: &'a mut Vec<Bytes>,
}

/// How an answer ended.
#[derive(Debug)]
pub struct End<'a> {
    /// The engine's `finish_reason`.
    pub reason: &'a str,
    /// The text at which it stopped, from engines that tell.
    pub stop: Option<&'a str>,
    /// Tokens, counted by the engine if it does.
    pub usage: Usage,
    /// All that was said.
    pub blocks: &'a [Block],
    /// Time spent on the prompt, by the engine's clock if it tells.
    pub prompt_time: Duration,
    /// Time spent on the answer, likewise.
    pub answer_time: Duration,
}

impl End<'_> {
    /// True when a tool is to be called.
    pub fn calls_tools(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block.part, Part::Call { .. }))
    }
}

/// Why an answer broke off.
#[derive(Debug, Clone, Copy)]
pub struct Trouble<'a> {
    /// The status that it would have had.
    pub status: u16,
    /// A code that programs test for.
    pub code: Option<&'a str>,
    /// For people.
    pub message: &'a str,
}

/// Writes an answer in one client's manner: as it comes, or, for a client that wants no stream, as one item at the end.
pub trait Codec: fmt::Debug + Send {
    /// The engine has begun to answer a prompt of so many tokens.
    fn begin(&mut self, prompt: u64, to: &mut To<'_>);
    /// A block begins.
    fn open(&mut self, block: &Block, to: &mut To<'_>);
    /// The open block grows by this text, which stands in it already.
    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>);
    /// The open block is complete.
    fn close(&mut self, block: &Block, to: &mut To<'_>);
    /// The answer is complete.
    fn end(&mut self, end: &End<'_>, to: &mut To<'_>);
    /// The last words of an answer that broke off after it had begun.
    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes;
}

/// Lets a codec tell what an engine says.
#[derive(Debug)]
pub struct Talk {
    codec: Box<dyn Codec>,
    scanner: Scanner,
    frames: Vec<Frame>,
    summary: Summary,
    tally: Tally,
    blocks: Blocks,
    prompt: u64,
    begun: bool,
    stop: Option<String>,
    /// When the first word came.
    first: Option<Duration>,
    /// The engine's own times.
    times: Option<(Duration, Duration)>,
}

impl Talk {
    /// At the start of an answer to a prompt of about so many tokens; `seed` makes ids for tool calls that have none.
    pub fn new(codec: Box<dyn Codec>, prompt_estimate: u64, seed: &str) -> Self {
        Self {
            codec,
            scanner: Scanner::default(),
            frames: Vec::new(),
            summary: Summary::default(),
            tally: Tally::default(),
            blocks: Blocks::new(seed),
            prompt: prompt_estimate,
            begun: false,
            stop: None,
            first: None,
            times: None,
        }
    }

    /// What the stream has brought so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes bytes from the engine.
    pub fn push(&mut self, chunk: &Bytes, to: &mut To<'_>) -> Result<(), Error> {
        let mut frames = std::mem::take(&mut self.frames);
        let scanned = self.scanner.push(chunk, &mut frames);
        for frame in frames.drain(..) {
            self.frame(&frame, to)?;
        }
        self.frames = frames;
        scanned
    }

    /// The engine has closed its stream, or sent `[DONE]`.
    pub fn finish(&mut self, to: &mut To<'_>) -> Result<(), Error> {
        if let Some(frame) = self.scanner.finish()? {
            self.frame(&frame, to)?;
        }
        if self.summary.error || !(self.summary.is_finished() || self.summary.done && self.begun) {
            return Err(Error::Cut);
        }
        let reason = self.summary.finish_reasons.get(&0).and_then(Option::as_deref).unwrap_or("stop");
        self.blocks.end(is_cut(reason), self.codec.as_mut(), to);
        let first = self.first.unwrap_or(to.now);
        let (prompt_time, answer_time) = self.times.unwrap_or((first, to.now.saturating_sub(first)));
        let counted = self.tally.total(1).map(|(usage, _)| usage);
        let end = End {
            reason,
            stop: self.stop.as_deref(),
            usage: counted.unwrap_or_else(|| Usage::new(self.prompt, self.summary.content_frames)),
            blocks: self.blocks.all(),
            prompt_time,
            answer_time,
        };
        self.codec.end(&end, to);
        Ok(())
    }

    /// The last words of an answer that broke off.
    pub fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        self.codec.broken(trouble)
    }

    fn frame(&mut self, frame: &Frame, to: &mut To<'_>) -> Result<(), Error> {
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
        self.begin(&chunk, to);
        self.times = times(&chunk.scan).or(self.times);
        self.stop = stopping_word(&chunk.scan).or(self.stop.take());
        for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
            self.choice(choice, to)?;
        }
        Ok(())
    }

    /// The first event may tell how long the prompt is: by its usage, or by llama-server's progress.
    fn begin(&mut self, chunk: &Chunk<'_>, to: &mut To<'_>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let progress = chunk.scan.object("prompt_progress").and_then(|progress| progress.u64("total"));
        let usage = chunk.usage.and_then(Usage::parse).map(|usage| usage.prompt);
        self.prompt = progress.or(usage).unwrap_or(self.prompt);
        self.codec.begin(self.prompt, to);
    }

    fn choice(&mut self, choice: &Choice<'_>, to: &mut To<'_>) -> Result<(), Error> {
        if let Some(stop) = choice.scan.str("stop_reason") {
            self.stop = Some(stop.into_owned());
        }
        let reasoning = choice.delta.as_ref().and_then(|delta| ["reasoning_content", "reasoning"].iter().find_map(|key| text(delta, key)));
        if let Some(thought) = reasoning {
            self.first.get_or_insert(to.now);
            self.blocks.say(Part::Reasoning, &decode(thought));
        }
        if let Some(said) = choice.text().filter(|said| *said != "\"\"") {
            self.first.get_or_insert(to.now);
            self.blocks.say(Part::Text, &decode(said));
        }
        if let Some(calls) = choice.delta.as_ref().and_then(|delta| delta.value("tool_calls")).filter(|calls| calls.starts_with('[')) {
            self.first.get_or_insert(to.now);
            for (fragment, _) in scan::array_in(calls).map_err(Error::Event)? {
                if let Ok(fragment) = scan::object_in(fragment) {
                    self.blocks.call(&fragment);
                }
            }
        }
        if self.blocks.size() > TALK_LIMIT {
            return Err(Error::ReplyTooLarge { limit: TALK_LIMIT });
        }
        self.blocks.tell(self.codec.as_mut(), to);
        Ok(())
    }
}

/// Whether what is said ends for another reason than that all is said.
fn is_cut(reason: &str) -> bool {
    matches!(reason, "length" | "content_filter")
}

/// A string member that says something, as it is written.
fn text<'a>(scan: &Scan<'a>, key: &str) -> Option<&'a str> {
    scan.get(key).filter(|member| member.kind == Kind::String).map(|member| scan.raw(member)).filter(|raw| *raw != "\"\"")
}

/// The text of a JSON string; half of a surrogate pair, which some engines cut, becomes U+FFFD.
fn decode(raw: &str) -> Cow<'_, str> {
    const ESCAPE: usize = r"\ud83d".len();
    scan::decode(raw).unwrap_or_else(|| {
        let mut whole = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find('\\') {
            let (before, escape) = rest.split_at(at);
            whole.push_str(before);
            let half = matches!(escape.as_bytes(), [_, b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
            let length = if half { ESCAPE } else { 2 };
            whole.push_str(if half { r"\ufffd" } else { escape.get(..length).unwrap_or_default() });
            rest = escape.get(length..).unwrap_or_default();
        }
        whole.push_str(rest);
        Cow::Owned(scan::decode(&whole).unwrap_or_default().into_owned())
    })
}

/// The text at which llama-server stopped, where it is asked for that.
fn stopping_word(chunk: &Scan<'_>) -> Option<String> {
    let word = chunk.object("__verbose")?.str("stopping_word")?;
    (!word.is_empty()).then(|| word.into_owned())
}

/// llama-server's times: for the prompt, for the answer.
fn times(chunk: &Scan<'_>) -> Option<(Duration, Duration)> {
    const PER_SECOND: f64 = 1000.0;
    let timings = chunk.object("timings")?;
    let ms = |key| Duration::try_from_secs_f64(timings.value(key)?.parse::<f64>().ok()? / PER_SECOND).ok();
    Some((ms("prompt_ms")?, ms("predicted_ms")?))
}
