//! Something that happened, with its cause.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::instance::{InstanceId, Phase, Reason};
use crate::name::Name;

/// One entry of the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the store; 0 until it is stored.
    #[serde(default)]
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// Of which deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Name>,
    /// Of which instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// From which phase to which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<(Phase, Phase)>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Penstock came up.
    Started,
    /// Penstock goes down.
    Stopping,
    /// A wish was stored.
    DeploymentCreated,
    /// A wish changed.
    DeploymentUpdated,
    /// A wish is to go.
    DeploymentDeleting,
    /// A wish and all of its instances are gone.
    DeploymentDeleted,
    /// An instance went from one phase to another.
    InstancePhase,
    /// A running instance was found again after a restart.
    InstanceAdopted,
    /// An instance that nobody wants was found and told to end.
    InstanceOrphaned,
    /// A model was registered or got a new version.
    ModelRegistered,
    /// A model was removed.
    ModelRemoved,
    /// A token was made.
    TokenCreated,
    /// A token was changed.
    TokenUpdated,
    /// A token was taken back.
    TokenRevoked,
    /// A route was made.
    RouteCreated,
    /// A route was changed.
    RouteUpdated,
    /// A route was removed.
    RouteDeleted,
    /// Usage rows cannot be kept, or can be again.
    UsageJournal,
    /// A project was made.
    ProjectCreated,
    /// A project was changed.
    ProjectUpdated,
    /// A project was removed.
    ProjectDeleted,
}

impl Event {
    /// An event of now.
    pub fn now(kind: EventKind, message: impl Into<String>) -> Self {
        Self { id: 0, at: Timestamp::now(), kind, deployment: None, instance: None, phase: None, reason: None, message: message.into() }
    }
    /// Of this deployment.
    #[must_use]
    pub fn of(mut self, deployment: &Name) -> Self {
        self.deployment = Some(deployment.clone());
        self
    }
}
