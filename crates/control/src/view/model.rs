//! What can be served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A source to register under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// The name that deployments will use: letters, digits and `. _ - : /`, at most 128.
    #[schema(example = "tiny")]
    pub name: String,
    /// Where the model comes from: `file:PATH`.
    #[schema(example = "file:./models/tiny.gguf")]
    pub source: String,
}

/// A model as a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub spec: ModelSource,
    /// What was found there.
    pub status: ModelStatus,
    /// Rises by one with every version.
    pub generation: u64,
    /// When it was registered.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSource {
    /// `file:PATH`, or another source.
    pub source: String,
}

/// What a model consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelStatus {
    /// Tag to digest; `latest` is always there.
    pub tags: BTreeMap<String, String>,
    /// Its versions, newest first.
    pub versions: Vec<Version>,
}

/// One immutable set of files with what their headers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `sha256:` and 64 hexadecimal digits over the content.
    pub digest: String,
    /// Where the main file lies on this machine.
    pub path: String,
    /// Bytes of all files.
    pub size: u64,
    /// The format: `gguf`.
    pub format: String,
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
    pub weights: u64,
    /// KV-cache bytes for one token of context at 16 bits, summed over layers.
    pub kv_bytes_per_token: u64,
    /// Width of the hidden state; the length of an embedding.
    pub embedding_length: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Whether the file carries a chat template.
    pub has_template: bool,
    /// What of it takes memory when it is loaded; absent in a revision that was stored before this was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// What of a model takes memory when it is loaded, as its header tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Body {
    /// The layers in their order; neighbours that are alike stand together.
    pub layers: Vec<Layers>,
    /// Bytes of what turns tokens into numbers; it stays in main memory.
    pub input: u64,
    /// Of these, bytes that also serve as output, where the file has no other.
    pub shared: u64,
    /// Bytes of what turns numbers into scores of tokens.
    pub output: u64,
    /// Bytes of all matrices that are computed with, by their type: `Q4_K`, `F16`, …
    pub matrices: BTreeMap<String, u64>,
    /// Of these, bytes that lie behind everything else in the file.
    pub tail: u64,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Layers {
    /// So many.
    pub count: u32,
    /// Bytes of the tensors of each.
    pub weights: u64,
    /// Numbers in the keys of one token.
    pub keys: u64,
    /// Numbers in the values of one token.
    pub values: u64,
    /// Tokens that each looks back; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Bytes that each keeps for a slot whatever the length of the text; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<u64>,
}
