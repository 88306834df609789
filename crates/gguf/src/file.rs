//! What does the header of a model file tell about the model?
//!
//! In: what was parsed. Out: names, sizes and counts, each `None` where the file is silent and
//! nothing follows from the rest. Fails: only while reading. Holds: some hundred kilobytes at most
//! for an honest file; the vocabulary is not among them.

use std::io::BufReader;
use std::path::Path;

use crate::error::Error;
use crate::metadata::{Array, Items, Metadata, Value};
use crate::parse::Parts;
use crate::tensor::Tensor;
use crate::vocabulary::Vocabulary;
use crate::{limits, parse, quantisation};

/// Bytes that are asked from the system at once.
const BUFFER: usize = 256 << 10;

/// The header of a GGUF file.
#[derive(Debug, Clone)]
pub struct File {
    version: u32,
    architecture: String,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    data_start: u64,
    whole_len: u64,
}

/// A number that may differ from layer to layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerLayer {
    /// The same in every layer.
    Same(u64),
    /// One for each layer.
    Each(Vec<u64>),
}

impl PerLayer {
    /// The number of this layer; 0 beyond the last.
    pub fn at(&self, layer: u64) -> u64 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => usize::try_from(layer).ok().and_then(|layer| numbers.get(layer)).copied().unwrap_or(0),
        }
    }
    /// The largest.
    pub fn most(&self) -> u64 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => numbers.iter().copied().max().unwrap_or(0),
        }
    }
}

impl File {
    /// Reads the header of the file at this path. Blocks; some milliseconds for a large vocabulary.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (file, len) = open(path.as_ref())?;
        parse::parse(file, len)
    }

    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        let Parts { version, metadata, tensors, data_start, file_len } = parts;
        let key = "general.architecture";
        let architecture = match metadata.get(key) {
            // Of a split model the first file says what all of them are.
            None if metadata.number("split.no").is_some_and(|number| number > 0) => String::new(),
            None => return Err(Error::Missing { key }),
            Some(Value::Text(text)) if !text.is_empty() && text.len() <= 64 => text.clone(),
            Some(_) => return Err(Error::WrongValue { key, wanted: "a short text" }),
        };
        Ok(Self { version, architecture, metadata, tensors, data_start, whole_len: file_len })
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }
    /// The kind of model: `llama`, `qwen3`, `gemma3`. Empty in a later file of a split model that does not say it again.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }
    /// What its maker calls it.
    pub fn name(&self) -> Option<&str> {
        self.metadata.text("general.name")
    }
    /// The quantisation as people write it (`Q4_K_M`): from the file type, else the type of most
    /// of the weights.
    pub fn quantisation(&self) -> Option<&'static str> {
        let stated = self.metadata.number("general.file_type").and_then(quantisation::name_of);
        stated.or_else(|| quantisation::dominant(&self.tensors))
    }
    /// Tokens of context that it was trained for.
    pub fn context_length(&self) -> Option<u64> {
        self.number("context_length")
    }
    /// Layers.
    pub fn block_count(&self) -> Option<u64> {
        self.number("block_count")
    }
    /// Numbers in one token's vector.
    pub fn embedding_length(&self) -> Option<u64> {
        self.number("embedding_length")
    }
    /// Width of the feed-forward part.
    pub fn feed_forward_length(&self) -> Option<PerLayer> {
        self.per_layer("feed_forward_length")
    }
    /// Attention heads.
    pub fn head_count(&self) -> Option<PerLayer> {
        self.per_layer("attention.head_count")
    }
    /// Heads of keys and values; where the file is silent, as many as attention heads.
    pub fn head_count_kv(&self) -> Option<PerLayer> {
        self.per_layer("attention.head_count_kv").or_else(|| self.head_count())
    }
    /// Numbers in one head's key; where the file is silent, the embedding shared among the heads.
    pub fn key_length(&self) -> Option<u64> {
        self.number("attention.key_length").or_else(|| self.shared_length())
    }
    /// Numbers in one head's value; where the file is silent, the embedding shared among the heads.
    pub fn value_length(&self) -> Option<u64> {
        self.number("attention.value_length").or_else(|| self.shared_length())
    }
    /// Tokens that the layers with a sliding window look back.
    pub fn sliding_window(&self) -> Option<u64> {
        self.number("attention.sliding_window").filter(|window| *window > 0)
    }
    /// Experts in each layer, and how many of them one token uses.
    pub fn experts(&self) -> Option<(u64, u64)> {
        let count = self.number("expert_count").filter(|count| *count > 0)?;
        let used = self.per_layer("expert_used_count").map_or(0, |used| used.most());
        Some((count, used))
    }
    /// Tokens in the vocabulary.
    pub fn vocabulary_size(&self) -> Option<u64> {
        let tokens = self.metadata.array("tokenizer.ggml.tokens").map(|array| array.len);
        tokens.or_else(|| self.number("vocab_size"))
    }
    /// The Jinja template that turns messages into a prompt.
    pub fn chat_template(&self) -> Option<&str> {
        self.metadata.text("tokenizer.chat_template")
    }
    /// The token that begins a text.
    pub fn bos_token(&self) -> Option<u64> {
        self.metadata.number("tokenizer.ggml.bos_token_id")
    }
    /// The token that ends a text.
    pub fn eos_token(&self) -> Option<u64> {
        self.metadata.number("tokenizer.ggml.eos_token_id")
    }
    /// Whether it makes embeddings and no text: it says how to pool them.
    pub fn is_embedding(&self) -> bool {
        self.number("pooling_type").is_some_and(|kind| kind != 0)
    }
    /// How many files the model is cut into; 1 for a whole one.
    pub fn split_count(&self) -> u64 {
        self.metadata.number("split.count").unwrap_or(1).max(1)
    }
    /// Which of these files this is, from 0.
    pub fn split_no(&self) -> u64 {
        self.metadata.number("split.no").unwrap_or(0)
    }
    /// Numbers in all tensors of this file.
    pub fn parameter_count(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.elements()))
    }
    /// Bytes of all tensors of this file.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }
    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
    /// Every key with its value.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
    /// Where the data of the tensors begins, in bytes from the start of the file.
    pub fn data_start(&self) -> u64 {
        self.data_start
    }
    /// Bytes in the whole file.
    pub fn file_len(&self) -> u64 {
        self.whole_len
    }
    /// A number under the architecture's own prefix: `number("block_count")`.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.metadata.number(&self.key(key))
    }
    /// A number, or one for each layer, under the architecture's own prefix.
    pub fn per_layer(&self, key: &str) -> Option<PerLayer> {
        let key = self.key(key);
        if let Some(number) = self.metadata.number(&key) {
            return Some(PerLayer::Same(number));
        }
        let numbers = self.metadata.numbers(&key)?;
        Some(PerLayer::Each(numbers.iter().map(|number| u64::try_from(*number).unwrap_or(0)).collect()))
    }
    /// About how many bytes this value holds in memory.
    pub fn held_bytes(&self) -> usize {
        let keys: usize = self.metadata.iter().map(|(key, value)| key.len() + held_by(value)).sum();
        let tensors: usize = self.tensors.iter().map(|tensor| tensor.name.len() + tensor.shape.len() * 8).sum();
        keys + tensors + self.tensors.len() * size_of::<Tensor>()
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// Layers, as far as they are computed with.
    pub(crate) fn layers(&self) -> u64 {
        self.block_count().unwrap_or(0).min(limits::LAYERS)
    }

    fn shared_length(&self) -> Option<u64> {
        let heads = self.head_count()?.most();
        self.embedding_length()?.checked_div(heads)
    }
}

impl Vocabulary {
    /// Reads the vocabulary of the file at this path. Blocks.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (file, len) = open(path.as_ref())?;
        parse::parse_vocabulary(file, len)
    }
}

fn open(path: &Path) -> Result<(BufReader<std::fs::File>, u64), Error> {
    let refused = |source| Error::Open { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(refused)?;
    let meta = file.metadata().map_err(refused)?;
    if meta.is_dir() {
        return Err(refused(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok((BufReader::with_capacity(BUFFER, file), meta.len()))
}

fn held_by(value: &Value) -> usize {
    let beyond = match value {
        Value::Text(text) => text.len(),
        Value::Array(Array { items: Some(items), .. }) => match items {
            Items::Whole(numbers) => numbers.len() * 8,
            Items::Real(numbers) => numbers.len() * 4,
            Items::Text(texts) => texts.iter().map(|text| text.len() + size_of::<String>()).sum(),
        },
        _ => 0,
    };
    beyond + size_of::<Value>()
}
