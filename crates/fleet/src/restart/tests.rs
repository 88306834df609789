//! Are waits short where somebody waits, and long where nothing changes?

use std::time::Duration;

use spec::{Reason, ReasonCode};

use super::{AFTER_FAILURE, Restarts};
use crate::tests::values::NOW;

const SECOND: Duration = Duration::from_secs(1);

/// The waits of failures in a row, each so long after the one before was over.
fn waits(code: ReasonCode, served: bool, count: u32, apart: Duration) -> Vec<u64> {
    let (mut restarts, mut now) = (Restarts::default(), NOW);
    let mut one = |failures| {
        let wait = restarts.wait(&Reason::new(code, "", ""), served, failures, now);
        now = now.plus(wait + apart);
        wait.as_secs()
    };
    (1..=count).map(&mut one).collect()
}

#[test]
fn what_served_is_started_again_at_once_three_times_in_a_minute_and_then_ever_later() {
    assert_eq!(waits(ReasonCode::EngineExited, true, 8, SECOND), [0, 0, 0, 1, 2, 4, 8, 16]);
}

#[test]
fn accidents_that_are_far_apart_never_wait() {
    assert_eq!(waits(ReasonCode::EngineExited, true, 6, Duration::from_secs(25)), [0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_never_came_up_waits_from_the_first_time_on_and_not_for_ever() {
    assert_eq!(waits(ReasonCode::EngineRejected, false, 4, SECOND), [1, 2, 4, 8]);
    let last = waits(ReasonCode::EngineRejected, false, 40, SECOND).pop();
    assert_eq!(last, Some(AFTER_FAILURE.most.as_secs()));
}

#[test]
fn out_of_memory_is_no_accident() {
    assert_eq!(waits(ReasonCode::OutOfMemory, true, 3, SECOND), [10, 20, 40]);
}

#[test]
fn what_cannot_change_by_itself_and_what_costs_nothing_have_waits_of_their_own() {
    assert_eq!(waits(ReasonCode::EngineMissing, false, 3, SECOND), [30, 30, 30]);
    assert_eq!(waits(ReasonCode::RemoteUnreachable, false, 6, SECOND), [1, 2, 4, 8, 15, 15]);
}
