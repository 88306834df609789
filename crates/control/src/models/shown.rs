//! A model as a resource: what people say of it is its spec, all else its status.

use std::collections::{BTreeMap, BTreeSet};

use base::Timestamp;
use serde::Serialize;
use spec::{Capability, Card, Listed, Model, Name, Record, Source};

use super::users;

/// A model as a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) name: Name,
    spec: Said,
    status: Found,
    generation: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Said {
    source: Source,
    #[serde(flatten)]
    card: Card,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Found {
    capabilities: BTreeSet<Capability>,
    tags: BTreeMap<String, String>,
    latest_is_set: bool,
    versions: Vec<Listed>,
    used_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated_at: Option<Timestamp>,
}

impl Shown {
    /// With the deployments that name it.
    pub(crate) fn new(model: Model, records: &[Record]) -> Self {
        let used_by = users(records, &model.name).iter().map(|name| name.trim_matches('`').to_owned()).collect();
        Self {
            status: Found {
                capabilities: model.capabilities(),
                tags: model.tags,
                latest_is_set: model.latest_is_set,
                versions: model.versions,
                used_by,
                deprecated_at: model.deprecated_at,
            },
            name: model.name,
            spec: Said { source: model.source.shown(), card: model.card },
            generation: model.generation,
            created_at: model.created_at,
            updated_at: model.updated_at,
        }
    }
}
