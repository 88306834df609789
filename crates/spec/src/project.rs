//! Who works together and shares what they may use: one limit and one budget for many tokens.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::identity::Limits;
use crate::name::Name;

/// A project as it is stored. A token belongs to the project whose name it carries.
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
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
