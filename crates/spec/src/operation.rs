//! A durable job with progress.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::reason::Reason;

base::id! {
    /// The id of an operation.
    OperationId
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// `load`, `unload`, `pull`.
    pub kind: String,
    /// What it is about.
    pub target: Name,
    /// The project that this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// How far it is.
    pub state: OperationState,
    /// 0 to 1, when it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Of a pull: how far its bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// Bytes on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all; 0 until it is known.
    pub total: u64,
    /// Bytes for each second of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Milliseconds that the rest takes at this rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
}

impl Transfer {
    /// As far as it came: nothing more comes.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { rate: None, eta_ms: None, ..self }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Failed, with a reason.
    Failed,
}

impl OperationState {
    /// No more will happen.
    pub fn is_over(self) -> bool {
        self != Self::Running
    }
}
