//! Who is known, what they may, and who changed what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Verbs (`get`, `list`, `create`, `update`, `delete`, `use`) on kinds of things (`deployments`, `models`, `calls`, ...); `*` stands for all.
pub type Rights = BTreeMap<String, Vec<String>>;

/// A user or a service account to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewUser {
    /// What people call it; no two users have the same.
    pub name: String,
    /// Where it gets mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The account of a program: it never logs in.
    #[serde(default)]
    #[schema(required = false)]
    pub service: bool,
    /// What it may do everywhere: names of roles.
    #[serde(default)]
    #[schema(required = false)]
    pub roles: Vec<String>,
    /// What it may do within projects: names of roles.
    #[serde(default)]
    #[schema(required = false)]
    pub projects: BTreeMap<String, Vec<String>>,
}

/// A change of a user, as a JSON merge patch: what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UserPatch {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it gets mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// All roles that it has everywhere by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// All roles that it has within projects by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeMap<String, Vec<String>>>,
    /// Whether it is let in no more, and its tokens neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A person, or the account of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id, which stays.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where it gets mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where it comes from.
    pub origin: UserOrigin,
    /// What it may do everywhere, given by hand.
    pub roles: Vec<String>,
    /// What it may do within projects, given by hand.
    pub projects: BTreeMap<String, Vec<String>>,
    /// What its groups stand for, as of the last login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Grants>,
    /// It is let in no more.
    pub disabled: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// When it last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_login_at: Option<String>,
}

/// Where a user comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserOrigin {
    /// `local`, `provider` (logged in by an identity provider), or `service` (the account of a program).
    pub kind: String,
    /// Of `provider`: its name in the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Of `provider`: what it calls the user for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Roles, everywhere and within projects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// Everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// Within projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeMap<String, Vec<String>>>,
}

/// A role to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewRole {
    /// What users and tokens call it.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Verbs on kinds.
    pub rights: Rights,
}

/// A change of a role, as a JSON merge patch: what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolePatch {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All that it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}

/// A name for what somebody may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// What users and tokens call it.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Verbs on kinds.
    pub rights: Rights,
    /// When it was made; the beginning of 1970 for those that are built in.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// What the token is called, or the user of the session.
    pub name: String,
    /// The token's id; none in a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The project that the use is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What they may everywhere.
    pub rights: Rights,
    /// What they may within projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<BTreeMap<String, Rights>>,
}

/// How many things of a kind a project may have; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Allotment {
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployments: Option<u32>,
    /// Models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<u32>,
}

/// Who changed what, from where. It holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audit {
    /// What was asked: a method and the path.
    pub action: String,
    /// The verb of the authorization table.
    pub verb: String,
    /// The kind of thing that was changed.
    pub kind: String,
    /// Which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The id of the user, where a user did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The id of the request, as in its answer and in the log.
    pub request_id: String,
    /// How it was answered.
    pub status: u16,
    /// What it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// What it is after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}
