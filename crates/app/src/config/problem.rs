//! What is wrong with a config, all of it at once, each with its place and what to write instead.

use std::fmt;

use base::Fault;

use super::tree::Origin;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    at: Origin,
    what: String,
    hint: String,
}

impl Problem {
    /// Something wrong at a place.
    pub(super) fn new(at: Origin, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at != Origin::Nowhere {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

/// A config that cannot be used, with every reason, a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            all => {
                write!(f, "the config has {} faults", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

impl<F: Fault> FromIterator<F> for Problems {
    fn from_iter<I: IntoIterator<Item = F>>(faults: I) -> Self {
        let told = |fault: F| Problem::new(Origin::Nowhere, base::chain(&fault), fault.hint().unwrap_or_default());
        Self(faults.into_iter().map(told).collect())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
