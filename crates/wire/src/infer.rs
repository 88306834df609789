//! How does the line-by-line call of the older llama.cpp control planes read?
//!
//! In: the body of `POST /infer`; then the engine's stream. Out: a body for the engine; then one JSON object a line:
//! `{"token":..,"done":false}` for each piece of text, a last one with the whole text, the reason, the usage and the
//! duration. Fails: on a body that is not this request, on the engine's error, on a stream that ends early. Holds: the text so
//! far, since the last line repeats it. Zero is a value: `temperature: 0` and `seed: 0` reach the engine.

mod lines;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::openai::Shape;
use crate::scan;

pub use lines::{Lines, error_body, error_line};

/// The body of `POST /infer`. Members that it does not know are passed over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ask {
    /// The model; the default one if it is not named.
    pub model: Option<String>,
    /// The text to go on with.
    #[serde(default)]
    pub prompt: String,
    /// One line for each token; else only the last line.
    pub stream: Option<bool>,
    /// What else was asked, for the engine.
    #[serde(flatten)]
    pub options: Options,
}

/// How the engine shall choose its tokens; what is absent is the engine's to decide.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
pub struct Options {
    /// The most tokens to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// 0 for the likeliest token each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Only from the likeliest tokens that sum up to this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only from so many of the likeliest tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// Texts at which to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// The seed of the random choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// How much less likely a token is that has just been used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f64>,
}

impl Ask {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        scan::object(body)?;
        let ask: Self = serde_json::from_slice(body).map_err(Error::Shape)?;
        if ask.prompt.trim().is_empty() {
            return Err(Error::Value { param: "prompt", problem: Cow::Borrowed("is required and must not be blank") });
        }
        Ok(ask)
    }

    /// True when the client wants a line for each token, as it does unless it says no.
    pub fn wants_stream(&self) -> bool {
        self.stream.unwrap_or(true)
    }

    /// The body for the engine, on its completions or its chat path; always a stream, always with usage.
    pub fn body(&self, shape: Shape, engine_model: &str) -> Bytes {
        let mut body = Map::new();
        body.insert("model".to_owned(), Value::from(engine_model));
        if shape == Shape::Chat {
            body.insert("messages".to_owned(), json!([{ "role": "user", "content": self.prompt }]));
        } else {
            body.insert("prompt".to_owned(), Value::from(self.prompt.as_str()));
        }
        body.insert("stream".to_owned(), Value::Bool(true));
        body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        if let Ok(Value::Object(options)) = serde_json::to_value(&self.options) {
            body.extend(options);
        }
        Bytes::from(Value::Object(body).to_string())
    }
}
