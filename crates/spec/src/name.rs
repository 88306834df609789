//! Names that people type and URLs carry.
//!
//! In: text. Out: a name of 1 to 128 characters from `a-z A-Z 0-9 . _ - : /`, beginning and ending
//! with a letter or digit. Fails: with the character that is wrong. A deployment's name is the
//! model name that OpenAI clients send, hence slashes and colons (`qwen/qwen3:8b`).

use serde::{Deserialize, Deserializer, Serialize};

use crate::check::Invalid;

const LONGEST: usize = 128;

/// The name of a deployment, model or route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(std::sync::Arc<str>);

impl Name {
    /// Checks and takes the text.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const HINT: &str = "use letters, digits and . _ - : / ; begin and end with a letter or digit";
        let wrong = |what: String| Err(Invalid::one("name", what, HINT));
        if text.is_empty() {
            return wrong("a name is needed".to_owned());
        }
        if text.len() > LONGEST {
            return wrong(format!("`{}…` is longer than {LONGEST} characters", text.chars().take(20).collect::<String>()));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/'))) {
            return wrong(format!("`{text}` has a character that a name cannot have: {bad:?}"));
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !edge(text.chars().next()) || !edge(text.chars().next_back()) || text.contains("//") || text.contains("..") {
            return wrong(format!("`{text}` does not begin and end with a letter or digit, or holds `//` or `..`"));
        }
        Ok(Self(text.into()))
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
