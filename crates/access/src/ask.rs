//! What does somebody want who makes or changes a token?
//!
//! In: a JSON body, or values. Out: the same, checked. Fails: [`spec::Invalid`] with all that is wrong.

use base::Timestamp;
use serde::{Deserialize, Deserializer};
use spec::{Budget, Invalid, Limits, Name, Problem, Rights, Scope, Token, UserId};

const LONGEST_NAME: usize = 128;
const MOST_MODELS: usize = 1_000;

/// A token that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What people will call it.
    pub name: String,
    /// Whose it will be; nobody's when not given: then it may what it says itself.
    #[serde(default)]
    pub owner: Option<UserId>,
    /// The project that its use is booked on.
    #[serde(default)]
    pub project: Option<String>,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// And what this role may.
    #[serde(default)]
    pub role: Option<Name>,
    /// And these verbs on kinds.
    #[serde(default)]
    pub rights: Rights,
    /// The models that it may use; all when there is no list.
    #[serde(default)]
    pub models: Option<Vec<String>>,
    /// How much.
    #[serde(default)]
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    #[serde(default)]
    pub budget: Budget,
    /// From when on it is refused.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// A login makes it.
    #[serde(skip)]
    pub from_login: bool,
    /// It is made for a token of an identity provider.
    #[serde(skip)]
    pub exchanged: bool,
}

impl NewToken {
    /// One of this name that may call every model without a limit.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            owner: None,
            project: None,
            scopes: vec![Scope::Inference],
            role: None,
            rights: Rights::NONE,
            models: None,
            limits: Limits::default(),
            budget: Budget::default(),
            expires_at: None,
            from_login: false,
            exchanged: false,
        }
    }
}

/// A change of a token: what is not there stays; `null` takes a value away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patch {
    /// Another name.
    pub name: Option<String>,
    /// Another project.
    #[serde(deserialize_with = "there")]
    pub project: Option<Option<String>>,
    /// Other scopes.
    pub scopes: Option<Vec<Scope>>,
    /// Another role.
    #[serde(deserialize_with = "there")]
    pub role: Option<Option<Name>>,
    /// Other rights, all of them.
    pub rights: Option<Rights>,
    /// Other models.
    #[serde(deserialize_with = "there")]
    pub models: Option<Option<Vec<String>>>,
    /// Other limits, all of them.
    pub limits: Option<Limits>,
    /// Another budget, all of it.
    pub budget: Option<Budget>,
    /// Another end.
    #[serde(deserialize_with = "there")]
    pub expires_at: Option<Option<Timestamp>>,
}

#[expect(clippy::option_option, reason = "not there, taken away and set are three things")]
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Patch {
    /// The token as it will be.
    pub(crate) fn apply(self, token: Token) -> Token {
        Token {
            name: self.name.unwrap_or(token.name),
            project: self.project.unwrap_or(token.project),
            scopes: self.scopes.unwrap_or(token.scopes),
            role: self.role.unwrap_or(token.role),
            rights: self.rights.unwrap_or(token.rights),
            models: self.models.unwrap_or(token.models),
            limits: self.limits.unwrap_or(token.limits),
            budget: self.budget.unwrap_or(token.budget),
            expires_at: self.expires_at.unwrap_or(token.expires_at),
            ..token
        }
    }
}

/// All that is wrong with a token as it will be.
pub(crate) fn check(token: &Token) -> Result<(), Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, what: String, hint: &str| found.push(Problem { field: field.to_owned(), what, hint: hint.to_owned() });
    if token.name.trim().is_empty() || token.name.len() > LONGEST_NAME || token.name.chars().any(char::is_control) {
        wrong("name", "not a name".to_owned(), "use 1 to 128 visible characters");
    }
    if token.project.as_ref().is_some_and(|p| p.trim().is_empty() || p.len() > LONGEST_NAME || p.chars().any(char::is_control)) {
        wrong("project", "not a name".to_owned(), "use 1 to 128 visible characters, or leave it out");
    }
    if token.scopes.is_empty() && token.role.is_none() && token.rights.is_empty() {
        wrong("scopes", "a token that may do nothing".to_owned(), "use [\"inference\"] or [\"admin\"], or give it a role or rights");
    }
    match &token.models {
        Some(models) if models.is_empty() => wrong("models", "an empty list allows no model".to_owned(), "leave it out to allow all"),
        Some(models) if models.len() > MOST_MODELS => {
            wrong("models", format!("more than {MOST_MODELS}"), "leave it out to allow all");
        }
        _ => {}
    }
    found.extend([token.limits.check(), token.budget.check()].into_iter().filter_map(Result::err).flat_map(|Invalid(more)| more));
    Invalid::from_problems(found)
}

/// Whether an end lies ahead.
pub(crate) fn check_end(expires_at: Option<Timestamp>) -> Result<(), Invalid> {
    match expires_at {
        Some(at) if at <= Timestamp::now() => {
            Err(Invalid::one("expires_at", format!("{at} is in the past"), "choose a later time, or leave it out"))
        }
        _ => Ok(()),
    }
}
