//! What a version consists of, and what it can do.

use std::collections::BTreeSet;

use base::ByteSize;
use serde::{Deserialize, Serialize};

use super::Parameters;

/// What a version consists of, and what it can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    /// Its files, the main one first.
    pub files: Vec<Part>,
    /// Who keeps them.
    pub keep: Keep,
    /// The name of the one that turns images or sounds into what the model reads; none where it takes text alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projector: Option<String>,
    /// What it can do, as far as its headers tell.
    pub capabilities: BTreeSet<Capability>,
    /// What it takes, by name, where its format tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Shape>,
    /// What it gives, by name, where its format tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Shape>,
    /// How its model's card wants it served, as it was when the version was resolved; in the registry itself empty.
    #[serde(skip_serializing_if = "Serving::is_empty")]
    pub serving: Serving,
}

impl Contents {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    /// Bytes of the file that turns images or sounds into what the model reads.
    pub fn projector_size(&self) -> ByteSize {
        let of = |name: &String| self.files.iter().find(|file| file.name == *name).map(|file| file.size);
        self.projector.as_ref().and_then(of).unwrap_or_default()
    }
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name; below the folder of the version, with `/` between.
    pub name: String,
    /// Its length.
    pub size: ByteSize,
    /// `sha256:` and 64 hexadecimal digits over its content.
    pub digest: String,
}

/// Who keeps the files of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Whoever put them where they lie; Penstock only reads them.
    #[default]
    Reference,
    /// Penstock, by their digests.
    Blobs,
}

/// Something that a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Goes on with a conversation.
    Chat,
    /// Goes on with a text.
    Completion,
    /// Turns a text into numbers.
    Embedding,
    /// Says how well texts answer a question.
    Rerank,
    /// Calls tools.
    Tools,
    /// Thinks before it answers.
    Reasoning,
    /// Takes images.
    Vision,
    /// Takes or gives sound.
    Audio,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Chat, Self::Completion, Self::Embedding, Self::Rerank, Self::Tools, Self::Reasoning, Self::Vision, Self::Audio];
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::Tools => "tools",
            Self::Reasoning => "reasoning",
            Self::Vision => "vision",
            Self::Audio => "audio",
        }
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A tensor that a model takes or gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Of what: `FLOAT`, `INT64`, …
    pub kind: String,
    /// Its dimensions; one that is free has a name, or `?`.
    pub dimensions: Vec<String>,
}

/// How a model's card wants its versions served. An instance is started with it, so a change of it is a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Serving {
    /// What a call gets where it says nothing itself.
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// In place of the chat template in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// The longest context that is served, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
}

impl Serving {
    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
