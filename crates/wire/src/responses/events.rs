//! What the engine says, as a response object or its numbered events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Object;
use crate::sse;
use crate::talk::{Block, Codec, End, Part, To, Trouble};

/// Writes one answer.
#[derive(Debug)]
pub struct Events {
    object: Object,
    stream: bool,
    sequence: u64,
    /// Items that are complete; an answer that breaks off still has them.
    output: Vec<Value>,
    last: Option<Value>,
}

impl Events {
    /// For one response; as events or as one object.
    pub fn new(object: Object, stream: bool) -> Self {
        Self { object, stream, sequence: 0, output: Vec::new(), last: None }
    }

    /// The response as it ended, once it has.
    pub fn ended(&self) -> Option<&Value> {
        self.last.as_ref()
    }

    /// The response itself.
    pub fn object(&self) -> &Object {
        &self.object
    }

    fn write(&mut self, name: &str, data: Value) -> Bytes {
        let mut event = json!({ "type": name, "sequence_number": self.sequence });
        if let (Value::Object(event), Value::Object(data)) = (&mut event, data) {
            event.extend(data);
        }
        self.sequence += 1;
        sse::named(name, event.to_string())
    }

    fn send(&mut self, name: &str, data: Value, to: &mut To<'_>) {
        if self.stream {
            let event = self.write(name, data);
            to.out.push(event);
        }
    }

    fn item_id(&self, block: &Block) -> String {
        let kind = match block.part {
            Part::Reasoning => "rs",
            Part::Text => "msg",
            Part::Call { .. } => "fc",
        };
        format!("{kind}_{}{:02}", self.object.digits(), block.at)
    }

    fn item(&self, block: &Block, status: &str, text: Option<&str>) -> Value {
        let id = self.item_id(block);
        let content: Vec<Value> = text.map(|text| part(block, text)).into_iter().collect();
        match &block.part {
            Part::Reasoning => json!({ "id": id, "type": "reasoning", "status": status, "summary": [], "content": content }),
            Part::Text => json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content }),
            Part::Call { id: call, name } => json!({
                "id": id, "type": "function_call", "status": status, "call_id": call, "name": name, "arguments": text.unwrap_or_default(),
            }),
        }
    }
}

/// The only part of a message or of a reasoning.
fn part(block: &Block, text: &str) -> Value {
    match block.part {
        Part::Reasoning => json!({ "type": "reasoning_text", "text": text }),
        _ => json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }),
    }
}

/// The name of the event family of a block.
fn family(block: &Block) -> &'static str {
    match block.part {
        Part::Reasoning => "response.reasoning_text",
        Part::Text => "response.output_text",
        Part::Call { .. } => "response.function_call_arguments",
    }
}

fn is_call(block: &Block) -> bool {
    matches!(block.part, Part::Call { .. })
}

impl Codec for Events {
    fn begin(&mut self, _prompt: u64, to: &mut To<'_>) {
        for name in ["response.created", "response.in_progress"] {
            let data = json!({ "response": self.object.standing("in_progress") });
            self.send(name, data, to);
        }
    }

    fn open(&mut self, block: &Block, to: &mut To<'_>) {
        let item = self.item(block, "in_progress", None);
        self.send("response.output_item.added", json!({ "output_index": block.at, "item": item }), to);
        if !is_call(block) {
            let id = self.item_id(block);
            let data = json!({ "item_id": id, "output_index": block.at, "content_index": 0, "part": part(block, "") });
            self.send("response.content_part.added", data, to);
        }
    }

    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>) {
        if !self.stream {
            return;
        }
        let mut data = json!({ "item_id": self.item_id(block), "output_index": block.at });
        if !is_call(block) {
            data["content_index"] = 0.into();
        }
        data["delta"] = text.into();
        if block.part == Part::Text {
            data["logprobs"] = json!([]);
        }
        self.send(&format!("{}.delta", family(block)), data, to);
    }

    fn close(&mut self, block: &Block, to: &mut To<'_>) {
        let (id, done) = (self.item_id(block), format!("{}.done", family(block)));
        let at = json!({ "item_id": id, "output_index": block.at, "content_index": 0 });
        if let Part::Call { name, .. } = &block.part {
            let data = json!({ "item_id": id, "output_index": block.at, "name": name, "arguments": block.text });
            self.send(&done, data, to);
        } else {
            let mut data = at.clone();
            data["text"] = block.text.as_str().into();
            if block.part == Part::Text {
                data["logprobs"] = json!([]);
            }
            self.send(&done, data, to);
            let mut data = at;
            data["part"] = part(block, &block.text);
            self.send("response.content_part.done", data, to);
        }
        let item = self.item(block, if block.is_cut { "incomplete" } else { "completed" }, Some(&block.text));
        self.output.push(item.clone());
        self.send("response.output_item.done", json!({ "output_index": block.at, "item": item }), to);
    }

    fn end(&mut self, end: &End<'_>, to: &mut To<'_>) {
        let response = self.object.finished(end.reason, self.output.clone(), &end.usage);
        self.last = Some(response.clone());
        if self.stream {
            let name = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
            self.send(name, json!({ "response": response }), to);
        } else {
            to.out.push(response.to_string().into());
        }
    }

    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        let response = self.object.failed(self.output.clone(), trouble.code, trouble.message);
        self.last = Some(response.clone());
        self.write("response.failed", json!({ "response": response }))
    }
}
