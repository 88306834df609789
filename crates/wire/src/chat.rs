//! How is a chat request written for an engine, whatever face it came in at?
//!
//! In: parts of a request of another face. Out: one body for the engine's chat path (or its completions path), always a
//! stream, so that each face has one way back. Fails: with the member that cannot be translated.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::Error;
use crate::splice::Edit;

/// What llama-server alone is told, beside that it shall tell the prompt's length at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ForLlama {
    /// Whether the model shall think, if the client says.
    pub(crate) thinks: Option<bool>,
    /// The last message is the answer's own beginning: it is gone on with, and not repeated.
    pub(crate) goes_on: bool,
    /// The client hears at which of its texts the answer stopped.
    pub(crate) tells_stop: bool,
}

impl ForLlama {
    /// As members of the body.
    pub(crate) fn members(self) -> Vec<Edit<'static>> {
        let mut members = vec![Edit::raw("return_progress", "true")];
        members.extend(self.thinks.map(|thinks| Edit::raw("chat_template_kwargs", format!("{{\"enable_thinking\":{thinks}}}"))));
        if self.goes_on {
            members.extend([Edit::raw("continue_final_message", "true"), Edit::raw("add_generation_prompt", "false")]);
        }
        if self.tells_stop {
            members.extend([Edit::raw("verbose", "true"), Edit::raw("response_fields", r#"["stopping_word"]"#)]);
        }
        members
    }
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Body(Map<String, Value>);

impl Body {
    pub(crate) fn new(model: &str) -> Self {
        let mut body = Self(Map::new());
        body.set("model", model);
        body.set("stream", true);
        body
    }
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }
    /// What is not given is the engine's to decide.
    pub(crate) fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }
    pub(crate) fn into_bytes(self) -> Bytes {
        Value::Object(self.0).to_string().into()
    }
}

/// A member that has a value it cannot have.
pub(crate) fn bad(param: &'static str, problem: impl Into<Cow<'static, str>>) -> Error {
    Error::Value { param, problem: problem.into() }
}

/// Text alone is a string, which every chat template takes.
pub(crate) fn joined(parts: Vec<Value>) -> Value {
    if parts.iter().all(|part| part["type"] == "text") {
        let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        return texts.join("\n").into();
    }
    parts.into()
}

pub(crate) fn text_part(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

pub(crate) fn image_part(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url } })
}

/// A tool that the assistant called in an earlier turn.
pub(crate) fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

/// What a tool answered.
pub(crate) fn tool_answer(id: &str, content: &str) -> Value {
    json!({ "role": "tool", "tool_call_id": id, "content": content })
}

/// An answer that must fit a JSON schema.
pub(crate) fn schema_format(schema: &Value) -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } })
}
