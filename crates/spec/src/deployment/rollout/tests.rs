//! What can be said of a rollout, what cannot work, and what follows what.

use super::*;

fn fields(rollout: &Rollout) -> Vec<String> {
    rollout.problems().into_iter().map(|problem| problem.field).collect()
}

#[test]
fn the_defaults_can_be_used_and_say_nothing() {
    assert_eq!(fields(&Rollout::default()), Vec::<String>::new());
    assert!(Rollout::default().is_default());
    let read: Rollout = serde_json::from_str(r#"{"strategy": "canary", "canary": {"hold": "30s"}}"#).unwrap();
    assert_eq!((read.strategy, read.canary.hold, read.canary.weights), (Strategy::Canary, Duration::from_secs(30), vec![5, 25, 50]));
    assert!(serde_json::from_str::<Rollout>(r#"{"strategy": "bluegreen"}"#).is_err());
}

#[test]
fn what_cannot_work_is_named_with_its_field() {
    let with = |change: fn(&mut Rollout)| {
        let mut rollout = Rollout::default();
        change(&mut rollout);
        fields(&rollout)
    };
    assert_eq!(with(|r| r.max_surge = 0), ["rollout.max_surge"]);
    assert_eq!(with(|r| (r.max_surge, r.max_unavailable) = (0, 1)), Vec::<String>::new());
    assert_eq!(with(|r| r.max_unavailable = 1000), ["rollout.max_unavailable"]);
    assert_eq!(with(|r| r.progress_deadline = Duration::ZERO), ["rollout.progress_deadline"]);
    assert_eq!(with(|r| r.revision_history = 0), ["rollout.revision_history"]);
    for weights in [vec![], vec![0, 5], vec![5, 100], vec![25, 5], vec![5, 5]] {
        let rollout = Rollout { canary: Canary { weights, ..Canary::default() }, ..Rollout::default() };
        assert_eq!(fields(&rollout), ["rollout.canary.weights"]);
    }
    assert_eq!(with(|r| r.canary.max_error_rate = 1.5), ["rollout.canary.max_error_rate"]);
    assert_eq!(with(|r| r.canary.max_error_rate = f64::NAN), ["rollout.canary.max_error_rate"]);
    assert_eq!(with(|r| r.canary.max_latency_ratio = 0.5), ["rollout.canary.max_latency_ratio"]);
}

#[test]
fn a_change_in_the_middle_still_comes_from_the_revision_that_served() {
    let now = Timestamp::from_millis(5);
    let settings = Rollout::default();
    let first = RolloutStatus::first(1, &settings, now);
    assert_eq!(first.stable(), None);
    let served = RolloutStatus { phase: RolloutPhase::Complete, ..first };
    let second = served.aimed_at(2, &settings, now);
    assert_eq!((second.from, second.to, second.phase), (Some(1), 2, RolloutPhase::Progressing));
    let third = second.aimed_at(3, &settings, now);
    assert_eq!((third.from, third.to), (Some(1), 3), "2 has never served");
    let back = RolloutStatus { phase: RolloutPhase::RolledBack, failures: 3, ..third };
    assert_eq!((back.stable(), back.again(&settings, now).failures), (Some(1), 0));
}

#[test]
fn what_the_same_engine_has_shown_counts_on_and_other_steps_begin_anew() {
    let (now, later) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
    let settings = Rollout { strategy: Strategy::Canary, ..Rollout::default() };
    let served = RolloutStatus { phase: RolloutPhase::Complete, ..RolloutStatus::first(1, &settings, now) };
    let canary = RolloutStatus { step: 2, held_since: Some(now), before: (7, 1), failures: 2, ..served.aimed_at(2, &settings, now) };
    let next = canary.aimed_at(3, &settings, later);
    let goes_on = next.going_on_from(&canary, &settings, &settings);
    assert_eq!(goes_on, RolloutStatus { to: 3, started_at: later, ..canary.clone() });
    let other = Rollout { canary: super::Canary { weights: vec![50], ..settings.canary.clone() }, ..settings.clone() };
    let anew = next.going_on_from(&canary, &other, &settings);
    assert_eq!((anew.step, anew.held_since, anew.failures), (0, None, 2));
    let promoted = RolloutStatus { step: 3, ..next };
    assert_eq!(promoted.going_on_from(&canary, &settings, &settings).step, 3);
}

#[test]
fn only_a_canary_under_way_has_a_weight() {
    let settings = Rollout { strategy: Strategy::Canary, ..Rollout::default() };
    let first = RolloutStatus::first(1, &settings, Timestamp::default());
    assert_eq!(first.weight(&settings), None, "there is nothing beside it");
    let mut second = RolloutStatus { phase: RolloutPhase::Complete, ..first }.aimed_at(2, &settings, Timestamp::default());
    assert_eq!(second.weight(&settings), Some(5));
    second.step = 2;
    assert_eq!(second.weight(&settings), Some(50));
    second.step = 3;
    assert_eq!(second.weight(&settings), None, "the rest follows as a rolling one");
}

#[test]
fn a_pause_says_so_and_hides_no_verdict() {
    let (settings, now) = (Rollout::default(), Timestamp::default());
    let begun = RolloutStatus { phase: RolloutPhase::Complete, ..RolloutStatus::first(1, &settings, now) };
    let code = |status: &RolloutStatus| status.reason.as_ref().map(|reason| reason.code);
    let next = begun.paused().aimed_at(2, &settings, now);
    assert_eq!((code(&begun.paused()), next.paused, code(&next)), (None, true, Some(ReasonCode::Paused)));
    let verdict = Reason::new(ReasonCode::RevisionFailed, "it failed", "");
    let back = RolloutStatus { phase: RolloutPhase::RolledBack, reason: Some(verdict), ..next };
    assert_eq!(code(&back.paused()), Some(ReasonCode::RevisionFailed));
}
