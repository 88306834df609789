//! What happened, what is being done, and how the server does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::Reason;
use super::user::Audit;

/// One entry of the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the story; rises, with gaps where something is not told to this reader.
    pub id: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What: `started`, `stopping`, `deployment_created`, `deployment_updated`, `deployment_deleting`,
    /// `deployment_deleted`, `instance_phase`, `instance_adopted`, `instance_orphaned`,
    /// `model_registered`, `model_removed`, `model_updated`, `model_tagged`, `token_created`, `token_updated`, `token_revoked`, `usage_journal`,
    /// `project_created`, `project_updated`, `project_deleted`, `route_created`, `route_updated`, `route_deleted`,
    /// `rollout_started`, `rollout_step`, `rollout_paused`, `rollout_resumed`, `rollout_complete`, `rollout_rolled_back`, `scaled`,
    /// `load_asked`, `unload_asked`, `webhook_disabled`, `webhook_enabled`, `allocation_made`, `allocation_released`,
    /// `user_created`, `user_updated`, `user_deleted`, `user_logged_in`, `role_created`, `role_updated`, `role_deleted`, `tokens_guessed`, `audit`,
    /// `secret_stored`, `secret_removed`, `master_key_rotated`, `certificate_loaded`, `certificate_refused`.
    pub kind: String,
    /// Who or what brought it about.
    pub cause: Cause,
    /// Of which deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Of which instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// From which phase to which: two words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 2, max_items = 2)]
    pub phase: Option<Vec<String>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// Of `audit`: who, from where, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// Who or what brought an event about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// `penstock` (its start, its end, its upkeep), `config`, `api`, `demand` (callers wait), `idle` (nobody calls), `hand` (an
    /// operator's load or unload), `wish` (its minimum or its pin), `schedule`, `load`, `eviction`, `failure`, `rollout`, `deletion`,
    /// `engine` (it came so far by itself), `tag` (the tag of its model points to another version), `webhook`, or `unknown` in events of earlier versions.
    pub kind: String,
    /// Of `api`: what the token is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of `api`: the token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of `demand`: so many callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Of `eviction`: the deployment that needs the room.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub of_whom: Option<String>,
    /// Of `failure`: what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Of `failure`: the code of its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Of `rollout`: the revision that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Of `tag`: the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of `tag`: the digest of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Of `webhook`: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A durable job with progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// `load`, `unload`, `pin`, `unpin`, `pull`.
    pub kind: String,
    /// The deployment, or the model, that it is about.
    pub target: String,
    /// The project that this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `running`, `succeeded` or `failed`.
    pub state: String,
    /// 0 to 1, when it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Of a pull: how far its bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last moved.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// Bytes on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// How this server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerStatus {
    /// The version of Penstock.
    pub version: String,
    /// Where this server is reached.
    pub base_url: String,
    /// Deployments that are stored.
    pub deployments: u64,
    /// Deployments that serve now.
    pub ready: u64,
    /// Instances, whatever their phase.
    pub instances: u64,
    /// Calls running now.
    pub in_flight: u64,
    /// Bytes that instances hold.
    pub memory_used: u64,
    /// Bytes that they may hold at most, when a budget is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_budget: Option<u64>,
    /// Bytes that are always left free.
    pub memory_margin: u64,
    /// Instances that became ready since the start of the server.
    pub loads_total: u64,
    /// Instances that left to make room since then.
    pub evictions_total: u64,
    /// Instances that failed since then.
    pub failures_total: u64,
}

/// A receiver of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its name in the config.
    pub name: String,
    /// Where it is, without path and query.
    pub origin: String,
    /// `idle` (it has everything), `sending`, `failing` (it is tried again) or `disabled` (it wants no more).
    pub state: String,
    /// Events that it took, ever.
    pub sent: u64,
    /// Events that it never got, ever: it was behind by too many, or for too long.
    pub dropped: u64,
    /// Tries that failed, since the start of the server.
    pub failed: u64,
    /// Events of the story that it is behind, wanted or not.
    pub lag: u64,
    /// For how many milliseconds the oldest of them has waited.
    pub lag_ms: u64,
    /// When it last took an event, since the start of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_sent: Option<String>,
    /// What went wrong last, since the start of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<WebhookFailure>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub next_try: Option<String>,
    /// Why it is sent nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

/// A try of a webhook that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookFailure {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// How.
    pub what: String,
    /// So many in a row by then.
    pub tries: u32,
}
