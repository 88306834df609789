//! What does the `config.json` beside the weights say?
//!
//! In: a folder. Out: the few facts that Penstock needs; what is not there is none. Fails: on JSON that is none, or too large.
//! From: the fields that `transformers` writes, also those of models that nest their text part.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::open;

/// Published ones have some kilobytes; a tokenizer's with a long template some hundred.
const LARGEST: u64 = 4 << 20;

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `LlamaForCausalLM`, …
    pub class: Option<String>,
    /// `llama`, `qwen3`, …
    pub architecture: Option<String>,
    /// The type of its numbers: `bfloat16`, …
    pub kind: Option<String>,
    /// How its weights are packed: `awq`, `gptq`, `fp8`, …
    pub quantisation: Option<String>,
    /// Longest context, in tokens.
    pub context_length: Option<u64>,
    /// Number of layers.
    pub layers: Option<u64>,
    /// Width of the hidden state.
    pub width: Option<u64>,
    /// Size of the vocabulary.
    pub vocabulary: Option<u64>,
    /// Heads of queries.
    pub heads: Option<u64>,
    /// Heads of keys and values.
    pub kv_heads: Option<u64>,
    /// Width of a head.
    pub head_width: Option<u64>,
    /// It takes images.
    pub vision: bool,
    /// It takes sound.
    pub audio: bool,
    /// Its chat template.
    pub template: Option<String>,
}

impl Config {
    /// KV-cache bytes for one token at 16 bits, summed over layers.
    pub fn kv_bytes_per_token(&self) -> Option<u64> {
        const KEYS_AND_VALUES: u64 = 2;
        const BYTES: u64 = 2;
        let heads = self.kv_heads.or(self.heads)?;
        let width = self.head_width.or_else(|| self.width?.checked_div(self.heads?))?;
        self.layers?.checked_mul(heads)?.checked_mul(width)?.checked_mul(KEYS_AND_VALUES * BYTES)
    }
}

/// Reads what lies in the folder.
pub fn read(folder: &Path) -> Result<Config, Error> {
    let Some(config) = json(&folder.join("config.json"))? else {
        return Ok(Config { template: template(folder)?, ..Config::default() });
    };
    // Models that also see or hear keep what is said of their text in a part of its own.
    let inner = ["text_config", "llm_config", "thinker_config"].iter().find_map(|key| config.get(key).filter(|part| part.is_object()));
    let field = |key: &str| inner.and_then(|part| part.get(key)).or_else(|| config.get(key)).filter(|value| !value.is_null());
    let number = |keys: &[&str]| keys.iter().find_map(|key| field(key)?.as_u64());
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| text.chars().take(LONGEST_WORD).collect::<String>());
    Ok(Config {
        class: text(config.get("architectures").and_then(|all| all.get(0))),
        architecture: text(config.get("model_type")),
        kind: text(field("torch_dtype").or_else(|| field("dtype"))),
        quantisation: text(config.get("quantization_config").and_then(|part| part.get("quant_method"))),
        context_length: number(&["max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"]),
        layers: number(&["num_hidden_layers", "n_layer", "num_layers"]),
        width: number(&["hidden_size", "n_embd", "d_model"]),
        vocabulary: number(&["vocab_size"]),
        heads: number(&["num_attention_heads", "n_head"]),
        kv_heads: number(&["num_key_value_heads"]),
        head_width: number(&["head_dim"]),
        vision: config.get("vision_config").is_some(),
        audio: config.get("audio_config").is_some(),
        template: template(folder)?,
    })
}

const LONGEST_WORD: usize = 128;

/// In a file of its own, or in the tokenizer's.
fn template(folder: &Path) -> Result<Option<String>, Error> {
    if let Some(text) = text(&folder.join("chat_template.jinja"))? {
        return Ok(Some(text));
    }
    let Some(config) = json(&folder.join("tokenizer_config.json"))? else { return Ok(None) };
    let template = config.get("chat_template");
    // Several have names; the first is the usual one.
    let named = template.and_then(|all| all.get(0)).and_then(|first| first.get("template"));
    Ok(template.and_then(Value::as_str).or_else(|| named.and_then(Value::as_str)).map(str::to_owned))
}

/// A file of JSON, if it is there.
pub(crate) fn json(path: &Path) -> Result<Option<Value>, Error> {
    text(path)?.map(|text| serde_json::from_str(&text).map_err(|error| Error::corrupt(path, "JSON", error))).transpose()
}

fn text(path: &Path) -> Result<Option<String>, Error> {
    let file = match open(path) {
        Err(Error::Read { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(Error::read(path))?;
    if text.len() as u64 > LARGEST {
        return Err(Error::TooMuch { path: path.to_owned(), what: format!("more than {LARGEST} bytes") });
    }
    Ok(Some(text))
}
