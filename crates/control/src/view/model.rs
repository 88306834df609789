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
}
