//! One question and its streamed answer.
//!
//! In: the talk so far. Out: pieces as they come, then the whole with its numbers. Fails: with the
//! server's words, also when they come in the middle of a stream.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::http::Server;
use super::out::text;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) first_token: Duration,
    pub(crate) whole: Duration,
}

impl Answer {
    /// Tokens a second after the first, for people.
    pub(crate) fn summary(&self) -> String {
        let generating = (self.whole - self.first_token).as_secs_f64().max(f64::EPSILON);
        let rate = f64::from(u32::try_from(self.completion_tokens).unwrap_or(u32::MAX)) / generating;
        let (first, made, read) = (self.first_token.as_secs_f64() * 1000.0, self.completion_tokens, self.prompt_tokens);
        format!("{read} tokens in, {made} tokens out, {rate:.0} tokens/s, first after {first:.0} ms")
    }
}

/// Asks; `piece` gets each piece of the answer and says whether to go on.
pub(crate) fn ask(
    server: &Server,
    model: &str,
    messages: &[Value],
    mut piece: impl FnMut(&str) -> Result<bool, Failure>,
) -> Result<Answer, Failure> {
    let body = json!({ "model": model, "messages": messages, "stream": true, "stream_options": { "include_usage": true } });
    let began = Instant::now();
    let mut answer = Answer::default();
    server.lines("/v1/chat/completions", Some(&body), |line| {
        let Some(event) = event(line)? else { return Ok(true) };
        if let Some(words) = event["choices"][0]["delta"]["content"].as_str().filter(|words| !words.is_empty()) {
            if answer.text.is_empty() {
                answer.first_token = began.elapsed();
            }
            answer.text.push_str(words);
            return piece(words);
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            answer.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
            answer.completion_tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
        }
        Ok(true)
    })?;
    answer.whole = began.elapsed();
    Ok(answer)
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
