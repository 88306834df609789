//! From a Responses request to a chat request.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Error;
use crate::chat::{Body, bad, image_part, joined, text_part, tool_answer, tool_call};
use crate::scan;

/// The body of `POST /v1/responses`. Members that change no answer are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// The model.
    pub model: String,
    #[serde(default)]
    input: Value,
    pub(super) instructions: Option<Value>,
    /// The response that this one goes on with.
    pub previous_response_id: Option<String>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) max_tool_calls: Option<u64>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) reasoning: Option<Value>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) text: Option<Value>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) truncation: Option<Value>,
    pub(super) user: Option<String>,
    pub(super) safety_identifier: Option<String>,
    pub(super) prompt_cache_key: Option<String>,
    store: Option<bool>,
    stream: Option<bool>,
    background: Option<bool>,
    top_logprobs: Option<u64>,
    conversation: Option<Value>,
    prompt: Option<Value>,
}

impl Request {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let scan = scan::object(body)?;
        for param in ["model", "input"] {
            if scan.get(param).is_none() || scan.is_null(param) {
                return Err(Error::Missing { param });
            }
        }
        let request: Self = serde_json::from_slice(body).map_err(Error::Shape)?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Error> {
        if self.conversation.as_ref().is_some_and(|conversation| !conversation.is_null()) {
            return Err(bad("conversation", "is not kept here; go on with `previous_response_id`"));
        }
        if self.prompt.as_ref().is_some_and(|prompt| !prompt.is_null()) {
            return Err(bad("prompt", "names a template that is stored at OpenAI; send `input` and `instructions`"));
        }
        if self.top_logprobs.is_some_and(|most| most > 0) {
            return Err(bad("top_logprobs", "is served by /v1/chat/completions only"));
        }
        if self.is_background() && self.wants_stream() {
            return Err(bad("background", "and `stream` go one at a time; poll GET /v1/responses/{id}, or stream without `background`"));
        }
        if self.is_background() && !self.is_stored() {
            return Err(bad("background", "needs `store`, since the answer is fetched later"));
        }
        Ok(())
    }

    /// True when the client wants events.
    pub fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }
    /// True unless the client does not want it kept.
    pub fn is_stored(&self) -> bool {
        self.store.unwrap_or(true)
    }
    /// True when the client fetches the answer later.
    pub fn is_background(&self) -> bool {
        self.background.unwrap_or(false)
    }

    /// The items of this request; a text is one message of the user.
    pub fn items(&self) -> Result<Vec<Value>, Error> {
        match &self.input {
            Value::String(text) => {
                Ok(vec![json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] })])
            }
            Value::Array(items) => Ok(items.clone()),
            _ => Err(Error::Type { param: "input", expected: "a string or an array", found: "something else" }),
        }
    }

    /// The chat request; `items` are the conversation so far and this request's own.
    pub fn chat<'a>(&self, model: &str, items: impl IntoIterator<Item = &'a Value>) -> Result<Bytes, Error> {
        let mut body = Body::new(model);
        body.set("messages", self.messages(items)?);
        body.maybe("max_tokens", self.max_output_tokens);
        body.maybe("temperature", self.temperature);
        body.maybe("top_p", self.top_p);
        body.maybe("user", self.user.clone());
        if let Some(tools) = self.tools.as_ref().filter(|tools| !tools.is_empty()) {
            body.set("tools", tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?);
            body.maybe("parallel_tool_calls", self.parallel_tool_calls);
        }
        body.maybe("tool_choice", self.tool_choice.as_ref().filter(|choice| !choice.is_null()).map(tool_choice).transpose()?);
        body.maybe("reasoning_effort", self.reasoning.as_ref().and_then(|reasoning| reasoning["effort"].as_str()));
        if let Some(text) = &self.text {
            body.maybe("response_format", format(&text["format"])?);
            body.maybe("verbosity", text["verbosity"].as_str());
        }
        Ok(body.into_bytes())
    }

    fn messages<'a>(&self, items: impl IntoIterator<Item = &'a Value>) -> Result<Vec<Value>, Error> {
        let mut messages = Vec::new();
        match &self.instructions {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => messages.push(json!({ "role": "system", "content": text })),
            Some(Value::Array(items)) => items.iter().try_for_each(|each| item(each, &mut messages))?,
            Some(_) => return Err(Error::Type { param: "instructions", expected: "a string", found: "something else" }),
        }
        items.into_iter().try_for_each(|each| item(each, &mut messages))?;
        if messages.is_empty() {
            return Err(bad("input", "must hold at least one item"));
        }
        Ok(messages)
    }
}

/// Adds one item to the messages; what one turn of the assistant says and calls becomes one message.
fn item(item: &Value, messages: &mut Vec<Value>) -> Result<(), Error> {
    let word = |key: &str| item[key].as_str().unwrap_or_default();
    match item["type"].as_str().unwrap_or("message") {
        "message" => message(item, messages),
        "function_call" => {
            let call = tool_call(word("call_id"), word("name"), word("arguments"));
            match messages.last_mut().filter(|last| last["role"] == "assistant") {
                Some(Value::Object(last)) => match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
                    Some(calls) => calls.push(call),
                    None => {
                        last.insert("tool_calls".to_owned(), json!([call]));
                    }
                },
                _ => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
            }
            Ok(())
        }
        "function_call_output" => {
            let output = match &item["output"] {
                Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            messages.push(tool_answer(word("call_id"), &output));
            Ok(())
        }
        // What the model thought in an earlier turn is not repeated to it.
        "reasoning" => Ok(()),
        "item_reference" => Err(bad("input", "refers to an item by its id; send the item itself, or go on with `previous_response_id`")),
        other => {
            Err(bad("input", format!("holds an item `{other}` that these models cannot read; send messages, calls and their outputs")))
        }
    }
}

fn message(item: &Value, messages: &mut Vec<Value>) -> Result<(), Error> {
    let role = match item["role"].as_str().unwrap_or_default() {
        "developer" | "system" => "system",
        "user" => "user",
        "assistant" => "assistant",
        other => return Err(bad("input", format!("must have roles `user`, `assistant`, `system` or `developer`, not `{other}`"))),
    };
    let content = match &item["content"] {
        Value::String(text) => text.as_str().into(),
        Value::Array(parts) => joined(parts.iter().map(part).collect::<Result<Vec<_>, _>>()?),
        _ => return Err(bad("input", "has a message without `content`")),
    };
    messages.push(json!({ "role": role, "content": content }));
    Ok(())
}

fn part(part: &Value) -> Result<Value, Error> {
    match part["type"].as_str().unwrap_or_default() {
        "input_text" | "output_text" | "text" => Ok(text_part(part["text"].as_str().unwrap_or_default())),
        "refusal" => Ok(text_part(part["refusal"].as_str().unwrap_or_default())),
        "input_image" => match part["image_url"].as_str() {
            Some(url) => Ok(image_part(url)),
            None => Err(bad("input", "has an image without `image_url`; files are not kept here")),
        },
        other => Err(bad("input", format!("holds a part `{other}` that these models cannot read; send text or images"))),
    }
}

fn tool(tool: &Value) -> Result<Value, Error> {
    match tool["type"].as_str().unwrap_or_default() {
        "function" => {
            let mut function = Map::new();
            for key in ["name", "description", "parameters", "strict"] {
                if let Some(value) = tool.get(key).filter(|value| !value.is_null()) {
                    function.insert(key.to_owned(), value.clone());
                }
            }
            Ok(json!({ "type": "function", "function": function }))
        }
        other => Err(bad("tools", format!("names `{other}`, which runs at OpenAI; send tools of the type `function`"))),
    }
}

fn tool_choice(choice: &Value) -> Result<Value, Error> {
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("auto" | "none" | "required"), _) => Ok(choice.clone()),
        (None, Some("function")) => Ok(json!({ "type": "function", "function": { "name": choice["name"] } })),
        _ => Err(bad("tool_choice", "must be `auto`, `none`, `required` or a function")),
    }
}

fn format(format: &Value) -> Result<Option<Value>, Error> {
    match format["type"].as_str() {
        None | Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({ "type": "json_object" }))),
        Some("json_schema") => {
            let mut schema = Map::new();
            for key in ["name", "description", "schema", "strict"] {
                if let Some(value) = format.get(key).filter(|value| !value.is_null()) {
                    schema.insert(key.to_owned(), value.clone());
                }
            }
            Ok(Some(json!({ "type": "json_schema", "json_schema": schema })))
        }
        Some(_) => Err(bad("text", "must have a `format` of the type `text`, `json_object` or `json_schema`")),
    }
}
