//! Something that happened, with its cause.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::instance::{InstanceId, Phase};
use crate::name::Name;
use crate::reason::Reason;

mod audit;
mod cause;

pub use audit::Audit;
pub use cause::Cause;

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
    /// Who or what brought it about.
    #[serde(default)]
    pub cause: Cause,
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
    /// Of a change: who, from where, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Box<Audit>>,
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
    /// What is said of a model was changed, or a version of it was forgotten.
    ModelUpdated,
    /// A tag of a model was set, moved or removed.
    ModelTagged,
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
    /// Memory was set aside for work that is not ours.
    AllocationMade,
    /// It was given back.
    AllocationReleased,
    /// A deployment begins to move to another revision.
    RolloutStarted,
    /// A rollout made a step, or goes on in another way.
    RolloutStep,
    /// A rollout waits until it is resumed.
    RolloutPaused,
    /// A rollout goes on.
    RolloutResumed,
    /// The new revision serves.
    RolloutComplete,
    /// The new revision was not good; the one before it serves.
    RolloutRolledBack,
    /// Another number of instances is wanted.
    Scaled,
    /// Somebody asked for it to be loaded.
    LoadAsked,
    /// Somebody asked for it to be unloaded.
    UnloadAsked,
    /// A receiver of events said that it wants no more.
    WebhookDisabled,
    /// A receiver gets events again.
    WebhookEnabled,
    /// A user or a service account was made.
    UserCreated,
    /// A user was changed: their name, their roles, whether they are let in.
    UserUpdated,
    /// A user was removed, with all of their tokens.
    UserDeleted,
    /// Somebody logged in: with a browser, or for a program.
    UserLoggedIn,
    /// A role was made.
    RoleCreated,
    /// A role was changed.
    RoleUpdated,
    /// A role was removed.
    RoleDeleted,
    /// Somebody tries tokens that are wrong.
    TokensGuessed,
    /// A secret was stored, or given another value.
    SecretStored,
    /// A secret was removed.
    SecretRemoved,
    /// All secrets are sealed by another master key.
    MasterKeyRotated,
    /// New files of the address's certificate are in force.
    CertificateLoaded,
    /// New files of the address's certificate are of no use; the one before stays.
    CertificateRefused,
    /// A change through the API: who, from where, before and after.
    Audit,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 50] = [
        Self::Started,
        Self::Stopping,
        Self::DeploymentCreated,
        Self::DeploymentUpdated,
        Self::DeploymentDeleting,
        Self::DeploymentDeleted,
        Self::InstancePhase,
        Self::InstanceAdopted,
        Self::InstanceOrphaned,
        Self::ModelRegistered,
        Self::ModelRemoved,
        Self::ModelUpdated,
        Self::ModelTagged,
        Self::TokenCreated,
        Self::TokenUpdated,
        Self::TokenRevoked,
        Self::RouteCreated,
        Self::RouteUpdated,
        Self::RouteDeleted,
        Self::UsageJournal,
        Self::ProjectCreated,
        Self::ProjectUpdated,
        Self::ProjectDeleted,
        Self::RolloutStarted,
        Self::RolloutStep,
        Self::RolloutPaused,
        Self::RolloutResumed,
        Self::RolloutComplete,
        Self::RolloutRolledBack,
        Self::Scaled,
        Self::LoadAsked,
        Self::UnloadAsked,
        Self::WebhookDisabled,
        Self::WebhookEnabled,
        Self::AllocationMade,
        Self::AllocationReleased,
        Self::UserCreated,
        Self::UserUpdated,
        Self::UserDeleted,
        Self::UserLoggedIn,
        Self::RoleCreated,
        Self::RoleUpdated,
        Self::RoleDeleted,
        Self::TokensGuessed,
        Self::SecretStored,
        Self::SecretRemoved,
        Self::MasterKeyRotated,
        Self::CertificateLoaded,
        Self::CertificateRefused,
        Self::Audit,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::DeploymentCreated => "deployment_created",
            Self::DeploymentUpdated => "deployment_updated",
            Self::DeploymentDeleting => "deployment_deleting",
            Self::DeploymentDeleted => "deployment_deleted",
            Self::InstancePhase => "instance_phase",
            Self::InstanceAdopted => "instance_adopted",
            Self::InstanceOrphaned => "instance_orphaned",
            Self::ModelRegistered => "model_registered",
            Self::ModelRemoved => "model_removed",
            Self::ModelUpdated => "model_updated",
            Self::ModelTagged => "model_tagged",
            Self::TokenCreated => "token_created",
            Self::TokenUpdated => "token_updated",
            Self::TokenRevoked => "token_revoked",
            Self::RouteCreated => "route_created",
            Self::RouteUpdated => "route_updated",
            Self::RouteDeleted => "route_deleted",
            Self::UsageJournal => "usage_journal",
            Self::ProjectCreated => "project_created",
            Self::ProjectUpdated => "project_updated",
            Self::ProjectDeleted => "project_deleted",
            Self::RolloutStarted => "rollout_started",
            Self::RolloutStep => "rollout_step",
            Self::RolloutPaused => "rollout_paused",
            Self::RolloutResumed => "rollout_resumed",
            Self::RolloutComplete => "rollout_complete",
            Self::RolloutRolledBack => "rollout_rolled_back",
            Self::Scaled => "scaled",
            Self::LoadAsked => "load_asked",
            Self::UnloadAsked => "unload_asked",
            Self::WebhookDisabled => "webhook_disabled",
            Self::WebhookEnabled => "webhook_enabled",
            Self::AllocationMade => "allocation_made",
            Self::AllocationReleased => "allocation_released",
            Self::UserCreated => "user_created",
            Self::UserUpdated => "user_updated",
            Self::UserDeleted => "user_deleted",
            Self::UserLoggedIn => "user_logged_in",
            Self::RoleCreated => "role_created",
            Self::RoleUpdated => "role_updated",
            Self::RoleDeleted => "role_deleted",
            Self::TokensGuessed => "tokens_guessed",
            Self::SecretStored => "secret_stored",
            Self::SecretRemoved => "secret_removed",
            Self::MasterKeyRotated => "master_key_rotated",
            Self::CertificateLoaded => "certificate_loaded",
            Self::CertificateRefused => "certificate_refused",
            Self::Audit => "audit",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Event {
    /// An event of now.
    pub fn now(kind: EventKind, cause: Cause, message: impl Into<String>) -> Self {
        Self {
            id: 0,
            at: Timestamp::now(),
            kind,
            cause,
            deployment: None,
            instance: None,
            phase: None,
            reason: None,
            message: message.into(),
            audit: None,
        }
    }
    /// Of this deployment.
    #[must_use]
    pub fn of(mut self, deployment: &Name) -> Self {
        self.deployment = Some(deployment.clone());
        self
    }
}
