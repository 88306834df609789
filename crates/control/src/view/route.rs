//! A route: the wish, and how its targets stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A public model name with several deployments behind it; an entry of the config's `routes` as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteSpec {
    /// The public model name that clients send; no deployment has it.
    #[schema(example = "chat")]
    pub name: String,
    /// The deployments that share its calls.
    pub targets: Vec<RouteTarget>,
    /// Deployments or routes that are asked, in this order, when no target can serve; when there is
    /// none, those of the targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// What keeps related calls on one target: `none`, `session` (the header `x-session-id`, else
    /// `prompt_cache_key` or `user` of the body) or `prefix` (the session, else the beginning of the prompt).
    #[schema(default = "none", required = false)]
    pub affinity: String,
}

/// A deployment that takes a share of a route's calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteTarget {
    /// Which deployment.
    pub deployment: String,
    /// Its share, beside those of the others; 0 takes it out without forgetting it.
    #[schema(default = 1, maximum = 10000, required = false)]
    pub weight: u32,
}

/// A route as a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// What is wanted.
    pub spec: RouteSpec,
    /// How it stands.
    pub status: RouteStatus,
    /// Rises by one with every change; also the ETag.
    pub generation: u64,
    /// When it was first stored.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// How a route stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteStatus {
    /// Calls that came by this name and run now.
    pub in_flight: u32,
    /// Its targets, in the order of the spec.
    pub targets: Vec<RouteTargetStatus>,
    /// Who wrote it: `config` (the file) or `api`.
    pub origin: String,
}

/// How a target of a route stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteTargetStatus {
    /// Which deployment.
    pub deployment: String,
    /// How it stands, as in its own status; `missing` when there is no such deployment now.
    pub state: String,
    /// Its share of the calls, 0 to 1.
    pub share: f64,
    /// It is passed over for now: it failed, or was far slower than other targets of the same model.
    pub ejected: bool,
}
