//! The words of a model: tokens, merges, and what the tokenizer does with them.
//!
//! In: the metadata, read with all its arrays. Out: a [`Vocabulary`]. Fails: when the file has no
//! tokens or names no tokenizer. Holds: all tokens, some 10 MB for the largest; read it when it is
//! needed and let it go. From: the keys `tokenizer.ggml.*` of the GGUF specification.

use crate::error::Error;
use crate::metadata::{Array, Items, Metadata, Value};

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const MERGES: &str = "tokenizer.ggml.merges";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";

/// The arrays that are kept when the vocabulary is wanted.
pub(crate) const ARRAYS: [&str; 4] = [TOKENS, MERGES, TYPES, SCORES];

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// A piece of text.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// Steers the model; matched only where special tokens are.
    Control,
    /// Added by the maker; always matched as a whole.
    UserDefined,
    /// Never used.
    Unused,
    /// One byte.
    Byte,
}

impl TokenType {
    fn of(code: i64) -> Self {
        match code {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// The vocabulary of a model.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The kind of tokenizer: `gpt2` (byte-level BPE), `llama` (SentencePiece), `bert`, `t5`.
    pub model: String,
    /// How text is cut before merging: `gpt-2`, `llama-bpe`, `qwen2`.
    pub pre: Option<String>,
    /// The tokens, by id.
    pub tokens: Vec<String>,
    /// What each token is for; as long as `tokens`.
    pub types: Vec<TokenType>,
    /// Pairs that are merged, best first, each with a space between its halves.
    pub merges: Vec<String>,
    /// How likely each token is; empty where the tokenizer needs none.
    pub scores: Vec<f32>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The token that ends a text.
    pub eos: Option<u32>,
    /// The token for what has none.
    pub unknown: Option<u32>,
    /// Whether a text gets the first token put before it; `None` leaves it to the tokenizer's kind.
    pub add_bos: Option<bool>,
    /// Whether a text gets the last token put behind it.
    pub add_eos: Option<bool>,
    /// Whether a text gets a space put before it.
    pub add_space_prefix: Option<bool>,
    /// How the messages of a chat become one text, as a Jinja template.
    pub chat_template: Option<String>,
}

impl Vocabulary {
    pub(crate) fn new(mut metadata: Metadata) -> Result<Self, Error> {
        let model = metadata.text(MODEL).ok_or(Error::NoVocabulary { key: MODEL })?.to_owned();
        let tokens = take_texts(&mut metadata, TOKENS).ok_or(Error::NoVocabulary { key: TOKENS })?;
        let codes = metadata.numbers(TYPES).unwrap_or_default();
        let types = (0..tokens.len()).map(|id| codes.get(id).map_or(TokenType::Normal, |code| TokenType::of(*code))).collect();
        let id = |key| metadata.number(key).and_then(|id| u32::try_from(id).ok());
        Ok(Self {
            pre: metadata.text("tokenizer.ggml.pre").map(str::to_owned),
            bos: id("tokenizer.ggml.bos_token_id"),
            eos: id("tokenizer.ggml.eos_token_id"),
            unknown: id("tokenizer.ggml.unknown_token_id"),
            add_bos: metadata.flag("tokenizer.ggml.add_bos_token"),
            add_eos: metadata.flag("tokenizer.ggml.add_eos_token"),
            add_space_prefix: metadata.flag("tokenizer.ggml.add_space_prefix"),
            chat_template: metadata.text("tokenizer.chat_template").map(str::to_owned),
            merges: take_texts(&mut metadata, MERGES).unwrap_or_default(),
            scores: take_reals(&mut metadata, SCORES).unwrap_or_default(),
            model,
            tokens,
            types,
        })
    }
}

fn take_texts(metadata: &mut Metadata, key: &str) -> Option<Vec<String>> {
    match metadata.remove(key)? {
        Value::Array(Array { items: Some(Items::Text(texts)), .. }) => Some(texts),
        _ => None,
    }
}

fn take_reals(metadata: &mut Metadata, key: &str) -> Option<Vec<f32>> {
    match metadata.remove(key)? {
        Value::Array(Array { items: Some(Items::Real(reals)), .. }) => Some(reals),
        _ => None,
    }
}
