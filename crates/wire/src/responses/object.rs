//! The response object, and lists of input items.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Request;
use crate::openai::Usage;

/// A response as it stands at one moment.
#[derive(Debug, Clone)]
pub struct Object {
    id: String,
    created: i64,
    /// What the client asked, repeated to it.
    echo: Map<String, Value>,
}

impl Object {
    /// For the answer to a request, with this id, at this second.
    pub fn new(request: &Request, id: &str, created: i64) -> Self {
        let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
        let text = match &request.text {
            Some(Value::Object(text)) if text.contains_key("format") => Value::Object(text.clone()),
            Some(Value::Object(text)) => {
                let mut text = text.clone();
                text.insert("format".to_owned(), json!({ "type": "text" }));
                Value::Object(text)
            }
            _ => json!({ "format": { "type": "text" } }),
        };
        let mut echo = Map::new();
        let mut put = |key: &str, value: Value| echo.insert(key.to_owned(), value);
        put("instructions", or_null(request.instructions.clone()));
        put("max_output_tokens", or_null(request.max_output_tokens.map(Value::from)));
        put("max_tool_calls", or_null(request.max_tool_calls.map(Value::from)));
        put("metadata", Value::Object(request.metadata.clone().unwrap_or_default()));
        put("model", request.model.as_str().into());
        put("parallel_tool_calls", request.parallel_tool_calls.unwrap_or(true).into());
        put("previous_response_id", or_null(request.previous_response_id.clone().map(Value::from)));
        put("reasoning", request.reasoning.clone().unwrap_or_else(|| json!({ "effort": null, "summary": null })));
        put("service_tier", "default".into());
        put("store", request.is_stored().into());
        put("background", request.is_background().into());
        put("temperature", request.temperature.unwrap_or(1.0).into());
        put("top_p", request.top_p.unwrap_or(1.0).into());
        put("top_logprobs", 0.into());
        put("text", text);
        put("tool_choice", request.tool_choice.clone().filter(|choice| !choice.is_null()).unwrap_or_else(|| "auto".into()));
        put("tools", request.tools.clone().unwrap_or_default().into());
        put("truncation", request.truncation.clone().filter(|way| !way.is_null()).unwrap_or_else(|| "disabled".into()));
        put("user", or_null(request.user.clone().map(Value::from)));
        put("safety_identifier", or_null(request.safety_identifier.clone().map(Value::from)));
        put("prompt_cache_key", or_null(request.prompt_cache_key.clone().map(Value::from)));
        Self { id: id.to_owned(), created, echo }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The digits of its id, from which those of its items are made.
    pub(super) fn digits(&self) -> &str {
        self.id.trim_start_matches("resp_")
    }

    /// Before it is finished: `queued`, `in_progress`, `cancelled`.
    pub fn standing(&self, status: &str) -> Value {
        self.write(status, Vec::new(), None, (Value::Null, Value::Null))
    }

    /// Finished, or stopped at the bound of tokens.
    pub(super) fn finished(&self, reason: &str, output: Vec<Value>, usage: &Usage) -> Value {
        let reason = match reason {
            "length" => "max_output_tokens",
            "content_filter" => "content_filter",
            _ => return self.write("completed", output, Some(usage), (Value::Null, Value::Null)),
        };
        self.write("incomplete", output, Some(usage), (Value::Null, json!({ "reason": reason })))
    }

    /// Broken off, with the words that it had.
    pub fn failed(&self, output: Vec<Value>, code: Option<&str>, message: &str) -> Value {
        let error = json!({ "code": code.unwrap_or("server_error"), "message": message });
        self.write("failed", output, None, (error, Value::Null))
    }

    fn write(&self, status: &str, output: Vec<Value>, usage: Option<&Usage>, (error, incomplete): (Value, Value)) -> Value {
        let usage = usage.map_or(Value::Null, |usage| {
            json!({
                "input_tokens": usage.prompt, "input_tokens_details": { "cached_tokens": usage.cached, "cache_write_tokens": 0 },
                "output_tokens": usage.completion, "output_tokens_details": { "reasoning_tokens": usage.reasoning },
                "total_tokens": usage.total,
            })
        });
        let mut object = Map::new();
        let first = [
            ("id", Value::from(self.id.as_str())),
            ("object", "response".into()),
            ("created_at", self.created.into()),
            ("status", status.into()),
            ("error", error),
            ("incomplete_details", incomplete),
            ("output", output.into()),
            ("usage", usage),
        ];
        object.extend(first.map(|(key, value)| (key.to_owned(), value)));
        object.extend(self.echo.clone());
        Value::Object(object)
    }
}

/// A page of `GET /v1/responses/{id}/input_items`.
pub fn list_of_items(items: &[Value], has_more: bool) -> Bytes {
    let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
    json!({ "object": "list", "data": items, "first_id": id(items.first()), "last_id": id(items.last()), "has_more": has_more })
        .to_string()
        .into()
}
