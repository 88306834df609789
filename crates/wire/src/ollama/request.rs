//! From Ollama's requests to a chat or a completions request.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::keep::{Keep, keep_alive};
use crate::Error;
use crate::chat::{Body, ForLlama, bad, image_part, joined, schema_format, text_part, tool_answer, tool_call};
use crate::openai::Shape;
use crate::scan;
use crate::splice::Edit;

/// Which of the two calls it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/api/chat`
    Chat,
    /// `/api/generate`
    Generate,
}

/// The body of `/api/chat` or `/api/generate`.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// The model, with or without its tag.
    pub model: String,
    messages: Option<Vec<Message>>,
    prompt: Option<String>,
    system: Option<String>,
    suffix: Option<String>,
    images: Option<Vec<String>>,
    raw: Option<bool>,
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Map<String, Value>>,
    tools: Option<Vec<Value>>,
    think: Option<Value>,
    #[serde(default)]
    keep_alive: Value,
}

#[derive(Debug, Clone, Deserialize)]
struct Message {
    role: String,
    content: Option<String>,
    images: Option<Vec<String>>,
    tool_calls: Option<Vec<Value>>,
    tool_name: Option<String>,
    /// Its older name.
    name: Option<String>,
    tool_call_id: Option<String>,
}

/// Options that choose tokens; all others are about how a model is loaded.
const SAMPLING: [&str; 10] = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "mirostat_tau",
    "mirostat_eta",
];
/// Those of them that are whole numbers.
const WHOLE: [&str; 4] = ["top_k", "repeat_last_n", "seed", "mirostat"];

impl Request {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let scan = scan::object(body)?;
        if scan.get("model").is_none() {
            return Err(Error::Missing { param: "model" });
        }
        let request: Self = serde_json::from_slice(body).map_err(Error::Shape)?;
        if request.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
            return Err(bad("suffix", "is not served; send the text before and after the gap as one prompt"));
        }
        Ok(request)
    }

    /// True when the model is only to be loaded, or unloaded.
    pub fn is_empty(&self, kind: Kind) -> bool {
        match kind {
            Kind::Chat => self.turns().is_empty(),
            Kind::Generate => self.prompt().is_empty() && self.images.as_ref().is_none_or(Vec::is_empty),
        }
    }

    /// How long the model shall stay, if the caller says.
    pub fn keep_alive(&self) -> Result<Option<Keep>, Error> {
        keep_alive(&self.keep_alive)
    }

    /// True unless the client says no.
    pub fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(true)
    }

    /// False when the client does not want to see the reasoning.
    pub fn thinks(&self) -> bool {
        self.think != Some(Value::Bool(false))
    }

    /// Members of the chat request for llama-server alone.
    pub fn for_llama(&self, kind: Kind) -> Vec<Edit<'static>> {
        let is_begun = |turn: &Message| turn.role == "assistant" && turn.tool_calls.as_ref().is_none_or(Vec::is_empty);
        let thinks = match &self.think {
            Some(Value::Bool(thinks)) => Some(*thinks),
            Some(Value::String(_)) => Some(true),
            _ => None,
        };
        let goes_on = kind == Kind::Chat && self.turns().last().is_some_and(is_begun);
        ForLlama { thinks, goes_on, tells_stop: false }.members()
    }

    /// The engine's path that it goes to: a raw prompt has no chat around it.
    pub fn shape(&self, kind: Kind) -> Shape {
        if kind == Kind::Generate && self.raw == Some(true) { Shape::Completions } else { Shape::Chat }
    }

    /// The engine's request.
    pub fn body(&self, kind: Kind, model: &str) -> Result<Bytes, Error> {
        let mut body = Body::new(model);
        match (self.shape(kind), kind) {
            (Shape::Completions, _) => body.set("prompt", self.prompt()),
            (_, Kind::Generate) => body.set("messages", self.prompt_messages()),
            (_, Kind::Chat) => body.set("messages", messages(self.turns())?),
        }
        self.sampling(&mut body)?;
        body.maybe("tools", self.tools.clone().filter(|tools| !tools.is_empty()));
        body.maybe("response_format", self.response_format()?);
        match &self.think {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(effort)) => body.set("reasoning_effort", effort.as_str()),
            Some(_) => return Err(bad("think", "must be true, false, or one of `low`, `medium`, `high`")),
        }
        Ok(body.into_bytes())
    }

    fn turns(&self) -> &[Message] {
        self.messages.as_deref().unwrap_or_default()
    }

    fn prompt(&self) -> &str {
        self.prompt.as_deref().unwrap_or_default()
    }

    fn sampling(&self, body: &mut Body) -> Result<(), Error> {
        let option = |key: &'static str| self.options.as_ref().and_then(|options| options.get(key)).filter(|value| !value.is_null());
        for key in SAMPLING {
            body.maybe(key, option(key).cloned());
        }
        let whole = |key| option(key).map(|value| whole(value, key)).transpose();
        for key in WHOLE {
            body.maybe(key, whole(key)?);
        }
        // Zero and less is "no bound", which is what saying nothing means to an engine.
        body.maybe("max_tokens", whole("num_predict")?.filter(|most| *most > 0));
        Ok(())
    }

    fn prompt_messages(&self) -> Vec<Value> {
        let mut messages = Vec::new();
        if let Some(system) = self.system.as_ref().filter(|system| !system.is_empty()) {
            messages.push(json!({ "role": "system", "content": system }));
        }
        messages.push(json!({ "role": "user", "content": content(self.prompt(), self.images.as_deref()) }));
        messages
    }

    fn response_format(&self) -> Result<Option<Value>, Error> {
        match &self.format {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) if word.is_empty() => Ok(None),
            Some(Value::String(word)) if word == "json" => Ok(Some(json!({ "type": "json_object" }))),
            Some(schema @ Value::Object(_)) => Ok(Some(schema_format(schema))),
            Some(_) => Err(bad("format", "must be `json` or a JSON schema")),
        }
    }
}

/// A number without its fraction, as Ollama reads its options.
#[expect(clippy::cast_possible_truncation, reason = "huge values saturate")]
fn whole(value: &Value, key: &str) -> Result<i64, Error> {
    let number = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
    number.ok_or_else(|| bad("options", format!("must have a number as `{key}`")))
}

/// Text, with pictures beside it.
fn content(text: &str, images: Option<&[String]>) -> Value {
    let mut parts = vec![text_part(text)];
    parts.extend(images.unwrap_or_default().iter().map(|image| image_part(&picture(image))));
    joined(parts)
}

/// A picture as a URL; the kind is told by its first bytes, in base64.
fn picture(base64: &str) -> String {
    let kind = match base64.get(..4) {
        _ if base64.starts_with("data:") || base64.starts_with("http") => return base64.to_owned(),
        Some("/9j/") => "image/jpeg",
        Some("R0lG") => "image/gif",
        Some("UklG") => "image/webp",
        _ => "image/png",
    };
    format!("data:{kind};base64,{base64}")
}

/// Chat messages. Ollama's tool calls have no ids, so each gets one, and answers are matched by their tool's name, else in order.
fn messages(turns: &[Message]) -> Result<Vec<Value>, Error> {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut made = 0;
    turns
        .iter()
        .map(|turn| {
            let text = turn.content.as_deref().unwrap_or_default();
            match turn.role.as_str() {
                "tool" => Ok(tool_answer(&answered(&mut open, turn), text)),
                "assistant" => {
                    let mut message = json!({ "role": "assistant", "content": text });
                    let calls: Vec<Value> = turn.tool_calls.iter().flatten().map(|call| called(call, &mut made, &mut open)).collect();
                    if !calls.is_empty() {
                        message["tool_calls"] = calls.into();
                    }
                    Ok(message)
                }
                "user" | "system" | "developer" => Ok(json!({ "role": turn.role, "content": content(text, turn.images.as_deref()) })),
                other => Err(bad("messages", format!("must have roles `user`, `assistant`, `system` or `tool`, not `{other}`"))),
            }
        })
        .collect()
}

fn called(call: &Value, made: &mut usize, open: &mut Vec<(String, String)>) -> Value {
    let name = call["function"]["name"].as_str().unwrap_or_default();
    let id = call["id"].as_str().map_or_else(|| format!("call_{made}"), str::to_owned);
    *made += 1;
    let arguments = match &call["function"]["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    let call = tool_call(&id, name, &arguments);
    open.push((id, name.to_owned()));
    call
}

fn answered(open: &mut Vec<(String, String)>, turn: &Message) -> String {
    if let Some(id) = &turn.tool_call_id {
        open.retain(|(other, _)| other != id);
        return id.clone();
    }
    let name = [&turn.tool_name, &turn.name].into_iter().flatten().find(|name| !name.is_empty());
    let named = name.and_then(|name| open.iter().position(|(_, other)| other == name));
    match named.or((!open.is_empty()).then_some(0)) {
        Some(at) => open.remove(at).0,
        None => "call_0".to_owned(),
    }
}
