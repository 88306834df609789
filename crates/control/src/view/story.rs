//! What happened, what is being done, and how the server does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::Reason;

/// One entry of the story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the story; rises by one.
    pub id: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What: `started`, `stopping`, `deployment_created`, `deployment_updated`, `deployment_deleting`,
    /// `deployment_deleted`, `instance_phase`, `instance_adopted`, `instance_orphaned`,
    /// `model_registered`, `model_removed`, `token_created`, `token_updated`, `token_revoked`, `usage_journal`,
    /// `project_created`, `project_updated`, `project_deleted`, `route_created`, `route_updated`, `route_deleted`.
    pub kind: String,
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
}

/// A durable job with progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// `load`, `unload`, `pin`, `unpin`.
    pub kind: String,
    /// The deployment that it is about.
    pub target: String,
    /// `running`, `succeeded` or `failed`.
    pub state: String,
    /// 0 to 1, when it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
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
