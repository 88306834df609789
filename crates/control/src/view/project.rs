//! Who shares what they may use.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::token::{Budget, Limits, Use};
use super::user::Allotment;

/// A project to be made. Tokens belong to the project whose name they carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewProject {
    /// What tokens call it: letters, digits and `. _ - : /`, at most 128.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much at a time, all of its tokens together.
    #[serde(default)]
    #[schema(required = false)]
    pub limits: Limits,
    /// How much within an hour, a day, a month, all of its tokens together.
    #[serde(default)]
    #[schema(required = false)]
    pub budget: Budget,
    /// How many things it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Allotment>,
}

/// A change of a project, as a JSON merge patch: what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectPatch {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much at a time; takes the place of all limits that there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How much within an hour, a day, a month; takes the place of the whole budget that there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How many things it may have; takes the place of the whole quota that there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Allotment>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// What tokens call it.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How much at a time, all of its tokens together.
    pub limits: Limits,
    /// How much within an hour, a day, a month, all of its tokens together.
    pub budget: Budget,
    /// How many things it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Allotment>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// What its tokens use now.
    pub usage: Use,
}
