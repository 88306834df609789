//! One question and its streamed answer.
//!
//! In: the talk so far. Out: pieces as they come, then the whole with its numbers. Fails: with the
//! server's words, also when they come in the middle of a stream; a stream that ends without its
//! last word is broken.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::http::Server;
use super::out::text;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finish_reason: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) first_token: Duration,
    pub(crate) whole: Duration,
}

impl Answer {
    /// Tokens and speed, for people. The whole call counts: pieces may come in bunches.
    pub(crate) fn summary(&self) -> String {
        let seconds = self.whole.as_secs_f64().max(f64::EPSILON);
        let rate = f64::from(u32::try_from(self.completion_tokens).unwrap_or(u32::MAX)) / seconds;
        let (first, made, read) = (self.first_token.as_secs_f64() * 1000.0, self.completion_tokens, self.prompt_tokens);
        format!("{read} tokens in, {made} tokens out, {rate:.0} tokens/s, first after {first:.0} ms")
    }
    /// For programs.
    pub(crate) fn document(&self, model: &str) -> Value {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        json!({
            "model": model,
            "answer": self.text,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "first_token_ms": ms(self.first_token),
            "duration_ms": ms(self.whole),
        })
    }
}

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) server: Server,
    pub(crate) model: String,
    pub(crate) messages: Vec<Value>,
}

/// Asks; `piece` gets each piece of the answer.
pub(crate) fn ask(question: &Question, mut piece: impl FnMut(&str) -> Result<(), Failure>) -> Result<Answer, Failure> {
    let body =
        json!({ "model": question.model, "messages": question.messages, "stream": true, "stream_options": { "include_usage": true } });
    let began = Instant::now();
    let mut answer = Answer::default();
    let mut over = false;
    question.server.lines("/v1/chat/completions", Some(&body), |line| {
        over |= line == LAST;
        let Some(event) = event(line)? else { return Ok(true) };
        if let Some(words) = event["choices"][0]["delta"]["content"].as_str().filter(|words| !words.is_empty()) {
            if answer.text.is_empty() {
                answer.first_token = began.elapsed();
            }
            answer.text.push_str(words);
            piece(words)?;
        }
        if let Some(reason) = event["choices"][0]["finish_reason"].as_str() {
            reason.clone_into(&mut answer.finish_reason);
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            answer.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
            answer.completion_tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
        }
        Ok(true)
    })?;
    answer.whole = began.elapsed();
    if over { Ok(answer) } else { Err(broke_off()) }
}

/// The last line of a stream that is whole.
const LAST: &str = "data: [DONE]";

/// For a stream that ended too early.
pub(crate) fn broke_off() -> Failure {
    Failure::Failed { what: "the answer broke off".to_owned(), hint: "`penstock events` may say why".to_owned() }
}

/// The event in a line of an SSE stream, if there is one.
pub(super) fn event(line: &str) -> Result<Option<Value>, Failure> {
    let Some(data) = line.strip_prefix("data:").map(str::trim).filter(|data| *data != "[DONE]") else { return Ok(None) };
    let event: Value = serde_json::from_str(data).map_err(|error| Failure::Broken(error.into()))?;
    if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
        return Err(Failure::Failed { what: text(&error["message"]), hint: String::new() });
    }
    Ok(Some(event))
}
