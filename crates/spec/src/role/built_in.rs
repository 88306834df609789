//! Which roles are there from the start?
//!
//! In: a name. Out: what it stands for. Each of them includes the one before: viewer, developer,
//! operator, admin. Fails: never.

use base::Timestamp;

use super::Role;
use super::rights::Rights;
use super::words::{Kind, Verb};
use crate::name::Name;

const READ: [Verb; 2] = [Verb::Get, Verb::List];
const CHANGE: [Verb; 3] = [Verb::Create, Verb::Update, Verb::Delete];

/// Sees how everything does, but neither what engines wrote nor who may what.
const VIEWER: Rights = Rights::NONE.with_all(
    &READ,
    &[
        Kind::Deployments,
        Kind::Instances,
        Kind::Models,
        Kind::Routes,
        Kind::Nodes,
        Kind::Allocations,
        Kind::Operations,
        Kind::Events,
        Kind::Usage,
        Kind::Webhooks,
        Kind::Projects,
        Kind::Server,
    ],
);

/// Calls models, brings models and makes deployments.
const DEVELOPER: Rights =
    VIEWER.with(Verb::Use, Kind::Calls).with_all(&READ, &[Kind::Logs]).with_all(&CHANGE, &[Kind::Deployments, Kind::Models]);

/// Runs the machines: all but who may what.
const OPERATOR: Rights = DEVELOPER
    .with_all(
        &CHANGE,
        &[Kind::Instances, Kind::Routes, Kind::Nodes, Kind::Allocations, Kind::Operations, Kind::Webhooks, Kind::Projects, Kind::Server],
    )
    .with_all(&READ, &[Kind::Audit, Kind::Tokens, Kind::Users, Kind::Roles, Kind::Secrets])
    .with(Verb::Use, Kind::Secrets);

impl Role {
    /// The names of those that are built in, from the one that may most.
    pub const BUILT_IN: [&str; 4] = ["admin", "operator", "developer", "viewer"];

    /// The one that is built in under this name.
    pub fn built_in(name: &str) -> Option<Self> {
        let (rights, description) = match name {
            "admin" => (Rights::ALL, "everything"),
            "operator" => (OPERATOR, "runs the machines: everything but users, roles and others' tokens, which it can read"),
            "developer" => (DEVELOPER, "calls models, brings models and makes deployments"),
            "viewer" => (VIEWER, "sees how everything does; calls nothing, changes nothing"),
            _ => return None,
        };
        let beginning = Timestamp::default();
        let name = Name::parse(name).ok()?;
        Some(Self { name, description: Some(description.to_owned()), rights, created_at: beginning, updated_at: beginning })
    }

    /// Whether it is one of those that are built in.
    pub fn is_built_in(&self) -> bool {
        Self::BUILT_IN.contains(&self.name.as_str())
    }
}
