//! Where the key of a remote engine is.
//!
//! In: a wish. Out: the one place that it names. A key itself stands in no wish: wishes are shown to whoever may read them.

use std::fmt;
use std::path::Path;

use super::Deployment;
use crate::check::Problem;
use crate::name::Name;

/// The place of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFrom<'a> {
    /// A variable of this server's environment.
    Variable(&'a str),
    /// A file of this server's machine.
    File(&'a Path),
    /// A secret that this server keeps.
    Secret(&'a Name),
}

impl fmt::Display for KeyFrom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Secret(name) => write!(f, "the secret `{name}`"),
        }
    }
}

impl Deployment {
    /// Where the remote engine's key is.
    pub fn key_from(&self) -> Option<KeyFrom<'_>> {
        let variable = self.api_key_env.as_deref().map(KeyFrom::Variable);
        variable.or(self.api_key_secret.as_ref().map(KeyFrom::Secret)).or(self.api_key_file.as_deref().map(KeyFrom::File))
    }

    /// A key has one place.
    pub(super) fn key_problem(&self) -> Option<Problem> {
        let named = [
            ("api_key_env", self.api_key_env.is_some()),
            ("api_key_secret", self.api_key_secret.is_some()),
            ("api_key_file", self.api_key_file.is_some()),
        ];
        let mut named = named.into_iter().filter(|(_, is_named)| *is_named).map(|(field, _)| field);
        let (first, second) = (named.next()?, named.next()?);
        Some(Problem {
            field: second.to_owned(),
            what: format!("{first} says where the key is already"),
            hint: "keep one of the two".to_owned(),
        })
    }
}
