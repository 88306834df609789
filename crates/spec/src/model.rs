//! What can be served: a model, and the immutable versions behind its tags.
//!
//! A [`Model`] is what people say of it (its [`Card`]), its versions, and tags that point to them. A [`Version`] never
//! changes: it is known by the digest of its content. What a header tells stands in it; what it consists of, and what it
//! can do, in its [`Contents`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use base::{ByteSize, Timestamp};
use serde::{Deserialize, Serialize};

mod body;
mod card;
mod contents;
mod parameters;
mod patch;

pub use body::{Body, Layers};
pub use card::{Card, LATEST, tag_problem, warning};
pub use contents::{Capability, Contents, Keep, Part, Serving, Shape};
pub use parameters::Parameters;
pub use patch::merge;

use crate::name::Name;
use crate::source::Source;

/// The format of a version's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// llama.cpp's format, in one file or several.
    Gguf,
    /// A folder of `.safetensors` files with its `config.json`.
    Safetensors,
    /// A graph with its weights.
    Onnx,
    /// Files that only their engine can read.
    Opaque,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gguf, Self::Safetensors, Self::Onnx, Self::Opaque];
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
            Self::Opaque => "opaque",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One immutable set of files with what their headers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// `sha256:` and 64 hexadecimal digits over the content.
    pub digest: String,
    /// Where the main file lies on this machine, or the folder of a model that is one.
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
    /// Longest context that the model was made for, in tokens; of a version that was resolved, no longer than its model's
    /// card allows.
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
    /// What it consists of and can do; empty in a revision that was stored before this was known.
    #[serde(default, skip_serializing_if = "Contents::is_empty")]
    pub contents: Contents,
}

impl Version {
    /// Where the file lies that turns images or sounds into what the model reads.
    pub fn projector(&self) -> Option<PathBuf> {
        let name = self.contents.projector.as_ref()?;
        let main = self.contents.files.first()?;
        // Names count from the folder in which the main file has its own.
        let root = self.path.ancestors().nth(std::path::Path::new(&main.name).components().count())?;
        Some(root.join(name))
    }

    /// What its prompts are counted by: the same content with another chat template counts them differently.
    pub fn prompt_key(&self) -> Cow<'_, str> {
        let Some(template) = &self.contents.serving.chat_template else { return Cow::Borrowed(&self.digest) };
        let mut hash = DefaultHasher::new();
        template.hash(&mut hash);
        Cow::Owned(format!("{}+{:x}", self.digest, hash.finish()))
    }
}

/// A version in the registry, with what is said of it there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// What never changes.
    #[serde(flatten)]
    pub version: Version,
    /// What people say of this version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When it came.
    #[serde(default = "long_ago")]
    pub added_at: Timestamp,
    /// Who brought it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub added_by: String,
}

fn long_ago() -> Timestamp {
    Timestamp::from_millis(0)
}

/// A named thing in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: Name,
    /// Where its newest version came from.
    pub source: Source,
    /// What people say of it.
    #[serde(default)]
    pub card: Card,
    /// Tag to digest; `latest` is always there.
    pub tags: BTreeMap<String, String>,
    /// Somebody has set `latest`: it stays where it is when a version comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub latest_is_set: bool,
    /// Its versions, newest first.
    #[serde(default)]
    pub versions: Vec<Listed>,
    /// Since when it should not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_at: Option<Timestamp>,
    /// Rises by one with every change.
    #[serde(default)]
    pub generation: u64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Model {
    /// The version of this digest.
    pub fn version(&self, digest: &str) -> Option<&Listed> {
        self.versions.iter().find(|listed| listed.version.digest == digest)
    }
    /// The version that a tag points to.
    pub fn tagged(&self, tag: &str) -> Option<&Listed> {
        self.version(self.tags.get(tag)?)
    }
    /// What it can do: what its card says, else what was found in its newest version.
    pub fn capabilities(&self) -> std::collections::BTreeSet<Capability> {
        let found = || self.tagged(LATEST).or(self.versions.first()).map(|listed| listed.version.contents.capabilities.clone());
        self.card.capabilities.clone().or_else(found).unwrap_or_default()
    }
    /// A version as it is to be served: with what the card says of that.
    pub fn as_served(&self, mut version: Version) -> Version {
        if let Some(most) = self.card.context_limit {
            version.context_length = version.context_length.min(most);
        }
        version.contents.serving = self.card.serving();
        version
    }
}

/// A tag was set, moved or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The tag.
    pub tag: String,
    /// The digest that it pointed to; none when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The digest that it points to; none when it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Who did it, or what.
    pub cause: String,
}

#[cfg(test)]
mod tests;
