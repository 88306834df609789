//! What every runtime must do, as a suite that is run on each of them.
//!
//! In: a [`Stage`]: a runtime, and orders that it can carry out. Out: nothing, when it keeps the
//! contract. Fails: with the rule that was broken and what was seen. From: quickwit's metastore
//! tests, one suite on all backends.
//!
//! ```text
//! runtime::contract!(process, my_stage());
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use spec::{InstanceId, Order, Seen, SeenState};
use tokio::time::{Instant, timeout_at};

use crate::{Error, LogsFrom, Runtime};

/// For anything that a runtime does in its own time.
const PATIENCE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);

/// Writes an order, for this instance and with this fence, that the runtime can carry out and that
/// runs until it is stopped.
pub type WriteOrder = Box<dyn Fn(&InstanceId, u64) -> Order + Send + Sync>;

/// A runtime that is to be tried.
pub struct Stage {
    /// It.
    pub runtime: Arc<dyn Runtime>,
    /// What it is given to do.
    pub order: WriteOrder,
    /// What has to live as long as the stage, such as a temporary folder.
    pub held: Box<dyn Send + Sync>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("runtime", &self.runtime.kind()).finish_non_exhaustive()
    }
}

/// How a runtime broke the contract.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    /// A call failed that must not.
    #[error(transparent)]
    Failed(#[from] Error),
    /// A rule does not hold.
    #[error("{rule}, but {seen}")]
    Broken {
        /// The rule.
        rule: &'static str,
        /// What was seen instead.
        seen: String,
    },
}

/// Generates the contract suite as tests in a module `$name`; `$stage` is an expression that makes a fresh
/// [`Stage`] and is evaluated once for each test.
#[macro_export]
macro_rules! contract {
    ($name:ident, $stage:expr) => {
        mod $name {
            use super::*;
            $crate::contract!(@tests $stage;
                what_is_launched_is_seen_with_its_order,
                launching_twice_starts_one,
                a_lower_fence_is_refused,
                two_instances_do_not_touch_each_other,
                what_is_stopped_ends_and_is_forgotten,
                stopping_what_is_not_there_is_fine,
                the_log_of_what_is_not_there_is_not_found,
                a_start_and_an_end_tick,
                capacity_names_each_device_once,
            );
        }
    };
    (@tests $stage:expr; $($rule:ident,)*) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let stage: $crate::contract::Stage = $stage;
                let outcome = $crate::contract::$rule(&stage).await;
                $crate::contract::clear(&stage).await.unwrap();
                outcome.unwrap();
            }
        )*
    };
}

/// Stops everything, so that a broken rule leaves nothing running.
pub async fn clear(stage: &Stage) -> Result<(), Breach> {
    for seen in stage.runtime.list().await? {
        stop_for_good(stage, &seen.order.instance).await?;
    }
    Ok(())
}

/// A launched order is listed as running, as it was given.
pub async fn what_is_launched_is_seen_with_its_order(stage: &Stage) -> Result<(), Breach> {
    let order = (stage.order)(&InstanceId::random(), 7);
    stage.runtime.launch(&order).await?;
    let seen = stage.runtime.list().await?;
    rule(
        "exactly what was launched is listed as running",
        &seen,
        |seen| matches!(seen.as_slice(), [one] if one.order == order && one.state == SeenState::Running),
    )
}

/// A second launch of the same order changes nothing.
pub async fn launching_twice_starts_one(stage: &Stage) -> Result<(), Breach> {
    let order = (stage.order)(&InstanceId::random(), 7);
    stage.runtime.launch(&order).await?;
    let first = stage.runtime.list().await?;
    let (one, two) = tokio::join!(stage.runtime.launch(&order), stage.runtime.launch(&order));
    one?;
    two?;
    let second = stage.runtime.list().await?;
    let born = |all: &[Seen]| all.iter().map(|seen| (seen.pid, seen.started_at)).collect::<Vec<_>>();
    rule("a second launch starts nothing", &second, |second| second.len() == 1 && born(second) == born(&first))
}

/// An order with a lower fence than one that was carried out is refused; a higher one is taken.
pub async fn a_lower_fence_is_refused(stage: &Stage) -> Result<(), Breach> {
    let id = InstanceId::random();
    stage.runtime.launch(&(stage.order)(&id, 7)).await?;
    let refused = stage.runtime.launch(&(stage.order)(&id, 6)).await;
    rule("a lower fence is refused", &refused, |refused| matches!(refused, Err(Error::Fenced { given: 6, actual: 7, .. })))?;
    stage.runtime.launch(&(stage.order)(&id, 9)).await?;
    let refused = stage.runtime.launch(&(stage.order)(&id, 8)).await;
    rule("a fence that was raised counts", &refused, |refused| matches!(refused, Err(Error::Fenced { actual: 9, .. })))
}

/// Stopping one leaves the other.
pub async fn two_instances_do_not_touch_each_other(stage: &Stage) -> Result<(), Breach> {
    let (one, two) = (InstanceId::random(), InstanceId::random());
    stage.runtime.launch(&(stage.order)(&one, 1)).await?;
    stage.runtime.launch(&(stage.order)(&two, 2)).await?;
    stop_for_good(stage, &one).await?;
    let seen = stage.runtime.list().await?;
    rule(
        "the other one runs on",
        &seen,
        |seen| matches!(seen.as_slice(), [left] if left.order.instance == two && left.state == SeenState::Running),
    )
}

/// The first stop ends it, with an exit that was asked for; a stop of what has ended makes it forgotten.
pub async fn what_is_stopped_ends_and_is_forgotten(stage: &Stage) -> Result<(), Breach> {
    let id = InstanceId::random();
    stage.runtime.launch(&(stage.order)(&id, 1)).await?;
    stop_for_good(stage, &id).await?;
    let seen = stage.runtime.list().await?;
    rule("what was stopped and forgotten is not listed", &seen, Vec::is_empty)
}

/// So a caller never needs to look first.
pub async fn stopping_what_is_not_there_is_fine(stage: &Stage) -> Result<(), Breach> {
    Ok(stage.runtime.stop(&InstanceId::random(), GRACE).await?)
}

/// And not an empty log.
pub async fn the_log_of_what_is_not_there_is_not_found(stage: &Stage) -> Result<(), Breach> {
    let from = LogsFrom { tail: None, follow: false };
    let log = stage.runtime.logs(&InstanceId::random(), from).await.map(|_| "a log");
    rule("the log of an unknown instance is not found", &log, |log| matches!(log, Err(Error::NotFound(_))))
}

/// Nobody has to poll.
pub async fn a_start_and_an_end_tick(stage: &Stage) -> Result<(), Breach> {
    let mut changes = stage.runtime.changes();
    let id = InstanceId::random();
    changes.mark_unchanged();
    stage.runtime.launch(&(stage.order)(&id, 1)).await?;
    let ticked = timeout_at(Instant::now() + PATIENCE, changes.changed()).await;
    rule("a launch ticks", &ticked, Result::is_ok)?;
    stage.runtime.stop(&id, GRACE).await?;
    loop {
        changes.mark_unchanged();
        let alive = |seen: &Seen| !matches!(seen.state, SeenState::Exited(_));
        let seen = stage.runtime.list().await?;
        if !seen.iter().any(alive) {
            return Ok(());
        }
        let ticked = timeout_at(Instant::now() + PATIENCE, changes.changed()).await;
        rule("an end ticks", &seen, |_| ticked.is_ok())?;
    }
}

/// So a ledger can be kept by name.
pub async fn capacity_names_each_device_once(stage: &Stage) -> Result<(), Breach> {
    let nodes = stage.runtime.capacity().await?;
    let names: Vec<_> = nodes.iter().flat_map(|node| node.devices.iter().map(|device| (&node.name, &device.id))).collect();
    rule("each device has a name of its own", &nodes, |_| names.iter().collect::<BTreeSet<_>>().len() == names.len())?;
    rule("what is free is not more than there is", &nodes, |nodes| {
        nodes.iter().flat_map(|node| &node.devices).all(|device| device.free <= device.total)
    })
}

/// Stops, waits for the end by the ticks of the runtime, and stops again to have it forgotten.
async fn stop_for_good(stage: &Stage, id: &InstanceId) -> Result<(), Breach> {
    let mut changes = stage.runtime.changes();
    let deadline = Instant::now() + PATIENCE;
    loop {
        changes.mark_unchanged();
        stage.runtime.stop(id, GRACE).await?;
        let seen: Vec<_> = stage.runtime.list().await?.into_iter().filter(|seen| seen.order.instance == *id).collect();
        match seen.first().map(|seen| &seen.state) {
            None => return Ok(()),
            Some(SeenState::Exited(exit)) => {
                rule("an end that was asked for says so", exit, |exit| exit.asked || exit.spawn_error.is_some())?;
            }
            Some(_) => {
                let ticked = timeout_at(deadline, changes.changed()).await;
                rule("what is stopped ends", &seen, |_| ticked.is_ok())?;
            }
        }
    }
}

fn rule<T: fmt::Debug>(rule: &'static str, seen: &T, holds: impl FnOnce(&T) -> bool) -> Result<(), Breach> {
    if holds(seen) { Ok(()) } else { Err(Breach::Broken { rule, seen: format!("{seen:?}") }) }
}
