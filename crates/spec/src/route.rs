//! A public model name with several deployments behind it.
//!
//! In: an entry of the config's `routes`, or the body of `POST /api/v1/routes`; both are this struct.
//! Out: [`Route::check`] says what is wrong with it by itself, [`Map`] what is wrong with it among
//! all that there is: a name that is taken, a target that nobody knows, fallbacks that lead in a circle.

use base::Timestamp;
use serde::{Deserialize, Serialize};

mod map;

pub use map::Map;

use crate::check::{Invalid, Problem};
use crate::deployment::Origin;
use crate::name::Name;

/// Targets that one route may have.
const MOST_TARGETS: usize = 64;
/// Fallbacks that one route or deployment may name.
pub(crate) const MOST_FALLBACKS: usize = 16;
const MOST_WEIGHT: u32 = 10_000;

/// A public model name, and who answers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The public model name that clients send.
    pub name: Name,
    /// The deployments that share its calls.
    pub targets: Vec<Target>,
    /// Deployments or routes that are asked, in this order, when no target can serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Name>,
    /// What keeps related calls on one target; nothing by default, so that the weights hold.
    #[serde(default = "no_affinity")]
    pub affinity: Affinity,
}

/// A deployment that takes a share of a route's calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Which deployment.
    pub deployment: Name,
    /// Its share, beside those of the others; 0 takes it out without forgetting it.
    #[serde(default = "one")]
    pub weight: u32,
}

/// What keeps related calls together, so that an engine finds its cache warm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// Nothing: each call goes where there is least to do.
    None,
    /// The session that a call names: `x-session-id`, `prompt_cache_key` or `user`.
    Session,
    /// The session, if the call names one, else the beginning of its prompt.
    #[default]
    Prefix,
}

/// What happens to a call that finds every slot taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// It waits in line.
    #[default]
    Queue,
    /// It is refused at once.
    Reject,
    /// It goes to the fallback at once; it waits only where there is none.
    Fallback,
}

/// A route as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRecord {
    /// The route.
    pub spec: Route,
    /// Rises by one with every change.
    pub generation: u64,
    /// Who wrote it.
    pub origin: Origin,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

fn no_affinity() -> Affinity {
    Affinity::None
}

fn one() -> u32 {
    1
}

impl Affinity {
    /// The word of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Session => "session",
            Self::Prefix => "prefix",
        }
    }
}

impl Route {
    /// Everything that is wrong with it by itself.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found = fallback_problems(&self.name, &self.fallback);
        let mut add = |field: String, what: String, hint: &str| found.push(Problem { field, what, hint: hint.to_owned() });
        if self.targets.is_empty() {
            add("targets".into(), "a route needs a deployment that it leads to".into(), "add targets: [{deployment: NAME}]");
        } else if self.targets.iter().all(|target| target.weight == 0) {
            add("targets".into(), "every weight is 0, so nobody takes a call".into(), "give one of them a weight of 1 or more");
        }
        if self.targets.len() > MOST_TARGETS {
            add("targets".into(), format!("more than {MOST_TARGETS}"), "one route leads to at most that many deployments");
        }
        for (at, target) in self.targets.iter().enumerate() {
            if target.weight > MOST_WEIGHT {
                add(
                    format!("targets[{at}].weight"),
                    format!("more than {MOST_WEIGHT}"),
                    "weights count only beside each other: use smaller ones",
                );
            }
            if self.targets.iter().take(at).any(|before| before.deployment == target.deployment) {
                let what = format!("`{}` is a target already", target.deployment);
                add(format!("targets[{at}].deployment"), what, "name each deployment once, and say its share by its weight");
            }
        }
        Invalid::from_problems(found)
    }
}

/// What is wrong with a list of fallbacks by itself.
pub(crate) fn fallback_problems(name: &Name, fallback: &[Name]) -> Vec<Problem> {
    let problem = |at: usize, what: String, hint: &str| Problem { field: format!("fallback[{at}]"), what, hint: hint.to_owned() };
    let mut found = Vec::new();
    for (at, next) in fallback.iter().enumerate() {
        if next == name {
            found.push(problem(at, format!("`{name}` cannot stand in for itself"), "take it out of its own fallback"));
        } else if fallback.iter().take(at).any(|before| before == next) {
            found.push(problem(at, format!("`{next}` is named twice"), "name each fallback once"));
        }
    }
    if fallback.len() > MOST_FALLBACKS {
        found.push(problem(MOST_FALLBACKS, format!("more than {MOST_FALLBACKS} fallbacks"), "keep those that matter"));
    }
    found
}

#[cfg(test)]
mod tests;
