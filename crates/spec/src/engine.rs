//! Which engines and runtimes there are, and how one talks to an engine.
//!
//! In: the words of a config. Out: closed enums, and [`Dialect`], the data by which the gateway's
//! one walk serves every engine.

use serde::{Deserialize, Serialize};

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// llama.cpp's server, one child process for each instance.
    LlamaServer,
    /// A remote or already running server that speaks the OpenAI API.
    Openai,
    /// Answers with the prompt; for trying the plumbing.
    Echo,
}

impl EngineKind {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 3] = [Self::LlamaServer, Self::Openai, Self::Echo];
    /// The word of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LlamaServer => "llama-server",
            Self::Openai => "openai",
            Self::Echo => "echo",
        }
    }
    /// Where it runs when the deployment does not say.
    pub fn default_runtime(self) -> RuntimeKind {
        match self {
            Self::LlamaServer | Self::Echo => RuntimeKind::Process,
            Self::Openai => RuntimeKind::External,
        }
    }
    /// Whether it needs model files of its own.
    pub fn needs_model(self) -> bool {
        matches!(self, Self::LlamaServer)
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// A child process of this machine, under a keeper.
    Process,
    /// Somewhere else; Penstock neither starts nor stops it.
    External,
}

impl RuntimeKind {
    /// The word of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::External => "external",
        }
    }
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one talks to an engine. All of it is data: the walk of a call is the same for every engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent trait of an engine")]
pub struct Dialect {
    /// Whether `/v1/chat/completions` is served.
    pub chat: bool,
    /// Whether `/v1/completions` is served.
    pub completions: bool,
    /// Whether `/v1/embeddings` is served.
    pub embeddings: bool,
    /// Always ask this engine for a stream and fold the reply for callers who did not: it notices a
    /// closed connection at once only while it streams.
    pub always_stream: bool,
    /// The engine understands `stream_options.include_usage`, so usage can be asked for.
    pub stream_usage: bool,
}
