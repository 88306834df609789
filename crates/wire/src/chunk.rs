//! What does one event of an engine's stream say?
//!
//! In: the data of an event. Out: its choices, usage and error as views into the data. Fails: when the data is not a JSON
//! object. [`Summary`] is what all events so far amount to; the gateway's account is written from it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Error;
use crate::openai::Usage;
use crate::openai::usage::Tally;
use crate::scan::{self, Kind, Scan};

/// More choices than this in one stream are refused.
pub const MAX_CHOICES: usize = 1024;

/// What a stream has brought so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// For each choice that has begun, why it ended, once it has.
    pub finish_reasons: BTreeMap<u64, Option<String>>,
    /// The engine's own count.
    pub usage: Option<Usage>,
    /// The engine sent an error.
    pub error: bool,
    /// The engine sent `[DONE]`.
    pub done: bool,
    /// Events that carried something the model made; about one for each token.
    pub content_frames: u64,
}

impl Summary {
    /// True when at least one choice has begun and none is still open.
    pub fn is_finished(&self) -> bool {
        !self.finish_reasons.is_empty() && self.finish_reasons.values().all(Option::is_some)
    }

    /// Notes what an event says.
    pub(crate) fn note(&mut self, chunk: &Chunk<'_>, tally: &mut Tally) -> Result<(), Error> {
        for choice in &chunk.choices {
            let reason = self.finish_reasons.entry(choice.index).or_default();
            if let Some(finish) = &choice.finish {
                *reason = Some(finish.to_string());
            }
        }
        if self.finish_reasons.len() > MAX_CHOICES {
            return Err(Error::TooManyChoices { limit: MAX_CHOICES });
        }
        if chunk.choices.iter().any(Choice::has_content) {
            self.content_frames += 1;
        }
        if let Some(usage) = chunk.usage {
            tally.note(usage, chunk.choices.iter().map(|choice| choice.index));
            self.usage = tally.total(self.finish_reasons.len()).map(|(usage, _)| usage);
        }
        Ok(())
    }
}

/// One event.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Its members.
    pub scan: Scan<'a>,
    /// Its choices, in their order.
    pub choices: Vec<Choice<'a>>,
    /// Its usage, if there is one that is not null.
    pub usage: Option<&'a str>,
    /// Its error, if there is one that is not null.
    pub error: Option<&'a str>,
}

/// One choice of an event.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Its members.
    pub scan: Scan<'a>,
    /// Which choice it is; 0 if it does not say.
    pub index: u64,
    /// Why it ends, if this event ends it.
    pub finish: Option<Cow<'a, str>>,
    /// The members of its delta, on the chat path.
    pub delta: Option<Scan<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads the data of an event.
    pub fn read(data: &'a [u8]) -> Result<Self, scan::Error> {
        let scan = scan::object(data)?;
        let not_null = |key| scan.get(key).filter(|member| member.kind != Kind::Null).map(|member| scan.raw(member));
        let (usage, error) = (not_null("usage"), not_null("error"));
        let mut choices = Vec::new();
        if let Some(member) = scan.get("choices").filter(|member| member.kind == Kind::Array) {
            for (text, kind) in scan::array_in(scan.raw(member))? {
                if kind == Kind::Object {
                    choices.push(Choice::read(scan::object_in(text)?));
                }
            }
        }
        Ok(Self { scan, choices, usage, error })
    }
}

impl<'a> Choice<'a> {
    fn read(scan: Scan<'a>) -> Self {
        let index = scan.u64("index").unwrap_or(0);
        let finish = scan.str("finish_reason").filter(|reason| !reason.is_empty());
        let delta = scan.object("delta");
        Self { scan, index, finish, delta }
    }

    /// The text that this event adds, as a JSON string: `text`, or `delta.content` from engines that mix the two.
    pub fn text(&self) -> Option<&'a str> {
        let string = |scan: &Scan<'a>, key| scan.get(key).filter(|member| member.kind == Kind::String).map(|member| scan.raw(member));
        string(&self.scan, "text").or_else(|| string(self.delta.as_ref()?, "content"))
    }

    /// True when it carries something the model made: text, reasoning, a tool call.
    fn has_content(&self) -> bool {
        let says = |raw: &str| !matches!(raw, "null" | "\"\"" | "[]" | "{}");
        let in_delta = self
            .delta
            .as_ref()
            .is_some_and(|delta| delta.members().iter().any(|member| !delta.is(*member, "role") && says(delta.raw(*member))));
        in_delta || self.scan.value("text").is_some_and(says)
    }
}
