//! How many tokens did a call take, by the engine's own count?
//!
//! In: the `usage` members of replies and stream events. Out: one [`Usage`]. Fails: where a whole reply is none; what is not a
//! usage is none. Engines differ: one usage at the end, one on the last chunk of each choice, or one usage-only chunk for
//! each choice (llama-server with `n` over 1 or several prompts, each choice with the tokens of its own prompt); `Tally` makes
//! one of them all.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Error;
use crate::openai::error;
use crate::scan::{self, Kind, Member, Scan};

/// Token counts of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens in, cached ones included; 0 where the engine does not say.
    pub prompt: u64,
    /// Tokens out, reasoning included.
    pub completion: u64,
    /// Both.
    pub total: u64,
    /// Of the tokens in, those that the engine had cached, and no more.
    pub cached: u64,
    /// Of the tokens out, those of reasoning, where the engine says so.
    pub reasoning: u64,
}

impl Usage {
    /// From counts of one's own.
    pub fn new(prompt: u64, completion: u64) -> Self {
        Self { prompt, completion, total: prompt.saturating_add(completion), cached: 0, reasoning: 0 }
    }

    /// Reads the text of a `usage` member.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text.as_bytes())
    }

    fn read(body: &[u8]) -> Option<Self> {
        let names = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"];
        let [prompt, completion, total, of_prompt, of_completion] = scan::pick(body, names).ok()?;
        let count = |member: Option<Member>| member.and_then(|member| member.u64(body));
        let detail = |details: Option<Member>, name| {
            let details = details?.raw(body).as_bytes();
            let [count] = scan::pick(details, [name]).ok()?;
            count?.u64(details)
        };
        let (prompt, completion, total) = (count(prompt), count(completion), count(total));
        let known = prompt.or(completion)?;
        let other = total.map_or(0, |total| total.saturating_sub(known));
        let (prompt, completion) = (prompt.unwrap_or(other), completion.unwrap_or(other));
        let total = total.unwrap_or(prompt.saturating_add(completion));
        let cached = detail(of_prompt, "cached_tokens").unwrap_or(0).min(prompt);
        let reasoning = detail(of_completion, "reasoning_tokens").unwrap_or(0);
        Some(Self { prompt, completion, total, cached, reasoning })
    }

    /// Reads the `usage` of a scanned reply.
    pub fn of(reply: &Scan<'_>) -> Option<Self> {
        Self::parse(reply.value("usage")?)
    }

    /// Reads the `usage` of a whole reply, which must be one JSON object and no error.
    pub fn of_reply(reply: &Bytes) -> Result<Option<Self>, Error> {
        let [usage, error] = scan::pick(reply, ["usage", "error"]).map_err(Error::Event)?;
        if error.is_some_and(|error| error.kind != Kind::Null) {
            return Err(Error::Engine { body: error::relay(reply) });
        }
        Ok(usage.and_then(|usage| Self::read(reply.get(usage.value_span.start..usage.value_span.end)?)))
    }

    /// As a `usage` member.
    pub fn to_json(self) -> String {
        let Self { prompt, completion, total, cached, reasoning } = self;
        let details =
            if reasoning == 0 { String::new() } else { format!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}") };
        format!(
            "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}{details}}}"
        )
    }
}

/// The usages that one stream has brought so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Prompts of the call, where they are more than one.
    prompts: Option<u64>,
    /// From chunks without choices.
    alone: Vec<Usage>,
    /// The last one from chunks of each choice.
    by_choice: BTreeMap<u64, Usage>,
    /// The text of the last one.
    last: Option<String>,
}

/// More usage-only chunks than choices can be are not kept apart.
const MOST_ALONE: usize = 1024;

impl Tally {
    /// The call has so many prompts: a usage of one choice tells of one of them.
    pub(crate) fn of_prompts(&mut self, prompts: u64) {
        self.prompts = Some(prompts).filter(|prompts| *prompts > 1);
    }

    /// Notes a usage and the choices of the chunk that it came with.
    pub(crate) fn note(&mut self, text: &str, mut choices: impl Iterator<Item = u64>) {
        let Some(usage) = Usage::parse(text) else { return };
        self.last = Some(text.to_owned());
        match choices.next() {
            Some(index) => {
                self.by_choice.insert(index, usage);
            }
            None if self.alone.len() < MOST_ALONE => self.alone.push(usage),
            None => {}
        }
    }

    /// One usage for the call, and its text as the engine wrote it if it is the engine's as it stands.
    pub(crate) fn total(&self, choices: usize) -> Option<(Usage, String)> {
        let parts: Vec<Usage> = if self.alone.is_empty() { self.by_choice.values().copied().collect() } else { self.alone.clone() };
        let last = *parts.last()?;
        if parts.len() == 1 || choices <= 1 {
            return Some((last, self.last.clone().unwrap_or_else(|| last.to_json())));
        }
        let sum = |count: fn(&Usage) -> u64| parts.iter().map(count).fold(0, u64::saturating_add);
        let (prompt, cached) = if let Some(prompts) = self.prompts {
            // Each has as many choices as the others; those of which nothing was told yet are taken to be like them.
            let of_all = |told: u64| told.saturating_mul(prompts) / parts.len() as u64;
            (of_all(sum(|part| part.prompt)), of_all(sum(|part| part.cached)))
        } else {
            let (prompt, cached) = (parts.iter().map(|part| part.prompt), parts.iter().map(|part| part.cached));
            (prompt.max().unwrap_or(0), cached.min().unwrap_or(0))
        };
        let usage = Usage { cached, reasoning: sum(|part| part.reasoning), ..Usage::new(prompt, sum(|part| part.completion)) };
        Some((usage, usage.to_json()))
    }
}
