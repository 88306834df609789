//! From one revision to the next, and how many instances there are of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deployment::DeploymentSpec;
use super::instance::Reason;
use super::model::Version;

/// How instances of the revision before make way when the wish changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// `rolling` (new instances come up beside the old ones and take over), `recreate` (the old ones finish their calls and end
    /// while callers wait in line; then the new ones start; needs no spare memory) or `canary` (the new revision gets a small
    /// share of the calls first, and more while it does well).
    #[schema(required = false)]
    pub strategy: String,
    /// So many instances more than wanted may there be while it lasts; 1 when not given.
    #[schema(required = false)]
    pub max_surge: u32,
    /// So many of those that are wanted may be missing while it lasts; 0 when not given.
    #[schema(required = false)]
    pub max_unavailable: u32,
    /// A rollout without progress for so long goes back by itself; `10m` when not given.
    #[schema(required = false)]
    pub progress_deadline: String,
    /// Revisions that are remembered, to go back to; 10 when not given.
    #[schema(required = false)]
    pub revision_history: u32,
    /// Whether a moved tag of its model makes a new revision; `true` when not given.
    #[schema(required = false)]
    pub follow: bool,
    /// How a canary goes on.
    #[schema(required = false)]
    pub canary: Canary,
}

/// How a canary goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Canary {
    /// Percent of the calls that the new revision gets, step by step, rising; `[5, 25, 50]` when not given.
    #[schema(required = false)]
    pub weights: Vec<u32>,
    /// How long each step lasts; `5m` when not given.
    #[schema(required = false)]
    pub hold: String,
    /// It goes back when a larger share of the new revision's calls fails than of the old one's, by more than this (0 to 1);
    /// 0.05 when not given.
    #[schema(required = false)]
    pub max_error_rate: f64,
    /// It goes back when the new revision's first tokens take more than so many times as long as the old one's; 2 when not given.
    #[schema(required = false)]
    pub max_latency_ratio: f64,
}

/// A rollout: the one that is under way, or the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStatus {
    /// `progressing`, `paused`, `waiting` (nothing is loaded; the next call starts the new revision), `complete` or `rolled_back`.
    pub state: String,
    /// The revision that it comes from; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The revision that it goes to.
    pub to: u64,
    /// The strategy in force: a rolling one that finds no room goes over to `recreate`.
    pub strategy: String,
    /// Percent of the calls that the new revision gets; absent when it is no canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Instances of the new revision that take calls.
    pub ready: u32,
    /// Instances of the new revision that failed.
    pub failures: u32,
    /// Whether it goes no further until it is resumed.
    pub paused: bool,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it last made progress.
    #[schema(format = DateTime)]
    pub progress_at: String,
    /// Why it is not going on, why it went back, or why its strategy is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Where to go back to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Undo {
    /// The number of a revision; the one that served before when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// A wish frozen together with the version of the model that it resolved to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// The generation that it was frozen from.
    pub number: u64,
    /// `progressing`, `serving`, `superseded` (it has served), `abandoned` (another one came before it could) or `failed`.
    pub status: String,
    /// Who made it, or what did.
    pub cause: String,
    /// When it was frozen.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The digest of the model's version; remote engines have none.
    pub digest: Option<String>,
    /// The wish.
    pub spec: DeploymentSpec,
    /// The model's version; remote engines have none.
    pub version: Option<Version>,
}

/// What one instance is meant to bear; the number of instances follows. Of several, the one that wants most counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaTargets {
    /// Calls that run or wait, for each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Callers in line, for each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Percent of its KV cache that an instance uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_use: Option<u32>,
    /// How long callers usually wait for their first token: `800ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<String>,
}

/// Other bounds at certain times of the week, in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaWindow {
    /// On these days (`mon` to `sun`); on every day when not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// From this time on: `08:00`.
    pub from: String,
    /// Until this time; one that is not later means that of the next day.
    pub to: String,
    /// At least so many instances meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// At most so many meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// How many instances there should be, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scaling {
    /// At least so many now.
    pub min: u32,
    /// At most so many now.
    pub max: u32,
    /// So many there should be.
    pub wanted: u32,
    /// So many serve or will.
    pub has: u32,
    /// Why: one reason for each thing that the number depends on.
    pub because: Vec<Reason>,
}
