//! Who is sent out, for how long, and how it comes back.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Failure, Outcome, Verdict, Ward};

const SECOND: Duration = Duration::from_secs(1);
const FAST: Outcome = Outcome::Began(Duration::from_millis(50));
const SLOW: Outcome = Outcome::Began(Duration::from_millis(500));

fn ward(members: u32) -> Ward {
    let mut ward = Ward::default();
    (0..members).for_each(|number| ward.add(number, 0));
    ward.set_most(50);
    ward
}

fn failed(ward: &mut Ward, number: u32, now: Instant) -> Verdict {
    ward.note(number, Outcome::Failed(Failure::Error), false, now)
}

#[test]
fn a_member_that_fails_three_times_in_a_row_is_out_and_one_call_brings_it_back() {
    let (mut ward, now) = (ward(3), Instant::now());
    assert_eq!(failed(&mut ward, 1, now), Verdict::Stays);
    ward.note(1, FAST, false, now);
    assert_eq!((failed(&mut ward, 1, now), failed(&mut ward, 1, now)), (Verdict::Stays, Verdict::Stays), "the row began anew");
    assert_eq!(failed(&mut ward, 1, now), Verdict::Out);
    assert!(!ward.is_in(1) && ward.is_in(0));
    assert_eq!(ward.due(now + SECOND, |_| true), None, "not yet");
    let later = now + SECOND * 5;
    assert_eq!(ward.due(later, |_| true), Some(1));
    ward.begin_trial(1);
    assert_eq!(ward.due(later + SECOND * 1000, |_| true), None, "exactly one call tries it");
    assert_eq!(ward.note(1, FAST, false, later), Verdict::Stays, "a call from before says nothing now");
    assert!(!ward.is_in(1));
    assert_eq!(ward.note(1, FAST, true, later), Verdict::Back);
    assert!(ward.is_in(1) && ward.out() == 0);
    assert_eq!(failed(&mut ward, 1, later), Verdict::Stays, "it is forgiven");
}

#[test]
fn a_trial_that_fails_sends_it_out_for_longer_and_one_that_is_given_up_is_tried_again() {
    let (mut ward, mut now) = (ward(2), Instant::now());
    (0..3).for_each(|_| _ = failed(&mut ward, 0, now));
    let mut waits = Vec::new();
    for _ in 0..8 {
        let begin = now;
        while ward.due(now, |_| true).is_none() {
            now += SECOND / 10;
        }
        waits.push(now - begin);
        ward.begin_trial(0);
        assert_eq!(ward.note(0, Outcome::Left(Duration::ZERO), true, now), Verdict::Stays);
        assert_eq!(ward.due(now, |_| true), Some(0), "who left says nothing: the next one tries");
        ward.begin_trial(0);
        assert_eq!(ward.note(0, Outcome::Failed(Failure::Late), true, now), Verdict::Out);
    }
    assert!(waits[0] <= SECOND * 5 + SECOND / 10 && waits[4] >= SECOND * 40, "{waits:?}");
    assert!(*waits.last().unwrap() <= Duration::from_mins(5) + SECOND, "{waits:?}");
}

#[test]
fn a_slow_member_is_out_when_it_is_far_behind_the_others_and_back_when_it_keeps_up() {
    let (mut ward, now) = (ward(4), Instant::now());
    for _ in 0..5 {
        (0..3).for_each(|number| assert_eq!(ward.note(number, FAST, false, now), Verdict::Stays));
    }
    for _ in 0..4 {
        assert_eq!(ward.note(3, SLOW, false, now), Verdict::Stays, "a few say nothing");
    }
    assert_eq!(ward.note(3, SLOW, false, now), Verdict::Out);
    let later = now + SECOND * 5;
    ward.begin_trial(3);
    assert_eq!(ward.note(3, SLOW, true, later), Verdict::Out, "still as slow");
    ward.begin_trial(3);
    assert_eq!(ward.note(3, FAST, true, later + SECOND * 10), Verdict::Back);
    assert!(ward.is_in(3));
}

#[test]
fn members_that_are_all_slow_or_of_another_kin_stay() {
    let (mut all, now) = (ward(4), Instant::now());
    for number in (0..32).map(|i| i % 4) {
        assert_eq!(all.note(number, SLOW, false, now), Verdict::Stays);
    }
    let mut mixed = Ward::default();
    (0..4).for_each(|number| mixed.add(number, u64::from(number / 3)));
    mixed.set_most(50);
    for number in (0..64).map(|i| i % 4) {
        assert_eq!(mixed.note(number, if number == 3 { SLOW } else { FAST }, false, now), Verdict::Stays, "another model");
    }
}

#[test]
fn a_caller_who_leaves_after_a_long_wait_counts_against_the_member() {
    let (mut ward, now) = (ward(3), Instant::now());
    for _ in 0..5 {
        (0..2).for_each(|number| _ = ward.note(number, FAST, false, now));
    }
    for _ in 0..20 {
        assert_eq!(ward.note(2, Outcome::Left(Duration::from_millis(60)), false, now), Verdict::Stays, "as long as any");
    }
    let verdicts: Vec<Verdict> = (0..5).map(|_| ward.note(2, Outcome::Left(SECOND * 9), false, now)).collect();
    assert_eq!(verdicts.last(), Some(&Verdict::Out), "{verdicts:?}");
}

#[test]
fn a_member_that_says_how_long_it_is_busy_is_left_alone_for_that_time() {
    let (mut ward, now) = (ward(2), Instant::now());
    let busy = |time| Outcome::Failed(Failure::Busy(Some(time)));
    assert_eq!(ward.note(0, busy(SECOND * 7), false, now), Verdict::Out);
    assert_eq!((ward.due(now + SECOND * 6, |_| true), ward.due(now + SECOND * 7, |_| true)), (None, Some(0)));
    ward.begin_trial(0);
    ward.note(0, busy(Duration::from_hours(9)), true, now);
    assert_eq!(ward.due(now + Duration::from_mins(1), |_| true), Some(0), "and believed for a minute at most");
}

#[test]
fn when_others_leave_a_member_that_is_out_comes_back_rather_than_nobody() {
    let (mut ward, now) = (ward(3), Instant::now());
    (0..3).for_each(|_| _ = failed(&mut ward, 0, now));
    assert!(!ward.is_in(0));
    ward.keep(|number| number == 0);
    assert!(ward.is_in(0) && ward.out() == 0);
    (0..30).for_each(|_| assert_ne!(failed(&mut ward, 0, now), Verdict::Out, "it is the only one"));
}

proptest! {
    #[test]
    fn never_more_than_half_are_out_and_never_the_only_one(
        members in 1_u32..9,
        steps in proptest::collection::vec((0_u32..9, 0_u8..6, 0_u64..400), 1..200),
    ) {
        let (mut ward, mut now) = (ward(members), Instant::now());
        let mut there: Vec<u32> = (0..members).collect();
        let mut trials: Vec<u32> = Vec::new();
        for (number, what, pause) in steps {
            now += Duration::from_secs(pause);
            let number = number % members;
            if let Some(due) = ward.due(now, |_| true) {
                prop_assert!(!trials.contains(&due), "two trials of one member");
                ward.begin_trial(due);
                trials.push(due);
            }
            let trial = trials.iter().position(|tried| *tried == number).map(|at| trials.swap_remove(at)).is_some();
            let outcome = match what {
                0 => Outcome::Failed(Failure::Unreachable),
                1 => Outcome::Failed(Failure::Busy(Some(SECOND * 30))),
                2 => SLOW,
                3 => FAST,
                4 => Outcome::Left(SECOND),
                _ => {
                    if there.len() > 1 {
                        there.retain(|one| *one != number);
                        trials.retain(|one| *one != number);
                        ward.keep(|one| there.contains(&one));
                        trials.retain(|one| !ward.is_in(*one));
                    }
                    FAST
                }
            };
            ward.note(number, outcome, trial, now);
            let out = there.iter().filter(|one| !ward.is_in(**one)).count();
            prop_assert_eq!(out, ward.out());
            prop_assert!(out <= there.len() / 2, "{} of {}", out, there.len());
        }
        // Whoever is out comes back by one good call, whatever happened before.
        for number in trials {
            ward.note(number, FAST, true, now);
        }
        for _ in 0..=members {
            now += Duration::from_hours(1);
            while let Some(due) = ward.due(now, |_| true) {
                ward.begin_trial(due);
                ward.note(due, Outcome::Answered, true, now);
            }
        }
        prop_assert_eq!(ward.out(), 0);
    }
}
