//! Which verbs and which kinds are there?
//!
//! In: nothing. Out: two closed lists with the words of the API. Fails: never.

/// What can be done to a kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many, or watch them.
    List,
    /// Make one.
    Create,
    /// Change one, or tell it to do something.
    Update,
    /// Remove one.
    Delete,
    /// Call it.
    Use,
}

/// A kind of thing that Penstock has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Wishes.
    Deployments,
    /// What runs for them.
    Instances,
    /// What engines wrote.
    Logs,
    /// What can be served.
    Models,
    /// Public names with targets.
    Routes,
    /// Machines and their devices.
    Nodes,
    /// Memory set aside for work that is not ours.
    Allocations,
    /// Jobs.
    Operations,
    /// The story.
    Events,
    /// Who changed what: the part of the story with before and after.
    Audit,
    /// Calls that were made.
    Usage,
    /// Receivers of events.
    Webhooks,
    /// Who shares what they may use.
    Projects,
    /// Access tokens.
    Tokens,
    /// People and service accounts.
    Users,
    /// Names for what somebody may do.
    Roles,
    /// This server: its status, its metrics, its settings.
    Server,
    /// Calls of models.
    Calls,
    /// Keys of others that this server keeps. To use one is to have it shown to the server of a URL.
    Secrets,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Get, Self::List, Self::Create, Self::Update, Self::Delete, Self::Use];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Deployments,
        Self::Instances,
        Self::Logs,
        Self::Models,
        Self::Routes,
        Self::Nodes,
        Self::Allocations,
        Self::Operations,
        Self::Events,
        Self::Audit,
        Self::Usage,
        Self::Webhooks,
        Self::Projects,
        Self::Tokens,
        Self::Users,
        Self::Roles,
        Self::Server,
        Self::Calls,
        Self::Secrets,
    ];

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Instances => "instances",
            Self::Logs => "logs",
            Self::Models => "models",
            Self::Routes => "routes",
            Self::Nodes => "nodes",
            Self::Allocations => "allocations",
            Self::Operations => "operations",
            Self::Events => "events",
            Self::Audit => "audit",
            Self::Usage => "usage",
            Self::Webhooks => "webhooks",
            Self::Projects => "projects",
            Self::Tokens => "tokens",
            Self::Users => "users",
            Self::Roles => "roles",
            Self::Server => "server",
            Self::Calls => "calls",
            Self::Secrets => "secrets",
        }
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
