//! What the engine says, as lines of JSON or one object.

use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Kind, error_line};
use crate::scan;
use crate::talk::{Block, Codec, End, Part, To, Trouble};

/// Writes one answer.
#[derive(Debug)]
pub struct Lines {
    kind: Kind,
    /// As the client calls it.
    model: String,
    came: Timestamp,
    stream: bool,
    thinks: bool,
    /// Time spent until there was an engine to ask.
    load: Duration,
}

impl Lines {
    /// For an answer from the model as the client calls it, to a call that came then.
    pub fn new(kind: Kind, model: impl Into<String>, came: Timestamp) -> Self {
        Self { kind, model: model.into(), came, stream: true, thinks: true, load: Duration::ZERO }
    }
    /// A line for each piece; else one object.
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
    /// So long the caller waited for an engine.
    #[must_use]
    pub fn load(mut self, load: Duration) -> Self {
        self.load = load;
        self
    }

    /// The answer to a call that only loads or unloads.
    pub fn only(&self, reason: &str, took: Duration) -> Bytes {
        let mut line = self.line(took, "", None, Vec::new());
        line.insert("done".to_owned(), true.into());
        line.insert("done_reason".to_owned(), reason.into());
        finish(line)
    }

    fn line(&self, now: Duration, text: &str, thought: Option<&str>, calls: Vec<Value>) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("model".to_owned(), self.model.as_str().into());
        line.insert("created_at".to_owned(), self.came.plus(now).to_string().into());
        let mut said = Map::new();
        match self.kind {
            Kind::Chat => {
                said.insert("role".to_owned(), "assistant".into());
                said.insert("content".to_owned(), text.into());
            }
            Kind::Generate => {
                said.insert("response".to_owned(), text.into());
            }
        }
        if let Some(thought) = thought.filter(|thought| !thought.is_empty()) {
            said.insert("thinking".to_owned(), thought.into());
        }
        if !calls.is_empty() {
            said.insert("tool_calls".to_owned(), calls.into());
        }
        match self.kind {
            Kind::Chat => {
                line.insert("message".to_owned(), Value::Object(said));
            }
            Kind::Generate => line.extend(said),
        }
        line
    }
}

fn send(mut line: Map<String, Value>, to: &mut To<'_>) {
    line.insert("done".to_owned(), false.into());
    to.out.push(finish(line));
}

fn finish(line: Map<String, Value>) -> Bytes {
    format!("{}\n", Value::Object(line)).into()
}

/// A tool call, whole, so none whose arguments broke off; they are an object.
fn call(block: &Block) -> Option<Value> {
    let Part::Call { id, name } = &block.part else { return None };
    let arguments = match scan::value_in(&block.text) {
        Ok(scan::Kind::Object) => serde_json::from_str(&block.text).unwrap_or_default(),
        _ if block.is_cut => return None,
        _ if block.text.trim().is_empty() => json!({}),
        _ => json!({ "arguments": block.text }),
    };
    Some(json!({ "id": id, "function": { "name": name, "arguments": arguments } }))
}

fn joined<'a>(blocks: &'a [Block], part: &Part) -> Vec<&'a str> {
    blocks.iter().filter(|block| block.part == *part).map(|block| block.text.as_str()).collect()
}

impl Codec for Lines {
    fn begin(&mut self, _prompt: u64, _to: &mut To<'_>) {}

    fn open(&mut self, _block: &Block, _to: &mut To<'_>) {}

    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>) {
        if !self.stream {
            return;
        }
        match block.part {
            Part::Text => send(self.line(to.now, text, None, Vec::new()), to),
            Part::Reasoning if self.thinks => send(self.line(to.now, "", Some(text), Vec::new()), to),
            Part::Reasoning | Part::Call { .. } => {}
        }
    }

    fn close(&mut self, block: &Block, to: &mut To<'_>) {
        if self.stream
            && let Some(call) = call(block)
        {
            send(self.line(to.now, "", None, vec![call]), to);
        }
    }

    fn end(&mut self, end: &End<'_>, to: &mut To<'_>) {
        let mut line = if self.stream {
            self.line(to.now, "", None, Vec::new())
        } else {
            let thoughts = if self.thinks { joined(end.blocks, &Part::Reasoning).concat() } else { String::new() };
            let calls = end.blocks.iter().filter_map(call).collect();
            self.line(to.now, &joined(end.blocks, &Part::Text).concat(), Some(&thoughts), calls)
        };
        let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
        put("done", true.into());
        put("done_reason", if end.reason == "length" { "length" } else { "stop" }.into());
        put("total_duration", nanos(to.now));
        put("load_duration", nanos(self.load));
        put("prompt_eval_count", end.usage.prompt.into());
        put("prompt_eval_duration", nanos(end.prompt_time));
        put("eval_count", end.usage.completion.into());
        put("eval_duration", nanos(end.answer_time));
        to.out.push(finish(line));
    }

    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        error_line(trouble.message)
    }
}

fn nanos(time: Duration) -> Value {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).into()
}
