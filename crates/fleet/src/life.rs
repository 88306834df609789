//! The life of one instance: the phase table.
//!
//! In: an instance as this turn sees it. Out: what happens to it next, if anything. Pure. Placing
//! and the decision to drain are made in [`crate::plan`], which sees the others too; everything
//! that follows from the instance alone stands in the one `match` here.

use std::time::Duration;

use base::Timestamp;
use spec::{Exit, Phase, Reason, ReasonCode, RuntimeKind};

use crate::world::{Health, Item, Sight, Start};
use crate::{pulse, sleep};

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It stays where it is.
    Stay,
    /// It goes to this phase.
    Move(Phase, Option<Reason>),
    /// It failed.
    Fail(Reason),
    /// Its end is to be asked for.
    Stop,
    /// Nothing is left of it.
    Forget,
}

/// How long an instance may be unreachable before it is replaced.
pub const UNHEALTHY_FOR: Duration = Duration::from_secs(30);
/// How long a start may be invisible to the runtime before it counts as lost.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// How long one that was seen may be invisible: a folder that cannot be read for a moment is no loss.
const MISSED_FOR: Duration = Duration::from_secs(2);
/// How long a failed instance is shown; its log can be read for as long.
pub const FAILED_SHOWN_FOR: Duration = Duration::from_mins(10);
/// An end that has not come after this time is asked for again: longer than TERM, TERM and KILL take.
pub const STOP_AGAIN: Duration = Duration::from_secs(10);

/// The phase table.
pub fn next(item: &Item, now: Timestamp) -> Next {
    use Phase::{
        Draining, Failed, Fetching, Loading, Pending, Placing, Ready, Reclaiming, Sleeping, Starting, Stopped, Stopping, Unhealthy, Warming,
    };
    let here = now.since(item.since);
    match (item.phase, &item.sight) {
        (Starting | Loading | Warming | Ready | Unhealthy | Sleeping, Sight::Exited(exit)) => Next::Fail(ended(exit, item)),
        (Starting, _) if matches!(item.start, Start::Failed(_)) => Next::Fail(start_failure(item)),
        (Starting, Sight::Running { .. }) if item.start == Start::Done => {
            Next::Move(Loading, Some(progressing("the engine reads the model")))
        }
        (Starting, Sight::Absent) if item.start == Start::Done && here > SEEN_WITHIN => Next::Fail(vanished()),
        (Loading | Warming | Ready | Unhealthy | Sleeping, Sight::Absent) if is_missed(item, now) => Next::Fail(vanished()),
        (Loading | Ready, _) if item.health == Health::Asleep && item.used.in_flight == 0 => {
            Next::Move(Sleeping, Some(sleep::reason(item)))
        }
        (Sleeping, _) if item.health == Health::Up => Next::Move(Ready, None), // somebody's call was in between
        (Sleeping, _) if item.health.is_down_for(UNHEALTHY_FOR, now) => Next::Fail(unresponsive(item)),
        (Loading, _) if item.health == Health::Up => Next::Move(Warming, Some(progressing("it answers its probe"))),
        (Loading, _) => still_loading(item, now),
        (Warming, _) => Next::Move(Ready, None),
        (Ready, _) if let Some(reason) = pulse::stuck(item, now) => Next::Fail(reason),
        (Ready, _) if matches!(item.health, Health::Down(..)) => Next::Move(Unhealthy, Some(unresponsive(item))),
        (Unhealthy, _) if matches!(item.health, Health::Up | Health::Asleep) => Next::Move(Ready, None),
        (Unhealthy, _) if here > UNHEALTHY_FOR => Next::Fail(unresponsive(item)),
        (Draining, Sight::Exited(_)) => Next::Move(Stopping, item.reason.clone()),
        (Draining, _) if item.used.in_flight == 0 || here > drains_for(item) || is_missed(item, now) => {
            Next::Move(Stopping, item.reason.clone())
        }
        // What is being started is told to end once it is known to be there; else it could come up afterwards.
        (Stopping | Failed, _) if item.start == Start::Running => Next::Stay,
        (Stopping, Sight::Exited(_)) => Next::Move(Reclaiming, item.reason.clone()),
        (Stopping, Sight::Absent) if item.stop_asked.is_some() => Next::Move(Reclaiming, item.reason.clone()),
        (Failed, Sight::Absent | Sight::Exited(_)) if here > FAILED_SHOWN_FOR => Next::Move(Reclaiming, item.reason.clone()),
        (Reclaiming, Sight::Absent) => Next::Move(Stopped, item.reason.clone()),
        (Stopping | Reclaiming, _) | (Failed, Sight::Running { .. }) if may_ask(item, now) => Next::Stop,
        (Stopped, _) => Next::Forget,
        // These wait for somebody: for room, for the start's report, for a caller to end, for the engine's end.
        (Pending | Fetching | Placing | Starting | Ready | Unhealthy | Sleeping | Draining | Stopping | Reclaiming | Failed, _) => {
            Next::Stay
        }
    }
}

fn is_missed(item: &Item, now: Timestamp) -> bool {
    item.sight == Sight::Absent && item.start != Start::Running && item.seen_at.is_none_or(|at| now.since(at) > MISSED_FOR)
}

/// How long callers may go on after it began to drain. Where nothing is said: as long as any call may take, so that none is cut.
fn drains_for(item: &Item) -> Duration {
    let limits = &item.revision.spec.timeouts;
    limits.drain.unwrap_or(limits.total)
}

fn may_ask(item: &Item, now: Timestamp) -> bool {
    item.stop_asked.is_none_or(|at| now.since(at) >= STOP_AGAIN)
}

/// A load goes on as long as it shows progress; without any for the deployment's start limit it fails.
fn still_loading(item: &Item, now: Timestamp) -> Next {
    let limit = item.revision.spec.timeouts.start;
    if let Health::Down(what, since) = &item.health
        && item.runtime == RuntimeKind::External
        && now.since(*since) >= REMOTE_PATIENCE
    {
        let remedy = "check that the server runs, its url and the key in api_key_env";
        return Next::Fail(Reason::new(ReasonCode::RemoteUnreachable, what.clone(), remedy));
    }
    if now.since(item.progress_at) > limit {
        let message = format!("no sign of progress for {}", base::clock::human::print(limit));
        let remedy = format!("see `penstock logs {}`; raise timeouts.start for slow disks", item.id);
        return Next::Fail(Reason::new(ReasonCode::StartTimeout, message, remedy));
    }
    Next::Stay
}

/// A remote server gets this long to answer its first probes.
const REMOTE_PATIENCE: Duration = Duration::from_secs(1);

fn progressing(message: &str) -> Reason {
    Reason::new(ReasonCode::Progressing, message, "")
}

fn start_failure(item: &Item) -> Reason {
    match &item.start {
        Start::Failed(reason) => reason.clone(),
        _ => vanished(),
    }
}

fn vanished() -> Reason {
    Reason::new(ReasonCode::EngineExited, "its keeper is gone, and the engine with it", "it is started again when it is asked for")
}

fn unresponsive(item: &Item) -> Reason {
    let what = match &item.health {
        Health::Down(what, _) => what.as_str(),
        _ => "it does not answer",
    };
    Reason::new(ReasonCode::Unresponsive, what, "it is replaced if it does not come back")
}

/// What an exit means, from its status and its last words.
fn ended(exit: &Exit, item: &Item) -> Reason {
    const SIGKILL: i32 = 9;
    let words = last_words(exit);
    if let Some(error) = &exit.spawn_error {
        return Reason::new(ReasonCode::EngineMissing, format!("the engine could not be started: {error}"), "run `penstock doctor`");
    }
    let wakes = item.nap == sleep::Nap::Waking;
    // One that finds no memory when it wakes is placed anew, which one that finds none at its start would gain nothing by.
    if let Some(words) = out_of_memory(exit).filter(|_| !wakes) {
        return Reason::new(
            ReasonCode::OutOfMemory,
            format!("the engine ran out of memory: {words}"),
            "lower context or parallel, or use a smaller quantisation",
        );
    }
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("with status {code}"),
        (None, Some(SIGKILL)) => "by KILL".to_owned(),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "without a status".to_owned(),
    };
    let (when, code) = match item.phase {
        _ if wakes => ("while it woke", ReasonCode::EngineExited),
        _ if item.is_taken_over() => ("while penstock was down", ReasonCode::EngineExited),
        phase if phase >= Phase::Ready => ("while it served", ReasonCode::EngineExited),
        _ if exit.code.is_some() => ("before it was ready", ReasonCode::EngineRejected),
        _ => ("before it was ready", ReasonCode::EngineExited),
    };
    let perhaps = if exit.signal == Some(SIGKILL) && !exit.lost { "; the kernel does that when memory runs out" } else { "" };
    Reason::new(
        code,
        format!("the engine ended {how} {when}{perhaps}{words}"),
        format!("see `penstock logs {}` for all that it said", item.id),
    )
}

/// What an engine says when it gets no memory; lines that say less follow, so all that is known is looked at.
fn out_of_memory(exit: &Exit) -> Option<String> {
    const SIGNS: [&str; 5] = ["out of memory", "failed to allocate", "unable to allocate", "cannot allocate", "bad_alloc"];
    let telling = |line: &&String| {
        let lower = line.to_lowercase();
        SIGNS.iter().any(|sign| lower.contains(sign))
    };
    let lines: Vec<&str> = exit.last_lines.iter().filter(telling).take(SHOWN).map(|line| line.trim()).collect();
    (!lines.is_empty()).then(|| lines.join(" / "))
}

/// So many lines of an engine stand in a reason.
const SHOWN: usize = 3;

fn last_words(exit: &Exit) -> String {
    let telling = |line: &&String| {
        let lower = line.to_lowercase();
        ["error", "fail", "invalid", "unable", "couldn't", "cannot"].iter().any(|sign| lower.contains(sign))
    };
    let mut lines: Vec<&str> = exit.last_lines.iter().filter(telling).map(|line| line.trim()).collect();
    if lines.is_empty() {
        lines = exit.last_lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    }
    let from = lines.len().saturating_sub(SHOWN);
    if lines.is_empty() { String::new() } else { format!(": {}", lines[from..].join(" / ")) }
}
