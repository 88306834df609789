//! What can be served: a model, and the immutable versions behind its tags.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::source::Source;

/// The format of a version's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// llama.cpp's single-file format.
    Gguf,
}

/// One immutable set of files with what their headers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// `sha256:` and 64 hexadecimal digits over the content.
    pub digest: String,
    /// Where the main file lies on this machine.
    pub path: PathBuf,
    /// Bytes of all files.
    pub size: ByteSize,
    /// The format.
    pub format: Format,
    /// `llama`, `qwen3`, …
    pub architecture: String,
    /// `F16`, `Q4_K_M`, …
    pub quantisation: String,
    /// The name in the file's own words.
    pub title: Option<String>,
    /// Number of parameters.
    pub parameters: u64,
    /// Longest context that the model was made for, in tokens.
    pub context_length: u32,
    /// Number of layers.
    pub layers: u32,
    /// Bytes of all tensors.
    pub weights: ByteSize,
    /// KV-cache bytes for one token of context at 16 bits, summed over layers.
    pub kv_bytes_per_token: u64,
    /// Width of the hidden state; the length of an embedding.
    pub embedding_length: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Whether the file carries a chat template.
    pub has_template: bool,
    /// What of it takes memory; empty in a revision that was stored before this was known.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
}

/// What of a model takes memory when it is loaded, as its header tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Body {
    /// The layers in their order; neighbours that are alike stand together.
    pub layers: Vec<Layers>,
    /// Bytes of what turns tokens into numbers; it is looked up in main memory, not computed with.
    pub input: ByteSize,
    /// Of these, bytes that also serve as output, where the file has no other.
    pub shared: ByteSize,
    /// Bytes of what turns numbers into scores of tokens.
    pub output: ByteSize,
    /// Bytes of all matrices that are computed with, by their type: `Q4_K`, `F16`, …
    pub matrices: BTreeMap<String, ByteSize>,
    /// Of these, bytes that lie behind everything else in the file.
    pub tail: ByteSize,
    /// Heads of queries in a layer, the most of any.
    pub heads: u32,
    /// Numbers in all queries of one token.
    pub queries: u32,
    /// Numbers in the feed-forward part of a layer for one token, the most of any; of one expert where there are several.
    pub feed_forward: u32,
    /// Experts in a layer; 0 for none.
    pub experts: u32,
    /// Experts that one token uses.
    pub experts_used: u32,
    /// Numbers that a recurrent layer computes with for one token; 0 for none.
    pub recurrent: u32,
    /// Rules by which the tokens of the vocabulary are put together.
    pub merges: u32,
}

/// Layers that are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layers {
    /// So many.
    pub count: u32,
    /// Bytes of the tensors of each.
    pub weights: ByteSize,
    /// Numbers in the keys of one token.
    pub keys: u64,
    /// Numbers in the values of one token.
    pub values: u64,
    /// Tokens that it looks back; 0 for all of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub window: u64,
    /// Bytes that it keeps for a slot whatever the length of the text.
    #[serde(skip_serializing_if = "is_zero")]
    pub state: u64,
}

impl Body {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A named thing in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: Name,
    /// Where it came from.
    pub source: Source,
    /// Tag to digest; `latest` is always there.
    pub tags: BTreeMap<String, String>,
    /// Its versions, newest first.
    pub versions: Vec<Version>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
