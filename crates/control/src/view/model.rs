//! What can be served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A source to register under a name, with what is said of it; every field of a card may stand beside these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// The name that deployments will use: letters, digits and `. _ - : /`, at most 128.
    #[schema(example = "tiny")]
    pub name: String,
    /// Where the model comes from: `file:PATH` of a file or a folder, `hf:ORG/REPO`, a URL, or a name that is there already.
    #[schema(example = "file:./models/tiny.gguf")]
    pub source: String,
    /// What becomes of a file of the server's machine: `reference` reads it where it is, `copy` keeps a copy, `move` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// `gguf`, `safetensors`, `onnx` or `opaque`; found out when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What is said of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Tags that point to this version from now on, beside `latest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What is said of the model.
    #[serde(flatten)]
    pub card: ModelCard,
}

/// A model as a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Where it came from, and what people say of it.
    pub spec: ModelSpec,
    /// What was found there.
    pub status: ModelStatus,
    /// Rises by one with every change.
    pub generation: u64,
    /// When it was registered.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// Where a model comes from, and what people say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSpec {
    /// `file:PATH`, or another source; `upload:` for files that were sent.
    pub source: String,
    /// What people say of it.
    #[serde(flatten)]
    pub card: ModelCard,
}

/// What people say of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ModelCard {
    /// The project that it belongs to: who has a role within that may do with it what the role says, and it counts for the project's quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it is and what it is good for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Under which licence it may be used: an SPDX expression, or words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Free labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it can do: `chat`, `completion`, `embedding`, `rerank`, `tools`, `reasoning`, `vision`, `audio`; what its headers tell
    /// when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// What it takes, as a JSON schema.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<serde_json::Value>,
    /// What it gives, as a JSON schema.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<serde_json::Value>,
    /// The longest context that is served, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
    /// What a call gets where it says nothing itself; engines are started with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ModelParameters>,
    /// In place of the chat template in the file; Jinja.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// It should not be used any more, and this is what to use instead. Calls are still served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

/// Defaults of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ModelParameters {
    /// How freely the next token is chosen, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together have this share of the probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Only tokens that are at least this share as likely as the likeliest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Makes tokens less likely that were there lately; 1 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f64>,
    /// Makes tokens less likely that were there at all; 0 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Makes tokens less likely the more often they were there; 0 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// The same seed makes the same choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// An answer ends after so many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

/// What a model consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelStatus {
    /// What it can do: what its card says, else what was found in its newest version.
    pub capabilities: Vec<String>,
    /// Tag to digest; `latest` is always there.
    pub tags: BTreeMap<String, String>,
    /// Somebody has set `latest`: it does not move by itself.
    pub latest_is_set: bool,
    /// Its versions, newest first.
    pub versions: Vec<ModelVersion>,
    /// The deployments that name it.
    pub used_by: Vec<String>,
    /// Since when it should not be used any more.
    #[schema(format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_at: Option<String>,
}

/// A version in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelVersion {
    /// What never changes.
    #[serde(flatten)]
    pub version: Version,
    /// What people say of this version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When it came.
    #[schema(format = DateTime)]
    pub added_at: String,
    /// Who brought it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub added_by: String,
}

/// Where a tag shall point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TagTarget {
    /// A digest, its first twelve digits behind `sha256:`, or another tag.
    #[schema(example = "latest")]
    pub version: String,
}

/// A tag was set, moved or taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TagMove {
    /// The tag.
    pub tag: String,
    /// The digest that it pointed to; absent when it was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The digest that it points to; absent when it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who did it, or what.
    pub cause: String,
}

/// Files that were sent, to be a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewVersion {
    /// The main one first.
    pub files: Vec<SentFile>,
    /// What is said of this version.
    #[serde(default)]
    pub note: String,
    /// Tags that point to it from now on, beside `latest`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `gguf`, `safetensors`, `onnx` or `opaque`; found out when it is not said.
    #[serde(default)]
    pub format: Option<String>,
    /// What is said of the model, as in a change of it.
    #[serde(default)]
    pub card: Option<ModelCard>,
}

/// A file that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SentFile {
    /// What it is called within the model; parts of a split model keep the names that they were published with.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

/// What is said of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionNote {
    /// At most 4 KiB.
    pub note: String,
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
    /// The format: `gguf`, `safetensors`, `onnx` or `opaque`.
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
    /// What it consists of and can do; absent in a revision that was stored before this was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// What a version consists of, and what it can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Contents {
    /// Its files, the main one first.
    pub files: Vec<VersionFile>,
    /// Who keeps them: `reference` whoever put them where they lie, `blobs` Penstock.
    pub keep: String,
    /// What it can do, as far as its headers tell.
    pub capabilities: Vec<String>,
    /// What it takes, by name, where its format tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<TensorShape>,
    /// What it gives, by name, where its format tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<TensorShape>,
    /// Of a revision: how the model's card wanted it served then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionFile {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

/// A tensor that a model takes or gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TensorShape {
    /// Its name.
    pub name: String,
    /// Of what: `FLOAT`, `INT64`, …
    pub kind: String,
    /// Its dimensions; one that is free has a name, or `?`.
    pub dimensions: Vec<String>,
}

/// How a model's card wants its versions served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Serving {
    /// What a call gets where it says nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ModelParameters>,
    /// In place of the chat template in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// The longest context that is served, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
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
