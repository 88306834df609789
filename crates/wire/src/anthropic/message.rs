//! What the engine says, as a message or its named events.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Shown, error_event, event, ping};
use crate::openai::Usage;
use crate::scan::{self, Kind};
use crate::talk::{Block, Codec, End, Part, To, Trouble};

/// Writes one answer.
#[derive(Debug)]
pub struct Message {
    id: String,
    model: String,
    stream: bool,
    /// The client asked to see what the model thinks.
    thinks: bool,
    /// The texts at which the client wants it to stop; an engine has others of its own.
    stops: Vec<String>,
    /// Blocks that the client has seen the end of; those that are not shown have no number.
    shown: usize,
}

impl Message {
    /// For an answer with this id, from the model as the client calls it.
    pub fn new(id: impl Into<String>, model: impl Into<String>) -> Self {
        Self { id: id.into(), model: model.into(), stream: false, thinks: false, stops: Vec::new(), shown: 0 }
    }
    /// As events.
    #[must_use]
    pub fn stream(mut self, stream: bool) -> Self {
        self.stream = stream;
        self
    }
    /// With the reasoning.
    #[must_use]
    pub fn thinks(mut self, thinks: bool) -> Self {
        self.thinks = thinks;
        self
    }
    /// To be stopped at these texts.
    #[must_use]
    pub fn stops(mut self, stops: &[String]) -> Self {
        self.stops = stops.to_vec();
        self
    }

    fn shows(&self, block: &Block) -> bool {
        self.thinks || block.part != Part::Reasoning
    }

    fn envelope(&self, content: &[Value], (reason, stop): (&Value, &Value), usage: &Value) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": reason, "stop_sequence": stop, "usage": usage,
        })
    }
}

impl Codec for Message {
    fn begin(&mut self, prompt: u64, to: &mut To<'_>) {
        if self.stream {
            let message = self.envelope(&[], (&Value::Null, &Value::Null), &counts(&Usage::new(prompt, 0)));
            to.out.push(event("message_start", &json!({ "type": "message_start", "message": message })));
            to.out.push(ping());
        }
    }

    fn open(&mut self, block: &Block, to: &mut To<'_>) {
        if self.stream && self.shows(block) {
            let empty = match &block.part {
                Part::Reasoning => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                Part::Text => json!({ "type": "text", "text": "" }),
                Part::Call { id, name } => json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
            };
            let data = json!({ "type": "content_block_start", "index": self.shown, "content_block": empty });
            to.out.push(event("content_block_start", &data));
        }
    }

    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>) {
        if self.stream && self.shows(block) {
            let delta = match &block.part {
                Part::Reasoning => json!({ "type": "thinking_delta", "thinking": text }),
                Part::Text => json!({ "type": "text_delta", "text": text }),
                Part::Call { .. } => json!({ "type": "input_json_delta", "partial_json": text }),
            };
            to.out.push(event("content_block_delta", &json!({ "type": "content_block_delta", "index": self.shown, "delta": delta })));
        }
    }

    fn close(&mut self, block: &Block, to: &mut To<'_>) {
        if self.stream && self.shows(block) {
            to.out.push(event("content_block_stop", &json!({ "type": "content_block_stop", "index": self.shown })));
            self.shown += 1;
        }
    }

    fn end(&mut self, end: &End<'_>, to: &mut To<'_>) {
        let stop = end.stop.filter(|stop| self.stops.iter().any(|known| known == stop));
        let (reason, stop) = (stop_reason(end, stop), stop.map_or(Value::Null, Value::from));
        let usage = counts(&end.usage);
        if self.stream {
            let delta = json!({ "stop_reason": reason, "stop_sequence": stop });
            to.out.push(event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage })));
            to.out.push(event("message_stop", &json!({ "type": "message_stop" })));
        } else {
            let content: Vec<Value> = end.blocks.iter().filter(|block| self.shows(block)).map(whole).collect();
            to.out.push(self.envelope(&content, (&reason.into(), &stop), &usage).to_string().into());
        }
    }

    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        error_event(&Shown { status: trouble.status, message: trouble.message.to_owned() })
    }
}

fn stop_reason(end: &End<'_>, stop: Option<&str>) -> &'static str {
    match end.reason {
        "length" => "max_tokens",
        "content_filter" => "refusal",
        _ if end.calls_tools() => "tool_use",
        _ if stop.is_some() => "stop_sequence",
        _ => "end_turn",
    }
}

/// To Anthropic's clients the tokens in are three counts that do not overlap.
fn counts(usage: &Usage) -> Value {
    let Usage { prompt, cached, completion, .. } = usage;
    json!({
        "input_tokens": prompt.saturating_sub(*cached), "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached,
        "output_tokens": completion,
    })
}

fn whole(block: &Block) -> Value {
    match &block.part {
        Part::Reasoning => json!({ "type": "thinking", "thinking": block.text, "signature": "" }),
        Part::Text => json!({ "type": "text", "text": block.text }),
        Part::Call { id, name } => json!({ "type": "tool_use", "id": id, "name": name, "input": input(block) }),
    }
}

/// The arguments as an object, which the client's types want whatever the model wrote; nothing of what broke off in their midst.
fn input(Block { text, is_cut, .. }: &Block) -> Value {
    match scan::value_in(text) {
        Ok(Kind::Object) => serde_json::from_str(text).unwrap_or_default(),
        _ if *is_cut || text.trim().is_empty() => Value::Object(Map::new()),
        _ => json!({ "arguments": text }),
    }
}
