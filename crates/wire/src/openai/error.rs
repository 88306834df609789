//! How does an error read on OpenAI's wire, and how does an engine's error become one?
//!
//! In: what went wrong, or the body of an engine's error. Out: `{"error":{message,type,param,code}}` with all four keys,
//! `param` and `code` a string or null, further members kept. Fails: never; a body that says nothing
//! understandable becomes a plain upstream error, never a text inside a text.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::scan;

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Body {
    error: Inner,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Inner {
    message: String,
    #[serde(rename = "type")]
    kind: String,
    param: Option<String>,
    code: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Body {
    /// An error of this type, without param and code.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: Inner { message: message.into(), kind: kind.into(), param: None, code: None, more: Map::new() } }
    }
    /// Names the member of the request that is at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.error.param = Some(param.into());
        self
    }
    /// Gives the error a code that programs test for.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.error.code = Some(code.into());
        self
    }
    /// Adds a member beside the four; one of their names is not overwritten.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if !FOUR.contains(&key) {
            self.error.more.insert(key.to_owned(), value.into());
        }
        self
    }
    /// Says how far a model's start is: `state`, `progress` from 0 to 1 and seconds to go, where known.
    #[must_use]
    pub fn loading(self, state: &str, progress: Option<f64>, eta_seconds: Option<u64>) -> Self {
        self.with("loading", serde_json::json!({ "state": state, "progress": progress, "eta_seconds": eta_seconds }))
    }
    /// The bytes of the body.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| PLAIN.to_vec()).into()
    }
}

const FOUR: [&str; 4] = ["message", "type", "param", "code"];
const PLAIN: &[u8] =
    br#"{"error":{"message":"the error could not be written","type":"server_error","param":null,"code":"internal_error"}}"#;
const CONTEXT_CODE: &str = "context_length_exceeded";
const UPSTREAM: &str = "upstream_error";

/// True when the body already is an error as OpenAI writes it: the four keys with the right types.
pub fn is_openai_error(body: &[u8]) -> bool {
    let Ok(scan) = scan::object(body) else { return false };
    let Some(error) = scan.object("error") else { return false };
    let text = |key| error.get(key).is_some_and(|member| member.kind == scan::Kind::String);
    let text_or_null = |key| text(key) || error.is_null(key);
    text("message") && text("type") && text_or_null("param") && text_or_null("code")
}

/// An engine's error as a client may see it: as it is if it has the shape, else put into the shape.
pub fn relay(body: &Bytes) -> Bytes {
    if is_openai_error(body) && !is_context_overflow(body) {
        return body.clone();
    }
    match serde_json::from_slice(body) {
        Ok(value) => shaped(value).to_bytes(),
        Err(_) => nameless().to_bytes(),
    }
}

/// True when an engine refuses a prompt because it does not fit into the model's context.
pub fn is_context_overflow(body: &[u8]) -> bool {
    let finds = |needle: &str| memchr::memmem::find(body, needle.as_bytes()).is_some();
    finds("exceed_context_size_error") || finds("maximum context length") || finds(CONTEXT_CODE)
}

fn shaped(value: Value) -> Body {
    let Value::Object(mut members) = value else { return nameless() };
    match members.remove("error") {
        Some(Value::Object(error)) => from_members(error),
        Some(Value::String(message)) => from_members(Map::from_iter([("message".to_owned(), Value::String(message))])),
        _ if members.get("message").is_some_and(Value::is_string) => {
            members.remove("object");
            from_members(members)
        }
        _ => match detail(members.remove("detail")) {
            Some(message) => Body::new(UPSTREAM, message).code(UPSTREAM),
            None => nameless(),
        },
    }
}

/// The text of a FastAPI error: a string, or a list of findings of which the first is told.
fn detail(detail: Option<Value>) -> Option<String> {
    match detail? {
        Value::String(text) => Some(text),
        Value::Array(findings) => findings.first()?.get("msg")?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn from_members(mut error: Map<String, Value>) -> Body {
    let mut text = |key: &str| match error.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let Some(message) = text("message") else { return nameless() };
    let (kind, param, code) = (text("type"), text("param"), text("code"));
    let overflow = is_context_overflow(kind.as_deref().unwrap_or_default().as_bytes())
        || is_context_overflow(message.as_bytes())
        || code.as_deref() == Some(CONTEXT_CODE);
    let inner = if overflow {
        let param = Some(param.unwrap_or_else(|| "messages".to_owned()));
        Inner { message, kind: "invalid_request_error".to_owned(), param, code: Some(CONTEXT_CODE.to_owned()), more: error }
    } else {
        Inner { message, kind: kind.unwrap_or_else(|| UPSTREAM.to_owned()), param, code, more: error }
    };
    Body { error: inner }
}

fn nameless() -> Body {
    Body::new(UPSTREAM, "the engine answered with an error that it did not explain; its log may say more").code(UPSTREAM)
}
