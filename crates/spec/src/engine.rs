//! Which engines and runtimes there are, and how one talks to an engine.
//!
//! In: the words of a config. Out: closed enums, and [`Dialect`], the data by which the gateway's
//! one walk serves every engine.

use serde::{Deserialize, Serialize};

use crate::check::Invalid;
use crate::model::Format;

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
    /// Whether it can give back its memory and keep its process.
    pub fn can_sleep(self) -> bool {
        matches!(self, Self::LlamaServer)
    }
    /// Whether it tells how full its KV cache is.
    pub fn tells_kv_use(self) -> bool {
        matches!(self, Self::LlamaServer)
    }
    /// Whether what it calls an error of its own, in these words, is one of its caller's.
    pub fn blames_itself_for(self, message: &str) -> bool {
        match self {
            // A server that is named by its URL may be one of llama.cpp's.
            Self::LlamaServer | Self::Openai => LLAMA_BLAMES_ITSELF.iter().any(|start| message.starts_with(start)),
            Self::Echo => false,
        }
    }
    /// Whether it needs model files of its own.
    pub fn needs_model(self) -> bool {
        matches!(self, Self::LlamaServer)
    }
    /// The formats of the model files that it can serve; none for an engine that needs no files.
    pub fn formats(self) -> &'static [Format] {
        match self {
            Self::LlamaServer => &[Format::Gguf],
            Self::Openai | Self::Echo => &[],
        }
    }
    /// Why it cannot serve files of this format.
    pub fn format_problem(self, format: Format) -> Option<Invalid> {
        if !self.needs_model() || self.formats().contains(&format) {
            return None;
        }
        let known: Vec<&str> = self.formats().iter().map(|format| format.as_str()).collect();
        let what = format!("the engine `{self}` cannot serve a model whose format is {format}; it serves {}", known.join(", "));
        let others: Vec<&str> = Self::ALL.into_iter().filter(|other| other.formats().contains(&format)).map(Self::as_str).collect();
        let hint = if others.is_empty() {
            "convert the model to one of these, or serve it elsewhere and name that server by `url`".to_owned()
        } else {
            format!("use engine: {}", others.join(" or "))
        };
        Some(Invalid::one("model", what, hint))
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a 500 of llama.cpp's server begins whose cause stands in the body that it was sent.
const LLAMA_BLAMES_ITSELF: [&str; 10] = [
    "[json.exception.",
    "Failed to parse messages: ",
    "Failed to parse tools: ",
    "Failed to parse tool call arguments as JSON: ",
    "\"prompt\" elements must be ",
    "Unknown reasoning format: ",
    "Cannot use both json_schema and grammar",
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
];

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

/// How the keys and values of a context are stored; fewer bits take less memory and lose some precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CacheType {
    /// 32 bits.
    #[serde(rename = "f32")]
    F32,
    /// 16 bits: what engines do unless told otherwise.
    #[default]
    #[serde(rename = "f16")]
    F16,
    /// 16 bits with the range of 32.
    #[serde(rename = "bf16")]
    Bf16,
    /// 8 bits in blocks of 32.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 5 bits in blocks of 32, with an offset.
    #[serde(rename = "q5_1")]
    Q5_1,
    /// 5 bits in blocks of 32.
    #[serde(rename = "q5_0")]
    Q5_0,
    /// 4 bits in blocks of 32, with an offset.
    #[serde(rename = "q4_1")]
    Q4_1,
    /// 4 bits in blocks of 32.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// 4 bits in blocks of 32, on a curve.
    #[serde(rename = "iq4_nl")]
    Iq4Nl,
}

impl CacheType {
    /// The word of the config and of the engines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Iq4Nl => "iq4_nl",
        }
    }
}

impl std::fmt::Display for CacheType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
