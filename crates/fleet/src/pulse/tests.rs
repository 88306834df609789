//! Is a dead loop told from a slow one?

use std::time::Duration;

use spec::Phase;

use super::{Beat, HUNG_FOR, Pulse, SILENT_FOR, hung, stuck};
use crate::tests::values::{NOW, ago, item};
use crate::world::{Health, Item};

const MINUTE: Duration = Duration::from_mins(1);

/// An item that has been silent for so long, and has used so much CPU in the last minute.
fn silent(silent: Duration, used: Option<Duration>) -> Item {
    let mut pulse = Pulse { beat: Beat { silent, load: None }, ..Pulse::default() };
    pulse.look(used.map(|_| Duration::ZERO), ago(MINUTE));
    pulse.look(used, NOW);
    Item { pulse, ..item("i", "a", Phase::Ready) }
}

#[test]
fn a_loop_that_stands_still_and_does_not_compute_is_dead() {
    let reason = stuck(&silent(SILENT_FOR, Some(Duration::from_millis(200))), NOW).unwrap();
    assert!(reason.message.contains("no step for 20s") && reason.message.contains("uses no CPU"), "{}", reason.message);
    assert_eq!(stuck(&silent(SILENT_FOR.mul_f64(0.9), Some(Duration::ZERO)), NOW), None);
}

#[test]
fn one_that_computes_gets_as_long_as_its_callers_wait() {
    let busy = Some(Duration::from_secs(50));
    let limit = item("i", "a", Phase::Ready).revision.spec.timeouts.first_token;
    assert_eq!(stuck(&silent(limit.mul_f64(0.9), busy), NOW), None);
    assert!(stuck(&silent(limit, busy), NOW).unwrap().message.contains("computes without an end"));
}

#[test]
fn one_whose_cpu_time_is_not_known_counts_as_computing() {
    assert_eq!(stuck(&silent(MINUTE, None), NOW), None);
}

#[test]
fn one_that_answers_nothing_is_given_up_early_where_it_stands_still_and_somebody_waits() {
    let with = |used: Duration, since: Duration| {
        let still = silent(Duration::ZERO, Some(used));
        Item { phase: Phase::Unhealthy, since: ago(since), health: Health::Down("no answer".into(), ago(since)), ..still }
    };
    let still = with(Duration::ZERO, HUNG_FOR);
    assert!(hung(&still, true, NOW).unwrap().message.contains("no answer, and it uses no CPU"));
    assert_eq!(hung(&still, false, NOW), None, "it may come back");
    assert_eq!(hung(&with(Duration::from_secs(50), HUNG_FOR), true, NOW), None, "it works");
    assert_eq!(hung(&with(Duration::ZERO, HUNG_FOR / 2), true, NOW), None, "a moment is not enough");
    assert_eq!(hung(&silent(MINUTE, Some(Duration::ZERO)), true, NOW), None, "it answers");
}

#[test]
fn a_moment_of_work_ends_the_quiet() {
    let mut pulse = Pulse::default();
    pulse.look(Some(Duration::ZERO), ago(MINUTE));
    pulse.look(Some(Duration::ZERO), ago(Duration::from_secs(30)));
    assert_eq!(pulse.quiet_since, Some(ago(MINUTE)));
    pulse.look(Some(Duration::from_secs(5)), ago(Duration::from_secs(10)));
    assert_eq!(pulse.quiet_since, None);
    pulse.look(Some(Duration::from_secs(5)), ago(Duration::from_millis(9_900)));
    assert_eq!(pulse.quiet_since, None, "too short a span says nothing");
    pulse.look(Some(Duration::from_secs(5)), NOW);
    assert_eq!(pulse.quiet_since, Some(ago(Duration::from_secs(10))));
}
