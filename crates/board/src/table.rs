//! What the fleet publishes: for each deployment how it stands and who serves it.

use std::sync::Arc;
use std::time::Duration;

use base::{Secret, Timestamp};
use spec::{Deployment, Dialect, Endpoint, InstanceId, Name, Phase, Reason, RouteRecord, Version};

use crate::shelf::Shelf;
use crate::split::Split;

/// All deployments that may be asked for.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// By public model name.
    pub deployments: Shelf<Arc<Entry>>,
    /// By public model name; none has that of a deployment.
    pub routes: Shelf<Arc<RouteRecord>>,
}

impl Table {
    /// A public name, and since when it is there.
    pub fn named(&self, name: &str) -> Option<(&Name, Timestamp)> {
        let deployment = self.deployments.get(name).map(|entry| (&entry.name, entry.created));
        deployment.or_else(|| self.routes.get(name).map(|route| (&route.spec.name, route.created_at)))
    }
    /// Every public name in order, and since when it is there.
    pub fn names(&self) -> Vec<(&Name, Timestamp)> {
        let deployments = self.deployments.iter().map(|(name, entry)| (name, entry.created));
        let mut names: Vec<_> = deployments.chain(self.routes.iter().map(|(name, route)| (name, route.created_at))).collect();
        names.sort_unstable();
        names.dedup_by_key(|(name, _)| *name);
        names
    }
    /// The deployment behind a public name; of a route, the first of its targets that is there.
    pub fn entry(&self, name: &str) -> Option<&Arc<Entry>> {
        let target = |route: &Arc<RouteRecord>| route.spec.targets.iter().find_map(|target| self.deployments.get(&target.deployment));
        self.deployments.get(name).or_else(|| self.routes.get(name).and_then(target))
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its public model name.
    pub name: Name,
    /// The revision that serves.
    pub revision: u64,
    /// The generation of the wish that it was made of.
    pub generation: u64,
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
    /// How calls are shared between members of two revisions; evenly when not set.
    pub split: Option<Split>,
    /// What callers are told of a model that should not be used any more: the value of a `Warning` header.
    pub notice: Option<Arc<str>>,
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
    /// The revision that it runs.
    pub revision: u64,
    /// The deployment as this member's own revision has it, where the entry is that of another one; without instances.
    pub own: Option<Arc<Entry>>,
}
