//! How far an instance is in its deployment's pipeline.
//!
//! In: the wish and one of its instances. Out: for each step whether it is done, and the first that
//! is not. Pure. A pipeline is data, an ordered list of named steps; what a step needs done is
//! asked for here and done by `act`.

use spec::deployment::{Step, pipeline};
use spec::{Phase, Reason, ReasonCode};

use crate::world::{Item, Resolve, Wish};
use crate::{fetching, scale};

/// Whether a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is.
    Yes,
    /// Not yet, and this is why.
    No(Reason),
    /// It cannot be.
    Impossible(Reason),
}

/// Every step of the wish's pipeline with its state, in order.
pub fn steps(wish: &Wish, item: Option<&Item>) -> Vec<(Step, Done)> {
    let names = pipeline(wish.record.spec.pipeline()).unwrap_or_default();
    names.iter().map(|step| (*step, done(*step, wish, item))).collect()
}

/// Whether one step is done.
pub fn done(step: Step, wish: &Wish, item: Option<&Item>) -> Done {
    match step {
        Step::Resolve | Step::Fetch | Step::Verify | Step::Estimate => match &wish.resolve {
            Resolve::Done(_) => Done::Yes,
            Resolve::Failed(reason, _) => Done::Impossible(reason.clone()),
            Resolve::Pending | Resolve::Running => Done::No(fetching::reason(wish)),
        },
        Step::Place => reached(item, wish, Phase::Starting),
        Step::Launch | Step::Check => reached(item, wish, Phase::Loading),
        Step::Warm | Step::Expose => reached(item, wish, Phase::Ready),
    }
}

fn reached(item: Option<&Item>, wish: &Wish, phase: Phase) -> Done {
    let Some(item) = item else {
        return wish.failure.clone().map_or_else(|| Done::No(scale::idle(wish)), Done::Impossible);
    };
    let reason = || item.reason.clone().unwrap_or_else(|| Reason::new(ReasonCode::Progressing, format!("it is {}", item.phase), ""));
    match item.phase {
        Phase::Failed => Done::Impossible(reason()),
        Phase::Unhealthy | Phase::Sleeping => Done::Yes,
        now if now <= Phase::Ready && now >= phase => Done::Yes,
        _ => Done::No(reason()),
    }
}
