//! Who works together and shares what they may use: one limit and one budget for many tokens.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::identity::Limits;
use crate::name::Name;

/// How many things of a kind a project may have; what is not said is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allotment {
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Deployments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployments: Option<u32>,
    /// Models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<u32>,
}

impl Allotment {
    /// Nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A project as it is stored. A token, a deployment, a model belongs to the project whose name it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// What tokens call it.
    pub name: Name,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much at a time, all of its tokens together.
    #[serde(default)]
    pub limits: Limits,
    /// How much within an hour, a day, a month, all of its tokens together.
    #[serde(default)]
    pub budget: Budget,
    /// How many things it may have.
    #[serde(default, skip_serializing_if = "Allotment::is_none")]
    pub quota: Allotment,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
