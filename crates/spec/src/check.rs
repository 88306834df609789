//! What is wrong with a value, all of it at once, and what to write instead.
//!
//! In: findings. Out: [`Invalid`], which prints one line for each. From: Kubernetes field errors.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, as a path: `replicas.max`.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// A value that cannot be accepted, with every reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    /// Collects findings; `Ok` when there are none.
    pub fn from_problems(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
    /// With one reason.
    pub fn one(field: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(vec![Problem { field: field.into(), what: what.into(), hint: hint.into() }])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}: {}", problem.field, problem.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl base::Fault for Invalid {
    fn kind(&self) -> base::Kind {
        base::Kind::Invalid
    }
    fn hint(&self) -> Option<String> {
        let hints: Vec<&str> = self.0.iter().map(|p| p.hint.as_str()).filter(|h| !h.is_empty()).collect();
        (!hints.is_empty()).then(|| hints.join("; "))
    }
}

/// The candidate that `word` was probably meant to be.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE_ENOUGH: f64 = 0.75;
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}
