//! An answer, a token at a time.
//!
//! In: an [`Ask`] and a slot. Out: the model's name and then numbers, so that whoever reads it sees that
//! nothing is missing and whose answer it is; as one document or as events, with llama-server's
//! fields. Fails: as it is told to. Holds: the slot, until the last token or until the caller leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use base::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ask::Ask;
use super::slots::Slot;
use super::{Engine, load, words};

/// Tokens of an answer unless it is told otherwise.
const USUAL: u64 = 8;

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    engine: Arc<Engine>,
    ask: Ask,
    id: String,
    length: u64,
    made: u64,
    begun: Instant,
    held: u64,
    is_dead: bool,
    _slot: Slot,
}

impl Answer {
    /// Begins to answer.
    pub(super) fn begin(engine: Arc<Engine>, ask: Ask, slot: Slot) -> Self {
        let call = engine.numbers.calls.fetch_add(1, Relaxed);
        let own = engine.behaviour.tokens.unwrap_or(USUAL);
        let length = ask.most.map_or(own, |most| most.min(own));
        let is_dead = engine.is_dead() || engine.behaviour.faults.dead_after.is_some_and(|after| call >= after);
        if is_dead {
            engine.numbers.dead.store(true, Relaxed);
        }
        let id = format!("chatcmpl-{:08x}{call:08x}", std::process::id());
        engine.numbers.prompt_tokens.fetch_add(ask.prompt_tokens, Relaxed);
        engine.numbers.held_tokens.fetch_add(ask.prompt_tokens, Relaxed);
        let held = ask.prompt_tokens;
        Self { engine, ask, id, length, made: 0, begun: Instant::now(), held, is_dead, _slot: slot }
    }

    /// The next token; none after the last.
    pub(super) async fn next(&mut self) -> Option<String> {
        if self.made == self.length {
            self.engine.numbers.finished.fetch_add(1, Relaxed);
            return None;
        }
        if self.is_dead {
            std::future::pending::<()>().await;
        }
        self.pace().await;
        let numbers = &self.engine.numbers;
        if numbers.ending.load(Relaxed) {
            // As llama-server: what generates has ended, and what waits for it does not know.
            std::future::pending::<()>().await;
        }
        let all = numbers.tokens.fetch_add(1, Relaxed) + 1;
        numbers.held_tokens.fetch_add(1, Relaxed);
        self.held += 1;
        if self.engine.behaviour.faults.crash_at_token.is_some_and(|at| all >= at) {
            load::crash(&self.engine);
        }
        let token = if self.made == 0 { self.engine.args.alias.clone() } else { format!(" {}", self.made) };
        self.made += 1;
        Some(token)
    }

    async fn pace(&mut self) {
        let behaviour = &self.engine.behaviour;
        let (numbers, before) = (&self.engine.numbers, Instant::now());
        let for_tokens = if behaviour.tokens_per_second > 0.0 {
            Duration::from_secs(self.made).div_f64(behaviour.tokens_per_second)
        } else {
            Duration::ZERO
        };
        tokio::time::sleep_until(self.begun + behaviour.first_token + for_tokens).await;
        tokio::task::yield_now().await; // others have their turn, however fast it goes
        let took = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        let sum = if self.made == 0 { &numbers.prompt_micros } else { &numbers.token_micros };
        sum.fetch_add(took, Relaxed);
    }

    /// As one document.
    pub(super) async fn whole(mut self) -> Value {
        let mut text = String::new();
        while let Some(token) = self.next().await {
            text.push_str(&token);
        }
        let finish = self.finish();
        let choice = if self.ask.chat {
            json!({"finish_reason": finish, "index": 0, "message": {"role": "assistant", "content": text}})
        } else {
            json!({"text": text, "index": 0, "logprobs": null, "finish_reason": finish})
        };
        let object = if self.ask.chat { "chat.completion" } else { "text_completion" };
        let mut document = json!({
            "choices": [choice],
            "created": Timestamp::now().as_secs(),
            "model": self.engine.args.alias,
            "system_fingerprint": words::BUILD,
            "object": object,
            "usage": self.usage(),
            "id": self.id,
        });
        document["timings"] = self.timings();
        document
    }

    /// The events of one more step; none when all have been given.
    pub(super) async fn step(&mut self) -> Option<String> {
        if self.made > self.length {
            return None;
        }
        let is_first = self.made == 0;
        let Some(token) = self.next().await else {
            self.made = self.length + 1;
            return Some(self.last_events());
        };
        let mut events = String::new();
        if is_first && self.ask.chat {
            events.push_str(&event(&self.chunk(&json!({"role": "assistant", "content": null}), &Value::Null)));
        }
        let delta = if self.ask.chat { json!({"content": token}) } else { Value::String(token) };
        events.push_str(&event(&self.chunk(&delta, &Value::Null)));
        Some(events)
    }

    fn last_events(&self) -> String {
        let delta = if self.ask.chat { json!({}) } else { json!("") };
        let mut last = self.chunk(&delta, &json!(self.finish()));
        let mut events = String::new();
        if !self.ask.chat {
            last["usage"] = self.usage(); // asked for or not
        } else if self.ask.usage {
            events.push_str(&event(&last));
            last["choices"] = json!([]);
            last["usage"] = self.usage();
        }
        last["timings"] = self.timings();
        events.push_str(&event(&last));
        events.push_str("data: [DONE]\n\n");
        events
    }

    fn chunk(&self, delta: &Value, finish: &Value) -> Value {
        let (choice, object) = if self.ask.chat {
            (json!({"finish_reason": finish, "index": 0, "delta": delta}), "chat.completion.chunk")
        } else {
            (json!({"text": delta, "index": 0, "logprobs": null, "finish_reason": finish}), "text_completion")
        };
        json!({
            "choices": [choice],
            "created": Timestamp::now().as_secs(),
            "id": self.id,
            "model": self.engine.args.alias,
            "system_fingerprint": words::BUILD,
            "object": object,
        })
    }

    fn finish(&self) -> &'static str {
        let own = self.engine.behaviour.tokens.unwrap_or(USUAL);
        if self.length < own { "length" } else { "stop" }
    }

    fn usage(&self) -> Value {
        json!({
            "completion_tokens": self.length,
            "prompt_tokens": self.ask.prompt_tokens,
            "total_tokens": self.length + self.ask.prompt_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        })
    }

    fn timings(&self) -> Value {
        let ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
        json!({"cache_n": 0, "prompt_n": self.ask.prompt_tokens, "prompt_ms": 0.0, "predicted_n": self.length, "predicted_ms": ms})
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.engine.numbers.held_tokens.fetch_sub(self.held, Relaxed);
        self.engine.slumber.touch();
    }
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}
