//! How a deployment goes from one revision to the next, and how far it is.
//!
//! In: the `rollout` group of a deployment. Out: plain values, and [`RolloutStatus`], which is all of a rollout
//! that must survive a crash. Fails: with every setting that cannot work. From: Kubernetes' deployments (surge,
//! unavailable, deadline, undo) and Argo Rollouts (steps of a canary, and the way back).

use std::time::Duration;

use base::Timestamp;
use base::clock::human;
use serde::{Deserialize, Serialize};

use crate::check::{self, Problem};
use crate::reason::{Reason, ReasonCode};

/// How instances of the old revision make way for those of the new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollout {
    /// By which strategy.
    pub strategy: Strategy,
    /// So many instances more than wanted may there be while it lasts.
    pub max_surge: u32,
    /// So many of those that are wanted may be missing while it lasts.
    pub max_unavailable: u32,
    /// A rollout without progress for so long goes back by itself.
    #[serde(with = "human")]
    pub progress_deadline: Duration,
    /// Revisions that are remembered, to go back to.
    pub revision_history: u32,
    /// A moved tag of its model is a change of the wish: a new revision follows it.
    pub follow: bool,
    /// How a canary goes on.
    pub canary: Canary,
}

/// A strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// New instances come up beside the old ones and take over one by one.
    #[default]
    Rolling,
    /// The old ones finish their calls and end while callers wait in line; then the new ones start. Needs no spare memory.
    Recreate,
    /// The new revision gets a small share of the calls first, and more while it does well.
    Canary,
}

/// How a canary goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canary {
    /// Percent of the calls that the new revision gets, step by step; after the last step it gets all of them.
    pub weights: Vec<u32>,
    /// How long each step lasts.
    #[serde(with = "human")]
    pub hold: Duration,
    /// It goes back when a larger share of the new revision's calls fails than of the old one's, by more than this (0 to 1).
    pub max_error_rate: f64,
    /// It goes back when the new revision's first tokens take more than so many times as long as the old one's.
    pub max_latency_ratio: f64,
}

impl Default for Rollout {
    fn default() -> Self {
        const TEN_MINUTES: Duration = Duration::from_mins(10); // as Kubernetes has it: a large model loads in less
        const TEN: u32 = 10; // as Kubernetes has it
        Self {
            strategy: Strategy::default(),
            max_surge: 1,
            max_unavailable: 0,
            progress_deadline: TEN_MINUTES,
            revision_history: TEN,
            follow: true,
            canary: Canary::default(),
        }
    }
}

impl Default for Canary {
    fn default() -> Self {
        const STEPS: [u32; 3] = [5, 25, 50]; // few callers meet a bad revision, and half of them show how it bears the load
        const FIVE_MINUTES: Duration = Duration::from_mins(5);
        const ONE_IN_TWENTY: f64 = 0.05;
        const TWICE: f64 = 2.0;
        Self { weights: STEPS.to_vec(), hold: FIVE_MINUTES, max_error_rate: ONE_IN_TWENTY, max_latency_ratio: TWICE }
    }
}

/// More instances at once than a deployment may have help nobody.
const MOST_SURGE: u32 = 256;
const MOST_HISTORY: u32 = 1000;
const MOST_STEPS: usize = 100;
const WHOLE: u32 = 100;

impl Rollout {
    /// Whether it says nothing but the defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Everything that is wrong with it.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found: Vec<Problem> = [
            check::time("rollout.progress_deadline", self.progress_deadline, Some("would give no revision the time to come up")),
            check::time("rollout.canary.hold", self.canary.hold, None), // 0: a step is over as soon as it is reached
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.max_surge == 0 && self.max_unavailable == 0 {
            let hint = "let max_surge be 1, or max_unavailable, or use strategy: recreate";
            found.push(problem("rollout.max_surge", "with neither surge nor unavailable nothing can move".to_owned(), hint));
        }
        for (field, value) in [("rollout.max_surge", self.max_surge), ("rollout.max_unavailable", self.max_unavailable)] {
            if value > MOST_SURGE {
                found.push(problem(field, format!("more than {MOST_SURGE}"), "one deployment has at most that many instances"));
            }
        }
        if !(1..=MOST_HISTORY).contains(&self.revision_history) {
            let what = format!("{} is not between 1 and {MOST_HISTORY}", self.revision_history);
            found.push(problem("rollout.revision_history", what, "use 10"));
        }
        found.extend(self.canary.problems());
        found
    }
}

impl Canary {
    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let rises = self.weights.is_sorted_by(|one, next| one < next);
        let are_shares = self.weights.iter().all(|weight| (1..WHOLE).contains(weight));
        if self.weights.is_empty() || self.weights.len() > MOST_STEPS || !rises || !are_shares {
            let what = format!("{:?} are not rising shares between 1 and 99 percent", self.weights);
            found.push(problem("rollout.canary.weights", what, "write [5, 25, 50]; all calls follow by themselves"));
        }
        if !(0.0..=1.0).contains(&self.max_error_rate) {
            let what = format!("{} is not a share between 0 and 1", self.max_error_rate);
            found.push(problem("rollout.canary.max_error_rate", what, "use 0.05 for one call in twenty"));
        }
        if !self.max_latency_ratio.is_finite() || self.max_latency_ratio < 1.0 {
            let what = format!("{} would go back from a revision that is as fast as the old one", self.max_latency_ratio);
            found.push(problem("rollout.canary.max_latency_ratio", what, "use 2, or 1 or more"));
        }
        found
    }
}

fn problem(field: &str, what: String, hint: &str) -> Problem {
    Problem { field: field.to_owned(), what, hint: hint.to_owned() }
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutPhase {
    /// Under way.
    #[default]
    Progressing,
    /// The new revision serves alone.
    Complete,
    /// The new revision was not good; the one before it serves.
    RolledBack,
}

/// A rollout, as it is stored: the one that is under way, or the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// How far it is.
    pub phase: RolloutPhase,
    /// The revision that it comes from, and goes back to; none for the first one.
    pub from: Option<u64>,
    /// The revision that it goes to.
    pub to: u64,
    /// The strategy in force: a rolling one that finds no room goes over to recreate.
    pub strategy: Strategy,
    /// Steps of the canary that are done.
    pub step: usize,
    /// Instances of the old revision when it was decided to end them first; the new one gets as many unasked.
    pub replicas: u32,
    /// Instances of the new revision that failed.
    pub failures: u32,
    /// It goes no further until it is resumed.
    pub paused: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last made progress.
    pub progress_at: Timestamp,
    /// Since when the present step of the canary has all that it needs.
    pub held_since: Option<Timestamp>,
    /// Calls of the old revision's instances, and how many of them failed, when the canary began.
    pub before: (u64, u64),
    /// Why it is not going on, why it went back, or why its strategy is another one.
    pub reason: Option<Reason>,
}

impl RolloutStatus {
    /// The first one of a deployment.
    pub fn first(to: u64, settings: &Rollout, now: Timestamp) -> Self {
        Self {
            phase: RolloutPhase::Progressing,
            from: None,
            to,
            strategy: settings.strategy,
            step: 0,
            replicas: 0,
            failures: 0,
            paused: false,
            started_at: now,
            progress_at: now,
            held_since: None,
            before: (0, 0),
            reason: None,
        }
    }
    /// The one that follows when the wish has changed again.
    #[must_use]
    pub fn aimed_at(&self, to: u64, settings: &Rollout, now: Timestamp) -> Self {
        let reason = self.paused.then(Self::paused_by_hand);
        Self { from: self.stable(), paused: self.paused, reason, ..Self::first(to, settings, now) }
    }
    /// The same with what was shown in the one before it: its engines serve on. `by` and `before_by` are the settings of both; where
    /// the steps are others now they begin anew.
    #[must_use]
    pub fn going_on_from(&self, before: &Self, by: &Rollout, before_by: &Rollout) -> Self {
        let goes_on = Self { failures: before.failures, progress_at: before.progress_at, ..self.clone() };
        let same_steps = (by.strategy, &by.canary.weights) == (before_by.strategy, &before_by.canary.weights);
        if self.step > 0 || !same_steps {
            return goes_on;
        }
        Self { step: before.step, held_since: before.held_since, before: before.before, ..goes_on }
    }
    /// Why a rollout stands still.
    fn paused_by_hand() -> Reason {
        Reason::new(ReasonCode::Paused, "paused by hand", "`penstock rollout resume` lets it go on")
    }
    /// It goes no further; so do those that follow.
    #[must_use]
    pub fn paused(&self) -> Self {
        let moves = self.phase == RolloutPhase::Progressing;
        let reason = if moves { Some(Self::paused_by_hand()) } else { self.reason.clone() };
        Self { paused: true, reason, ..self.clone() }
    }
    /// The same one once more.
    #[must_use]
    pub fn again(&self, settings: &Rollout, now: Timestamp) -> Self {
        Self { from: self.from, ..Self::first(self.to, settings, now) }
    }
    /// The revision that can be relied on: it has served, and is gone back to.
    pub fn stable(&self) -> Option<u64> {
        if self.phase == RolloutPhase::Complete { Some(self.to) } else { self.from }
    }
    /// It goes from one revision to another now.
    pub fn moves_on(&self) -> bool {
        self.phase == RolloutPhase::Progressing && self.from.is_some()
    }
    /// The percentage of calls that the new revision gets while it is a canary beside the old one.
    pub fn weight(&self, settings: &Rollout) -> Option<u32> {
        let is_canary = self.moves_on() && self.strategy == Strategy::Canary;
        settings.canary.weights.get(self.step).copied().filter(|_| is_canary)
    }
}

/// How a revision stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionStatus {
    /// It is being rolled out.
    #[default]
    Progressing,
    /// It serves.
    Serving,
    /// It has served, and another one does now.
    Superseded,
    /// Another one came before it could serve.
    Abandoned,
    /// It was not good.
    Failed,
}

#[cfg(test)]
mod tests;
