//! What is wrong with a value, all of it at once, and what to write instead.
//!
//! In: findings. Out: [`Invalid`], which prints one line for each. From: Kubernetes field errors.

use std::fmt;
use std::time::Duration;

use base::clock::human;
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

/// The most that a call may take or wait: a year. Longer times are slips of the pen, and clocks do not reach much further.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// What is wrong with a time that something may take; `zero` says why it cannot be none, where it cannot.
pub fn time(field: &str, time: Duration, zero: Option<&str>) -> Option<Problem> {
    time_within(field, time, (zero, LONGEST))
}

/// The same for a time that something is kept: up to a hundred years.
pub fn age(field: &str, time: Duration, zero: Option<&str>) -> Option<Problem> {
    const CENTURY: u32 = 100;
    time_within(field, time, (zero, LONGEST * CENTURY))
}

fn time_within(field: &str, time: Duration, (zero, longest): (Option<&str>, Duration)) -> Option<Problem> {
    let (what, hint) = match zero {
        Some(why) if time.is_zero() => {
            (format!("0 {why}"), "write a time such as 500ms, 30s or 5m, or leave it out for the default".to_owned())
        }
        _ if time > longest => {
            let most = human::print(longest);
            (format!("{} is longer than anything may take", human::print(time)), format!("write {most} at most"))
        }
        _ => return None,
    };
    Some(Problem { field: field.to_owned(), what, hint })
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
