//! From a Messages request to a chat request.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::chat::{Body, ForLlama, bad, image_part, joined, schema_format, text_part, tool_answer, tool_call};
use crate::scan;
use crate::splice::Edit;

/// The body of `POST /v1/messages`. Members that change no answer are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// The model.
    pub model: String,
    max_tokens: Option<u64>,
    messages: Vec<Turn>,
    system: Option<Content>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    stop_sequences: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    stream: Option<bool>,
    thinking: Option<Value>,
    output_config: Option<Value>,
    output_format: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Turn {
    role: String,
    content: Content,
}

/// A text, or blocks.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

impl Content {
    fn blocks(&self) -> Cow<'_, [Value]> {
        match self {
            Self::Text(text) => vec![json!({ "type": "text", "text": text })].into(),
            Self::Blocks(blocks) => blocks.into(),
        }
    }
}

impl Request {
    /// Reads the body of a request; `counts` for `count_tokens`, which needs no `max_tokens`.
    pub fn parse(body: &[u8], counts: bool) -> Result<Self, Error> {
        let scan = scan::object(body)?;
        for param in ["model", "messages", "max_tokens"] {
            if scan.get(param).is_none() && !(counts && param == "max_tokens") {
                return Err(Error::Missing { param });
            }
        }
        let request: Self = serde_json::from_slice(body).map_err(Error::Shape)?;
        if request.messages.is_empty() {
            return Err(bad("messages", "must hold at least one message"));
        }
        if !counts && request.max_tokens == Some(0) {
            return Err(bad("max_tokens", "must be at least 1"));
        }
        Ok(request)
    }

    /// True when the client wants events.
    pub fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// True when the client wants to see the reasoning.
    pub fn thinks(&self) -> bool {
        self.thinking.as_ref().and_then(|thinking| thinking["type"].as_str()).is_some_and(|kind| kind != "disabled")
    }

    /// The texts at which the answer stops.
    pub fn stops(&self) -> &[String] {
        self.stop_sequences.as_deref().unwrap_or_default()
    }

    /// Members of the chat request for llama-server alone.
    pub fn for_llama(&self) -> Vec<Edit<'static>> {
        let is_begun = |turn: &Turn| turn.role == "assistant" && turn.content.blocks().iter().all(|block| block["type"] != "tool_use");
        ForLlama {
            thinks: self.thinking.as_ref().filter(|thinking| !thinking.is_null()).map(|_| self.thinks()),
            goes_on: self.messages.last().is_some_and(is_begun),
            tells_stop: !self.stops().is_empty(),
        }
        .members()
    }

    /// The chat request.
    pub fn chat(&self, model: &str) -> Result<Bytes, Error> {
        let mut body = Body::new(model);
        body.set("messages", self.messages()?);
        body.maybe("max_tokens", self.max_tokens);
        body.maybe("temperature", self.temperature);
        body.maybe("top_p", self.top_p);
        body.maybe("top_k", self.top_k);
        body.maybe("stop", self.stop_sequences.clone().filter(|stop| !stop.is_empty()));
        if let Some(tools) = self.tools.as_ref().filter(|tools| !tools.is_empty()) {
            body.set("tools", tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?);
        }
        if let Some(choice) = self.tool_choice.as_ref().filter(|choice| !choice.is_null()) {
            body.set("tool_choice", tool_choice(choice)?);
            body.maybe("parallel_tool_calls", (choice["disable_parallel_tool_use"] == true).then_some(false));
        }
        body.maybe("response_format", self.response_format()?);
        Ok(body.into_bytes())
    }

    fn response_format(&self) -> Result<Option<Value>, Error> {
        let within = self.output_config.as_ref().and_then(|config| config.get("format"));
        let Some(format) = within.or(self.output_format.as_ref()).filter(|format| !format.is_null()) else { return Ok(None) };
        if format["type"] != "json_schema" || !format["schema"].is_object() {
            return Err(bad("output_config", "must have a `format` of the type `json_schema`, with its `schema`"));
        }
        Ok(Some(schema_format(&format["schema"])))
    }

    fn messages(&self) -> Result<Vec<Value>, Error> {
        let mut messages = Vec::with_capacity(self.messages.len() + 1);
        if let Some(system) = &self.system {
            let text = texts(&system.blocks(), "system")?;
            if !text.is_empty() {
                messages.push(json!({ "role": "system", "content": text }));
            }
        }
        for turn in &self.messages {
            let blocks = turn.content.blocks();
            match turn.role.as_str() {
                "user" => user(&blocks, &mut messages)?,
                "assistant" => messages.push(assistant(&blocks)?),
                "system" => messages.push(json!({ "role": "system", "content": texts(&blocks, "messages")? })),
                other => return Err(bad("messages", format!("must have roles `user` and `assistant`, not `{other}`"))),
            }
        }
        Ok(messages)
    }
}

/// The text of blocks that may only be text.
fn texts(blocks: &[Value], param: &'static str) -> Result<String, Error> {
    let text = |block: &Value| match (block["type"].as_str(), block["text"].as_str()) {
        (Some("text") | None, Some(text)) => Ok(text.to_owned()),
        (kind, _) => Err(bad(param, format!("may hold only text here, not `{}`", kind.unwrap_or("?")))),
    };
    Ok(blocks.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// A user's turn: the tools' answers, each a message of its own, then what the user says.
fn user(blocks: &[Value], messages: &mut Vec<Value>) -> Result<(), Error> {
    let mut parts = Vec::new();
    for block in blocks {
        if block["type"] != "tool_result" {
            parts.push(part(block)?);
            continue;
        }
        let Some(id) = block["tool_use_id"].as_str() else { return Err(bad("messages", "has a `tool_result` without a `tool_use_id`")) };
        let mut said = Vec::new();
        match &block["content"] {
            Value::String(text) => said.push(text.clone()),
            Value::Array(inner) => {
                for block in inner {
                    match block["text"].as_str() {
                        Some(text) => said.push(text.to_owned()),
                        None => parts.push(part(block)?),
                    }
                }
            }
            _ => {}
        }
        messages.push(tool_answer(id, &said.join("\n")));
    }
    if !parts.is_empty() {
        messages.push(json!({ "role": "user", "content": joined(parts) }));
    }
    Ok(())
}

fn part(block: &Value) -> Result<Value, Error> {
    let source = &block["source"];
    let kind = block["type"].as_str().unwrap_or_default();
    match (kind, source["type"].as_str().unwrap_or_default()) {
        ("text", _) => Ok(text_part(block["text"].as_str().unwrap_or_default())),
        ("image", "base64") => {
            let url = format!(
                "data:{};base64,{}",
                source["media_type"].as_str().unwrap_or("image/png"),
                source["data"].as_str().unwrap_or_default()
            );
            Ok(image_part(&url))
        }
        ("image", "url") => Ok(image_part(source["url"].as_str().unwrap_or_default())),
        ("document", "text") => Ok(text_part(source["data"].as_str().unwrap_or_default())),
        (kind, _) => Err(bad("messages", format!("holds a block `{kind}` that these models cannot read; send text or images"))),
    }
}

/// The model's turn: its words and the tools it called; what it thought is not repeated to it.
fn assistant(blocks: &[Value]) -> Result<Value, Error> {
    let (mut said, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "text" => said.push(block["text"].as_str().unwrap_or_default()),
            "tool_use" => {
                let word = |key: &str| block[key].as_str().unwrap_or_default();
                calls.push(tool_call(word("id"), word("name"), &block["input"].to_string()));
            }
            "thinking" | "redacted_thinking" => {}
            other => return Err(bad("messages", format!("holds a block `{other}` of the assistant that these models cannot read"))),
        }
    }
    let content = if said.is_empty() && !calls.is_empty() { Value::Null } else { said.join("\n").into() };
    let mut message = json!({ "role": "assistant", "content": content });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

fn tool(tool: &Value) -> Result<Value, Error> {
    if let Some(kind) = tool["type"].as_str().filter(|kind| *kind != "custom") {
        return Err(bad("tools", format!("names `{kind}`, which runs at Anthropic; send tools with a name and an `input_schema`")));
    }
    let Some(name) = tool["name"].as_str() else { return Err(bad("tools", "has a tool without a name")) };
    let mut function = json!({ "name": name, "parameters": tool["input_schema"] });
    if let Some(words) = tool["description"].as_str() {
        function["description"] = words.into();
    }
    if let Some(strict) = tool["strict"].as_bool() {
        function["strict"] = strict.into();
    }
    Ok(json!({ "type": "function", "function": function }))
}

fn tool_choice(choice: &Value) -> Result<Value, Error> {
    match choice["type"].as_str().unwrap_or_default() {
        "auto" => Ok("auto".into()),
        "any" => Ok("required".into()),
        "none" => Ok("none".into()),
        "tool" => Ok(json!({ "type": "function", "function": { "name": choice["name"] } })),
        other => Err(bad("tool_choice", format!("must have the type `auto`, `any`, `tool` or `none`, not `{other}`"))),
    }
}
