//! What a call asks for.
//!
//! In: a body. Out: an [`Ask`]. Fails: with the message that llama-server has for it. A token is a word.

use serde_json::Value;

/// A call for text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) chat: bool,
    pub(super) stream: bool,
    pub(super) usage: bool,
    pub(super) most: Option<u64>,
    pub(super) prompt_tokens: u64,
}

/// What every template adds to a message.
const FOR_A_MESSAGE: u64 = 4;

impl Ask {
    pub(super) fn read(body: &[u8], chat: bool) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("parse error: {error}"))?;
        let prompt_tokens = if chat {
            let messages = body["messages"].as_array().ok_or("'messages' is required")?;
            messages.iter().map(|message| words(&message["content"]) + FOR_A_MESSAGE).sum()
        } else {
            if body["prompt"].is_null() {
                return Err("\"prompt\" is required".to_owned());
            }
            words(&body["prompt"])
        };
        let most = ["max_completion_tokens", "max_tokens", "n_predict"].iter().find_map(|name| body[*name].as_u64());
        Ok(Self {
            chat,
            stream: body["stream"].as_bool().unwrap_or(false),
            usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            most,
            prompt_tokens: prompt_tokens.max(1),
        })
    }
}

/// Words of a text, of parts of a message, of several texts.
pub(super) fn words(content: &Value) -> u64 {
    match content {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(parts) => parts.iter().map(words).sum(),
        Value::Object(part) => part.get("text").map_or(0, words),
        Value::Number(_) => 1, // a token
        _ => 0,
    }
}
