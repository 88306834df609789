//! Who may do what and how much: tokens as they are stored, without the token itself.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::check::{Invalid, Problem};
use crate::name::Name;
use crate::role::{Kind, Rights, Verb};
use crate::user::UserId;

base::id! {
    /// The id of a token.
    TokenId
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Call models.
    Inference,
    /// Operate Penstock; includes inference.
    Admin,
}

impl Scope {
    /// What it stands for.
    pub const fn rights(self) -> Rights {
        match self {
            Self::Inference => Rights::NONE.with(Verb::Use, Kind::Calls),
            Self::Admin => Rights::ALL,
        }
    }
}

/// How much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// The first characters of the token, to tell one from another.
    pub prefix: String,
    /// SHA-256 of the whole token, in hexadecimal.
    #[serde(skip_serializing, default)]
    pub hash: String,
    /// Whose it is: a user or a service account. It may never do more than its owner; nobody's may what it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The project that its use is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// And what this role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Name>,
    /// And these verbs on kinds.
    #[serde(default, skip_serializing_if = "Rights::is_none")]
    pub rights: Rights,
    /// The models that it may use, by the public names of deployments and routes; all when there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How much at a time.
    #[serde(default)]
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    #[serde(default, skip_serializing_if = "Budget::is_none")]
    pub budget: Budget,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// A login made it: it is forgotten soon after its end, and the oldest ones make room for new ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_login: bool,
    /// It was made for a token of an identity provider: what it makes ends with it at the latest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exchanged: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, some seconds late; never when not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

impl Limits {
    /// Nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
    /// A limit of zero would refuse everything.
    pub fn check(&self) -> Result<(), Invalid> {
        let zero = [
            ("limits.requests_per_minute", self.requests_per_minute == Some(0)),
            ("limits.tokens_per_minute", self.tokens_per_minute == Some(0)),
            ("limits.concurrency", self.concurrency == Some(0)),
        ];
        let problems = zero.into_iter().filter(|(_, is_zero)| *is_zero).map(|(field, _)| Problem {
            field: field.to_owned(),
            what: "0 would refuse every call".to_owned(),
            hint: "leave it out for no limit, or write a number above 0".to_owned(),
        });
        Invalid::from_problems(problems.collect())
    }
}
