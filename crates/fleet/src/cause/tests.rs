//! Every creation and every edge has a cause that somebody could act on.

use spec::deployment::{Hour, Window};
use spec::{Cause, Phase, Reason, ReasonCode};

use super::{FOR, of_creation, of_move};
use crate::tests::values::{NOW, item, wish};
use crate::world::Hand;

fn created(change: impl FnOnce(&mut crate::world::Wish)) -> Cause {
    of_creation(&wish("a", change), 1, NOW)
}

#[test]
fn an_instance_is_created_for_whoever_wants_it() {
    assert_eq!(created(|wish| wish.hand = Hand::Load), Cause::Hand);
    assert_eq!(created(|wish| wish.demand.waiting = 3), Cause::Demand { waiting: 3 });
    assert_eq!(created(|wish| wish.record.spec.pinned = true), Cause::Wish);
    assert_eq!(created(|wish| wish.record.spec.replicas.min = 1), Cause::Wish);
    assert_eq!(created(|_| {}), Cause::Load);
    let failed = created(|wish| {
        wish.demand.waiting = 1;
        wish.failure = Some(Reason::new(ReasonCode::EngineExited, "it ended", ""));
    });
    assert_eq!(failed, Cause::Failure { of: "a".to_owned(), code: ReasonCode::EngineExited });
}

#[test]
fn a_schedule_that_raises_the_minimum_is_the_cause_of_what_it_starts() {
    let hour = |text: &str| Hour::try_from(text.to_owned()).unwrap();
    let whole_day = Window { days: Vec::new(), from: hour("00:00"), to: hour("00:00"), min: Some(1), max: None };
    let scheduled = created(|wish| wish.record.spec.replicas.schedule = vec![whole_day]);
    assert_eq!(scheduled, Cause::Schedule);
}

#[test]
fn no_edge_of_the_phase_table_is_without_a_cause() {
    let codes = [
        (ReasonCode::NoRoom, Cause::Eviction { of: "big".to_owned() }),
        (ReasonCode::Unloaded, Cause::Hand),
        (ReasonCode::KeepAliveOver, Cause::Idle),
        (ReasonCode::ScaledDown, Cause::Load),
        (ReasonCode::ShuttingDown, Cause::Penstock),
        (ReasonCode::Superseded, Cause::Rollout { revision: 1 }),
    ];
    let wish = wish("a", |_| {});
    for (code, cause) in codes {
        let reason = Reason::new(code, "", "").with(FOR, "big");
        for to in [Phase::Draining, Phase::Stopping, Phase::Reclaiming, Phase::Stopped] {
            assert_eq!(of_move(&item("i", "a", Phase::Ready), to, Some(&reason), Some(&wish)), cause, "{code:?} {to}");
        }
    }
    let gone = of_move(&item("i", "a", Phase::Ready), Phase::Draining, Some(&Reason::new(ReasonCode::Superseded, "", "")), None);
    assert_eq!(gone, Cause::Deletion);
    let mut asked = item("i", "a", Phase::Pending);
    asked.cause = Cause::Demand { waiting: 1 };
    for (from, to) in [
        (Phase::Pending, Phase::Starting),
        (Phase::Starting, Phase::Loading),
        (Phase::Loading, Phase::Warming),
        (Phase::Warming, Phase::Ready),
    ] {
        asked.phase = from;
        assert_eq!(of_move(&asked, to, None, Some(&wish)), Cause::Demand { waiting: 1 }, "{from} {to}");
    }
    let down = Reason::new(ReasonCode::Unresponsive, "", "");
    assert_eq!(
        of_move(&asked, Phase::Unhealthy, Some(&down), Some(&wish)),
        Cause::Failure { of: "i".to_owned(), code: ReasonCode::Unresponsive }
    );
    asked.phase = Phase::Unhealthy;
    assert_eq!(of_move(&asked, Phase::Ready, None, Some(&wish)), Cause::Engine);
}
