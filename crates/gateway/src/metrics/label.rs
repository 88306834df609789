//! By what the numbers are told apart; every set of values is closed or capped.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A route by its pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabel {
    pub(crate) path: String,
}

/// A request's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HttpLabel {
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

/// A call of a model, in the words of the GenAI conventions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabel {
    pub(crate) gen_ai_operation_name: &'static str,
    pub(crate) gen_ai_provider_name: &'static str,
    pub(crate) gen_ai_request_model: String,
    pub(crate) gen_ai_response_model: String,
    pub(crate) error_type: Code,
}

/// A call's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabel {
    #[prometheus(flatten)]
    pub(super) call: CallLabel,
    pub(super) gen_ai_token_type: &'static str,
}

/// A stage of the walk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StageLabel {
    pub(super) stage: Stage,
}

/// Why a call was sent away from the line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: Why,
}

/// The stages of the walk in which we spend time of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Scanning the body.
    Read,
    /// Who, and may they now.
    Admit,
    /// Finding a slot, less the time in line.
    Choose,
    /// Splicing the body and writing the call.
    Send,
    /// Working on the answer, over all of its pieces.
    Relay,
}

/// Why a call was sent away from the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// The line was full.
    QueueFull,
    /// The caller's patience ended in line.
    WaitTimeout,
}

/// The kind of failure, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// It went well.
    None,
    /// It failed so.
    Is(&'static str),
}

macro_rules! word {
    ($type:ty, $($pattern:pat => $word:expr),+) => {
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                encoder.write_str(match self { $($pattern => $word),+ })
            }
        }
    };
}

word!(Stage, Self::Read => "read", Self::Admit => "admit", Self::Choose => "choose", Self::Send => "send", Self::Relay => "relay");
word!(Why, Self::QueueFull => "queue_full", Self::WaitTimeout => "wait_timeout");
word!(Code, Self::None => "", Self::Is(kind) => kind);
