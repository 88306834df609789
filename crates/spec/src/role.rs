//! What may somebody do: verbs on kinds of things, and names for sets of them.
//!
//! In: words of an API or a config (`{"models": ["get", "list"]}`). Out: [`Rights`], a set that is asked
//! with one test of a bit, and [`Role`], a name for such a set. Fails: on a word that is not one.
//! From: the roles and verbs of Kubernetes RBAC, without its groups of APIs.

use std::fmt;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::Invalid;
use crate::name::Name;

mod built_in;
mod rights;
mod words;

pub use rights::Rights;
pub use words::{Kind, Verb};

/// A name for what somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What users and tokens call it.
    pub name: Name,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Verbs on kinds.
    pub rights: Rights,
    /// When it was made; the beginning of time for those that are built in.
    #[serde(default)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(default)]
    pub updated_at: Timestamp,
}

/// Longest text that describes something to people, in bytes.
const LONGEST_DESCRIPTION: usize = 1_000;

impl Role {
    /// All that is wrong with it.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found = Vec::new();
        if Self::built_in(self.name.as_str()).is_some() {
            found.extend(Invalid::one("name", format!("`{}` is built in", self.name), "choose another name").0);
        }
        if self.rights.is_empty() {
            let hint = "write what it may do, such as {\"models\": [\"get\", \"list\"]}";
            found.extend(Invalid::one("rights", "a role that may do nothing", hint).0);
        }
        if self.description.as_ref().is_some_and(|words| words.len() > LONGEST_DESCRIPTION) {
            let what = format!("longer than {LONGEST_DESCRIPTION} bytes");
            found.extend(Invalid::one("description", what, "use some words, or leave it out").0);
        }
        Invalid::from_problems(found)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

#[cfg(test)]
mod tests;
