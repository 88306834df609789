//! Embeddings in Ollama's words.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::keep::{Keep, keep_alive};
use crate::Error;
use crate::openai::Usage;
use crate::scan;

/// The body of `/api/embed`, or of the older `/api/embeddings`.
#[derive(Debug, Clone, Deserialize)]
pub struct Embed {
    /// The model, with or without its tag.
    pub model: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    prompt: Option<String>,
    dimensions: Option<u64>,
    #[serde(default)]
    keep_alive: Value,
}

/// What of an engine's answer is read.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Vector<'a>>,
}

#[derive(Deserialize)]
struct Vector<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

impl Embed {
    /// Reads the body of a request; `old` for `/api/embeddings`.
    pub fn parse(body: &[u8], old: bool) -> Result<Self, Error> {
        let scan = scan::object(body)?;
        for param in ["model", if old { "prompt" } else { "input" }] {
            if scan.get(param).is_none() {
                return Err(Error::Missing { param });
            }
        }
        serde_json::from_slice(body).map_err(Error::Shape)
    }

    /// How long the model shall stay, if the caller says.
    pub fn keep_alive(&self) -> Result<Option<Keep>, Error> {
        keep_alive(&self.keep_alive)
    }

    /// True when there is nothing to embed: the model is only loaded.
    pub fn is_empty(&self) -> bool {
        let empty = |value: &Value| value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        self.prompt.as_ref().map_or_else(|| empty(&self.input), String::is_empty)
    }

    /// The engine's request.
    pub fn body(&self, model: &str) -> Bytes {
        let input = self.prompt.as_ref().map_or_else(|| self.input.clone(), |prompt| prompt.as_str().into());
        let mut body = json!({ "model": model, "input": input, "encoding_format": "float" });
        if let Some(dimensions) = self.dimensions {
            body["dimensions"] = dimensions.into();
        }
        body.to_string().into()
    }
}

/// How an engine's embeddings are told on.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// As the client calls it.
    pub model: String,
    /// `/api/embeddings`, which has one vector and nothing else.
    pub old: bool,
}

impl Embedded {
    /// The answer, from the engine's.
    pub fn write(&self, answer: &[u8], took: Duration, load: Duration) -> Result<Bytes, Error> {
        let scan = scan::object(answer).map_err(Error::Event)?;
        let mut vectors = serde_json::from_slice::<Answer<'_>>(answer).map_err(Error::Answer)?.data;
        vectors.sort_by_key(|vector| vector.index);
        let texts: Vec<&str> = vectors.iter().map(|vector| vector.embedding.get()).collect();
        if self.old {
            return Ok(format!("{{\"embedding\":{}}}", texts.first().unwrap_or(&"[]")).into());
        }
        let model = Value::from(self.model.as_str());
        let count = Usage::of(&scan).map_or(0, |usage| usage.prompt);
        Ok(format!(
            "{{\"model\":{model},\"embeddings\":[{}],\"total_duration\":{},\"load_duration\":{},\"prompt_eval_count\":{count}}}",
            texts.join(","),
            took.as_nanos(),
            load.as_nanos()
        )
        .into())
    }

    /// The answer to nothing.
    pub fn nothing(&self) -> Bytes {
        if self.old { json!({ "embedding": [] }) } else { json!({ "model": self.model, "embeddings": [] }) }.to_string().into()
    }
}
