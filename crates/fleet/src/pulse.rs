//! Whether an engine that says that it is well still works.
//!
//! In: what its probe heard of the engine's own loop ([`Beat`]) and the CPU time that its process uses.
//! Out: a reason to replace it, or none. Pure. An engine whose HTTP threads answer `/health` may have a loop that
//! is dead. A beat is an answer of the loop itself that shows a step, or that there is nothing to do. One without a
//! beat that does not compute either is dead; one that computes may only be slow, and gets as long as a
//! caller of it waits for a first token. From: the watchdogs of vLLM and of SGLang, which time the scheduler's steps.

use std::time::Duration;

use base::Timestamp;
use engine::Load;
use spec::{Phase, Reason, ReasonCode};

use crate::world::{Health, Item};

/// Without a beat, and without computing, for this long: dead.
pub const SILENT_FOR: Duration = Duration::from_secs(20);
/// One that does not even answer is given so long to come back, where it has not computed either and somebody waits.
pub const HUNG_FOR: Duration = Duration::from_secs(5);
/// A process that uses less of one core than this only waits.
const LEAST_PERCENT: u128 = 5;
/// The CPU time of shorter spans is counted too coarsely.
const SPAN: Duration = Duration::from_secs(1);

/// What the probe heard of an engine's loop.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Beat {
    /// So long without a step although there is work; by a clock that does not run while the machine sleeps.
    pub silent: Duration,
    /// What it last said of its load.
    pub load: Option<Load>,
}

/// The signs of life of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pulse {
    /// Of its loop.
    pub beat: Beat,
    /// Since when its process has hardly computed; `None` while it does, or while that is not known.
    pub quiet_since: Option<Timestamp>,
    /// CPU time that it had used, and when that was seen.
    mark: Option<(Duration, Timestamp)>,
}

impl Pulse {
    /// Takes in how much CPU time its process has used so far.
    pub fn look(&mut self, used: Option<Duration>, now: Timestamp) {
        let (Some(used), Some((before, at))) = (used, self.mark) else {
            self.mark = used.map(|used| (used, now));
            self.quiet_since = None;
            return;
        };
        let span = now.since(at);
        if span < SPAN {
            return;
        }
        let computes = used.saturating_sub(before).as_nanos() * 100 >= span.as_nanos() * LEAST_PERCENT;
        self.quiet_since = if computes { None } else { self.quiet_since.or(Some(at)) };
        self.mark = Some((used, now));
    }
}

/// Why it is to be replaced, if its loop is dead.
pub fn stuck(item: &Item, now: Timestamp) -> Option<Reason> {
    let (silent, quiet) = (item.pulse.beat.silent, is_quiet(item, now));
    let limit = if quiet { SILENT_FOR } else { item.revision.spec.timeouts.first_token.max(SILENT_FOR) };
    if silent < limit {
        return None;
    }
    let (silent, calls) = (base::clock::human::print(Duration::from_secs(silent.as_secs())), item.used.in_flight);
    let how = if quiet { "uses no CPU" } else { "computes without an end" };
    let message = format!("it answers its probe, but its loop has made no step for {silent} and it {how}; {calls} calls wait on it");
    Some(Reason::new(ReasonCode::Unresponsive, message, format!("it is replaced; see `penstock logs {}`", item.id)))
}

/// Why one that answers nothing is not waited for any longer: all of it stands still, and somebody goes without it.
pub fn hung(item: &Item, is_waited_for: bool, now: Timestamp) -> Option<Reason> {
    let Health::Down(what, _) = &item.health else { return None };
    let stands_still = item.phase == Phase::Unhealthy && now.since(item.since) >= HUNG_FOR && is_quiet(item, now);
    let message = || format!("{what}, and it uses no CPU; {} calls wait on it", item.used.in_flight);
    let remedy = || format!("it is replaced; see `penstock logs {}`", item.id);
    (stands_still && is_waited_for).then(|| Reason::new(ReasonCode::Unresponsive, message(), remedy()))
}

fn is_quiet(item: &Item, now: Timestamp) -> bool {
    item.pulse.quiet_since.is_some_and(|since| now.since(since) >= SILENT_FOR)
}

#[cfg(test)]
mod tests;
