//! What the fleet publishes: for each deployment how it stands and who serves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Secret, Timestamp};
use spec::{Deployment, Dialect, Endpoint, InstanceId, Name, Phase, Reason, Version};

/// All deployments that may be asked for.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// By public model name.
    pub deployments: BTreeMap<Name, Arc<Entry>>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its public model name.
    pub name: Name,
    /// The revision that serves.
    pub revision: u64,
    /// When it was first stored.
    pub created: Timestamp,
    /// The wish, for its limits and time limits.
    pub spec: Arc<Deployment>,
    /// How one talks to its engine.
    pub dialect: Dialect,
    /// The model's version, once it is resolved.
    pub version: Option<Arc<Version>>,
    /// The model name to send upstream.
    pub upstream_model: String,
    /// How it stands.
    pub state: State,
    /// Who serves it; empty unless the state is ready.
    pub instances: Vec<Arc<Member>>,
}

/// How a deployment stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// At least one member serves.
    Ready,
    /// Nothing is loaded; it starts when somebody asks.
    Cold,
    /// On its way up.
    Rising {
        /// How far.
        phase: Phase,
        /// Since when.
        since: Timestamp,
        /// 0 to 1, when it can be told.
        progress: Option<f64>,
        /// How much longer, when it can be told.
        eta: Option<Duration>,
    },
    /// It cannot be served, and asking again will not help.
    Down(Reason),
}

/// A ready instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: InstanceId,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The key it wants.
    pub key: Option<Secret>,
    /// Calls it takes at once.
    pub slots: u32,
}
