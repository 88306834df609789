//! Who is known: people, and accounts of programs.
//!
//! In: nothing. Out: [`User`] as it is stored. Fails: [`User::check`] says all that is wrong. A user has
//! no password here: people log in with their identity provider or bring a token, programs have tokens.

use std::collections::{BTreeMap, BTreeSet};

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::{Invalid, Problem};
use crate::name::Name;

base::id! {
    /// The id of a user or of a service account.
    UserId
}

const LONGEST_NAME: usize = 128;
const LONGEST_EMAIL: usize = 254;
/// Roles and projects of one user.
const MOST_GRANTS: usize = 1_000;

/// Somebody who may hold tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id, which stays when the name changes.
    pub id: UserId,
    /// What people call it; no two users have the same.
    pub name: String,
    /// Where it gets mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it may do everywhere, given by hand: names of roles.
    #[serde(default)]
    pub roles: Vec<Name>,
    /// What it may do within projects, given by hand: names of roles.
    #[serde(default)]
    pub projects: BTreeMap<Name, Vec<Name>>,
    /// What the provider's groups stand for, as of the last login.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub mapped: Grants,
    /// It may do nothing, and neither may its tokens.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
}

/// Where a user comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Made here: a person without an identity provider.
    Local,
    /// Logged in by an identity provider.
    Provider {
        /// The provider's name in the config.
        provider: String,
        /// What the provider calls them for good (`sub`).
        subject: String,
    },
    /// A service account: an account of a program, which never logs in and holds tokens.
    Service,
}

/// Roles, everywhere and within projects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Name>,
    /// Within projects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<Name, Vec<Name>>,
}

impl Grants {
    /// Nothing.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.projects.is_empty()
    }
}

impl User {
    /// Whether it is the account of a program.
    pub fn is_service(&self) -> bool {
        self.origin == Origin::Service
    }

    /// The names of the roles that it has everywhere, by hand or by its groups.
    pub fn roles_everywhere(&self) -> BTreeSet<&Name> {
        self.roles.iter().chain(&self.mapped.roles).collect()
    }

    /// The names of the roles that it has within each project.
    pub fn roles_within(&self) -> BTreeMap<&Name, BTreeSet<&Name>> {
        let mut all = BTreeMap::<_, BTreeSet<_>>::new();
        for (project, roles) in self.projects.iter().chain(&self.mapped.projects) {
            all.entry(project).or_default().extend(roles);
        }
        all
    }

    /// All that is wrong with it.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found = Vec::new();
        let mut wrong = |field: &str, what: &str, hint: &str| {
            found.push(Problem { field: field.to_owned(), what: what.to_owned(), hint: hint.to_owned() });
        };
        let odd = |text: &str, longest: usize| {
            text.trim() != text || text.is_empty() || text.len() > longest || text.chars().any(char::is_control)
        };
        if odd(&self.name, LONGEST_NAME) {
            wrong("name", "not a name", "use 1 to 128 visible characters");
        }
        if self.email.as_ref().is_some_and(|email| odd(email, LONGEST_EMAIL) || !email.contains('@')) {
            wrong("email", "not an address", "write it as `ann@example.org`, or leave it out");
        }
        if self.roles.len() + self.projects.values().map(Vec::len).sum::<usize>() > MOST_GRANTS {
            wrong("roles", "more than 1000 roles", "make one role of them");
        }
        Invalid::from_problems(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            id: UserId::new("u1"),
            name: "ann".to_owned(),
            email: Some("ann@example.org".to_owned()),
            origin: Origin::Local,
            roles: Vec::new(),
            projects: BTreeMap::new(),
            mapped: Grants::default(),
            disabled: false,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            last_login_at: None,
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn roles_by_hand_and_by_group_count_together() {
        let mut user = user();
        user.roles = vec![name("viewer")];
        user.projects.insert(name("red"), vec![name("viewer")]);
        user.mapped.roles = vec![name("viewer"), name("developer")];
        user.mapped.projects.insert(name("red"), vec![name("operator")]);
        assert_eq!(user.roles_everywhere().len(), 2);
        assert_eq!(user.roles_within()[&name("red")].len(), 2);
    }

    #[test]
    fn what_is_no_name_and_no_address_is_told_at_once() {
        assert!(user().check().is_ok());
        let bad = User { name: " ann".to_owned(), email: Some("nowhere".to_owned()), ..user() };
        assert_eq!(bad.check().expect_err("two faults").0.len(), 2);
    }
}
