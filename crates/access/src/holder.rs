//! Who else than a token has limits of its own: a project, and a deployment.
//!
//! In: names. Out: a [`Shared`] for each project that a token names or that is stored, a [`Gate`] for
//! each deployment that was asked for. Fails: never. Holds: their meters, for as long as Penstock
//! runs: a budget is not forgotten because nobody calls.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use spec::{Budget, Limits, Project};

use crate::lately::Lately;
use crate::meter::{Meter, Terms};

static NO_LIMITS: Limits = Limits { requests_per_minute: None, tokens_per_minute: None, concurrency: None };
static NO_BUDGET: Budget = Budget {
    tokens_per_hour: None,
    tokens_per_day: None,
    tokens_per_month: None,
    usd_per_hour: None,
    usd_per_day: None,
    usd_per_month: None,
};

/// What the tokens of one project use together.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) meter: Meter,
    /// What it may use; none when its name is only booked on. Read anew by every call, so that a change
    /// holds at once.
    pub(crate) project: ArcSwapOption<Project>,
}

impl Shared {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), meter: Meter::new(), project: ArcSwapOption::empty() }
    }
}

/// What a project may use.
pub(crate) fn terms(project: Option<&Project>) -> Terms<'_> {
    project.map_or(Terms { limits: &NO_LIMITS, budget: &NO_BUDGET }, |project| Terms { limits: &project.limits, budget: &project.budget })
}

/// What the callers of one deployment use together, and how long its answers have been.
#[derive(Debug)]
pub struct Gate {
    pub(crate) name: Arc<str>,
    pub(crate) meter: Meter,
    pub(crate) lately: Lately,
}

impl Gate {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), meter: Meter::new(), lately: Lately::default() }
    }

    /// Calls that have been let in and have not ended.
    pub fn running(&self) -> u32 {
        self.meter.running()
    }

    /// How long the next answer will probably be at most; `None` before the first has come to its end.
    pub fn likely_output(&self) -> Option<u64> {
        self.lately.likely()
    }
}
