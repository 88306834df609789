//! From one revision to the next, by values: what comes, what goes, when it goes back.

use std::sync::Arc;
use std::time::Duration;

use board::MemberUse;
use spec::{InstanceId, Phase, Reason, ReasonCode, Revision, RolloutPhase, RolloutStatus, Strategy};

use super::values::{NOW, ago, changed, item, name, revision, wish, world};
use crate::plan::{Action, plan};
use crate::rollout::MOST_FAILURES;
use crate::world::{Health, Item, Resolve, Sight, Start, Wish, World};

fn new(id: &str, phase: Phase) -> Item {
    let health = if phase == Phase::Ready { Health::Up } else { Health::Loading };
    Item { revision: revision("a", 2), health, created_at: ago(Duration::from_secs(1)), ..item(id, "a", phase) }
}

/// Wanted at all times, and changed.
fn moving(count: u32, change: impl FnOnce(&mut Wish)) -> Wish {
    let mut wish = wish("a", |w| (w.record.spec.replicas.min, w.record.spec.replicas.max) = (count, count));
    change(&mut wish);
    changed(wish)
}

fn by(strategy: Strategy) -> impl FnOnce(&mut Wish) {
    move |wish| wish.record.spec.rollout.strategy = strategy
}

fn rolled(actions: &[Action]) -> Option<&RolloutStatus> {
    actions.iter().find_map(|action| match action {
        Action::Roll(_, status) => Some(&**status),
        _ => None,
    })
}

/// Does what the plan says, as if everything took one step.
fn step(world: &mut World, born: &mut u32) {
    for action in plan(world) {
        match action {
            Action::Roll(name, status) => {
                let wish = world.wishes.get_mut(&name).unwrap();
                if status.phase == RolloutPhase::Complete {
                    wish.stable = wish.revision().cloned();
                }
                wish.rollout = *status;
            }
            Action::Create(_, number) => {
                *born += 1;
                let id = format!("n{born}");
                let fresh = Item { revision: revision("a", number), health: Health::Up, ..item(&id, "a", Phase::Warming) };
                world.items.insert(InstanceId::new(id), fresh);
            }
            Action::Move(id, Phase::Ready, _) => world.items.get_mut(&id).unwrap().phase = Phase::Ready,
            Action::Move(id, Phase::Draining | Phase::Stopped, _) => drop(world.items.remove(&id)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_rolling_one_keeps_within_its_surge_and_never_leaves_fewer_ready_than_it_may() {
    for (count, surge, missing) in [(1, 1, 0), (1, 0, 1), (3, 1, 0), (3, 2, 1), (4, 0, 2), (5, 5, 0), (2, 1, 2)] {
        let settings = |w: &mut Wish| (w.record.spec.rollout.max_surge, w.record.spec.rollout.max_unavailable) = (surge, missing);
        let old = (0..count).map(|i| item(&format!("o{i}"), "a", Phase::Ready)).collect();
        let mut world = world(vec![moving(count, settings)], old);
        let mut born = 0;
        for _ in 0..60 {
            step(&mut world, &mut born);
            let ready = world.items.values().filter(|item| item.phase == Phase::Ready).count();
            let what = format!("{count} with {surge} more and {missing} less: {ready} ready of {}", world.items.len());
            assert!(ready >= (count - missing.min(count)) as usize && world.items.len() <= (count + surge) as usize, "{what}");
        }
        assert!(world.items.values().all(|item| item.revision.number == 2) && world.items.len() == count as usize);
        assert_eq!(world.wishes[&name("a")].rollout.phase, RolloutPhase::Complete);
        assert_eq!(born, count, "none is started in vain");
        assert_eq!(plan(&world), vec![]);
    }
}

#[test]
fn a_program_that_is_missing_for_both_revisions_speaks_against_neither_and_is_told_at_once() {
    let missing = Reason::new(ReasonCode::EngineMissing, "no llama-server", "install it");
    let tried = |change: fn(&mut Wish)| {
        let mut wish = changed(wish("a", change));
        crate::steps::note_failure(&mut wish, 2, &missing);
        wish.failure = Some(missing.clone());
        wish.retry_at = Some(NOW.plus(Duration::from_secs(30)));
        let world = world(vec![wish], vec![]);
        let state = crate::publish::table(&world, &board::Table::default(), &|_| None).deployments[&name("a")].state.clone();
        (rolled(&plan(&world)).map(|status| status.phase), state)
    };
    assert_eq!(tried(|_| {}), (None, board::State::Down(missing.clone())), "it comes up when the program is there");
    let other = tried(|w| w.record.spec.engine = Some(spec::EngineKind::Openai));
    assert_eq!(other, (Some(RolloutPhase::RolledBack), board::State::Cold), "the old one serves");
}

#[test]
fn a_recreate_ends_the_old_ones_before_the_new_ones_start_and_nobody_has_to_ask_for_those() {
    let lazy = changed(wish("a", by(Strategy::Recreate)));
    let old = Item { used: MemberUse { in_flight: 3, ..item("o", "a", Phase::Ready).used }, ..item("o", "a", Phase::Ready) };
    let mut world = world(vec![lazy], vec![old]);
    let replicas = rolled(&plan(&world)).expect("it begins").replicas;
    assert_eq!(replicas, 1);
    step(&mut world, &mut 0);
    let leaves = plan(&world);
    assert!(
        matches!(&leaves[..], [Action::Move(id, Phase::Draining, Some(why))] if id.as_str() == "o" && why.code == ReasonCode::Superseded)
    );
    world.items.get_mut("o").unwrap().phase = Phase::Draining;
    assert_eq!(plan(&world), vec![], "its calls go on, and nothing starts beside it");
    world.items.clear();
    assert_eq!(plan(&world), vec![Action::Create(name("a"), 2)], "though nobody waits");
    let wish = world.wishes.get_mut(&name("a")).unwrap();
    (wish.rollout.paused, wish.rollout.replicas, wish.demand.waiting) = (true, 0, 1);
    assert_eq!(plan(&world), vec![Action::Create(name("a"), 1)], "as long as it is paused, the old one serves");
}

#[test]
fn a_rolling_one_that_finds_no_room_beside_the_old_ends_that_first_and_says_so() {
    let no_room = Reason::new(ReasonCode::NoRoom, "it needs 40 B, 20 B more than is free", "");
    let waits = |since| Item {
        since,
        memory: base::ByteSize(40),
        reason: Some(no_room.clone()),
        start: Start::Pending,
        sight: Sight::Absent,
        ..new("n", Phase::Placing)
    };
    let busy = Item {
        used: MemberUse { in_flight: 1, ..item("o", "a", Phase::Ready).used },
        memory: base::ByteSize(80),
        ..item("o", "a", Phase::Ready)
    };
    let at = |since| world(vec![moving(1, |_| {})], vec![busy.clone(), waits(since)]);
    assert!(rolled(&plan(&at(NOW))).is_none(), "room may be made elsewhere");
    let mut late = at(ago(Duration::from_secs(2)));
    let status = rolled(&plan(&late)).expect("another strategy").clone();
    assert_eq!((status.strategy, status.replicas), (Strategy::Recreate, 1));
    let reason = status.reason.clone().unwrap();
    assert!(
        reason.code == ReasonCode::NoRoom && reason.message.contains("20 B more") && reason.message.contains("callers wait"),
        "{reason:?}"
    );
    late.wishes.get_mut(&name("a")).unwrap().rollout = status;
    assert!(plan(&late).iter().any(|action| matches!(action, Action::Move(id, Phase::Draining, _) if id.as_str() == "o")));
    let mut in_vain = at(ago(Duration::from_secs(2)));
    in_vain.items.get_mut("o").unwrap().memory = base::ByteSize(30);
    let busy = Item {
        memory: base::ByteSize(65),
        used: MemberUse { in_flight: 1, ..item("x", "b", Phase::Ready).used },
        ..item("x", "b", Phase::Ready)
    };
    in_vain.wishes.insert(name("b"), wish("b", |_| {}));
    in_vain.items.insert(busy.id.clone(), busy);
    assert!(rolled(&plan(&in_vain)).is_none(), "the end of the old one would not be enough");
    let leaving = Item { phase: Phase::Draining, deployment: name("b"), ..item("x", "b", Phase::Draining) };
    let mut soon = at(ago(Duration::from_secs(2)));
    soon.items.insert(leaving.id.clone(), leaving);
    assert!(rolled(&plan(&soon)).is_none(), "somebody else is on the way out");
}

#[test]
fn a_revision_that_fails_again_and_again_is_given_up_and_the_old_one_goes_on() {
    let failed = |failures, code| {
        moving(1, |_| {}).with(|w| {
            w.rollout.failures = failures;
            w.failure = Some(Reason::new(code, "it said `no`", "fix it"));
        })
    };
    let old = || vec![item("o", "a", Phase::Ready)];
    let once = world(vec![failed(MOST_FAILURES - 1, ReasonCode::EngineRejected)], old());
    assert!(rolled(&plan(&once)).is_none());
    for wish in [failed(MOST_FAILURES, ReasonCode::EngineRejected), failed(1, ReasonCode::DoesNotFit)] {
        let mut world = world(vec![wish], old());
        let status = rolled(&plan(&world)).expect("a verdict").clone();
        let reason = status.reason.clone().unwrap();
        assert_eq!((status.phase, status.stable(), reason.code), (RolloutPhase::RolledBack, Some(1), ReasonCode::RevisionFailed));
        assert!(reason.message.contains("revision 2 failed") && reason.message.contains("it said `no`"), "{}", reason.message);
        assert!(reason.remedy.contains("fix it") && reason.remedy.contains("rollout resume"), "{}", reason.remedy);
        let wish = world.wishes.get_mut(&name("a")).unwrap();
        (wish.rollout, wish.failure) = (status, None);
        assert_eq!(plan(&world), vec![], "the old one stays");
        world.items.clear();
        assert_eq!(plan(&world), vec![Action::Create(name("a"), 1)], "and is started anew when it is gone");
    }
    let lazy = changed(wish("a", by(Strategy::Recreate))).with(|w| {
        w.rollout = RolloutStatus { phase: RolloutPhase::RolledBack, replicas: 1, ..w.rollout.clone() };
    });
    let mut gone_back = world(vec![lazy], vec![]);
    assert_eq!(plan(&gone_back), vec![Action::Create(name("a"), 1)], "what ended for it comes back unasked");
    gone_back.items.insert(
        "o".into(),
        Item {
            used: MemberUse { last_used: Some(ago(Duration::from_hours(1))), ..MemberUse::default() },
            since: ago(Duration::from_hours(1)),
            ..item("o", "a", Phase::Ready)
        },
    );
    assert_eq!(rolled(&plan(&gone_back)).map(|status| status.replicas), Some(0), "once");
    let first = world(
        vec![wish("a", |w| {
            w.record.spec.replicas.min = 1;
            w.rollout = RolloutStatus { failures: 9, ..RolloutStatus::first(1, &w.record.spec.rollout, NOW) };
            w.stable = None;
        })],
        vec![],
    );
    assert_eq!(plan(&first), vec![Action::Create(name("a"), 1)], "there is nothing to go back to");
}

#[test]
fn a_revision_that_makes_no_progress_within_its_deadline_is_given_up() {
    let stuck = |since: Duration| Item { created_at: ago(since), progress_at: NOW, ..new("n", Phase::Loading) };
    let begun = |w: &mut Wish| w.rollout.progress_at = ago(Duration::from_hours(1));
    let at = |since| world(vec![moving(1, |_| {}).with(begun)], vec![item("o", "a", Phase::Ready), stuck(since)]);
    assert!(rolled(&plan(&at(Duration::from_mins(9)))).is_none());
    let status = rolled(&plan(&at(Duration::from_mins(11)))).expect("a verdict").clone();
    assert_eq!((status.phase, status.reason.unwrap().code), (RolloutPhase::RolledBack, ReasonCode::ProgressDeadline));
    let missing = Reason::new(ReasonCode::ModelMissing, "there is no file", "put it there");
    let unfrozen = moving(1, |_| {}).with(|w| {
        begun(w);
        w.resolve = Resolve::Failed(missing.clone(), NOW.plus(Duration::from_secs(1)));
    });
    let status = rolled(&plan(&world(vec![unfrozen], vec![item("o", "a", Phase::Ready)]))).expect("a verdict").clone();
    assert!(status.reason.unwrap().message.contains("there is no file"));
    let fresh = moving(1, |_| {}).with(|w| w.resolve = Resolve::Failed(missing.clone(), NOW.plus(Duration::from_secs(1))));
    assert_eq!(plan(&world(vec![fresh], vec![])), vec![Action::Create(name("a"), 1)], "meanwhile the old one serves");
}

#[test]
fn what_is_paused_stands_still_and_lost_instances_come_back_as_they_were() {
    let paused = || moving(2, |_| {}).with(|w| w.rollout.paused = true);
    let both = || vec![item("o", "a", Phase::Ready), new("n", Phase::Ready)];
    assert_eq!(plan(&world(vec![paused()], both())), vec![]);
    assert_eq!(plan(&world(vec![paused()], vec![new("n", Phase::Ready)])), vec![Action::Create(name("a"), 1)]);
    let gone_on = paused().with(|w| w.rollout.paused = false);
    assert_eq!(plan(&world(vec![gone_on], both())), vec![Action::Create(name("a"), 2)]);
}

fn canary(step: usize, held: Option<Duration>) -> Wish {
    moving(4, by(Strategy::Canary)).with(|w| (w.rollout.step, w.rollout.held_since) = (step, held.map(ago)))
}

fn four_old(calls: u64, failures: u64) -> Vec<Item> {
    let used = MemberUse { calls, failures, first_token: Some(Duration::from_millis(100)), ..item("o", "a", Phase::Ready).used };
    (0..4).map(|i| Item { used, ..item(&format!("o{i}"), "a", Phase::Ready) }).collect()
}

fn with_canary(used: MemberUse, calls: u64, failures: u64) -> Vec<Item> {
    let mut items = four_old(calls, failures);
    items.push(Item { used, ..new("n", Phase::Ready) });
    items
}

#[test]
fn a_canary_has_instances_for_its_share_and_the_old_ones_all_of_theirs() {
    assert_eq!(plan(&world(vec![canary(0, None)], four_old(0, 0))), vec![Action::Create(name("a"), 2)]);
    let mut fewer = four_old(0, 0);
    fewer.truncate(3);
    assert_eq!(plan(&world(vec![canary(0, None)], fewer)), vec![Action::Create(name("a"), 1), Action::Create(name("a"), 2)]);
    let mut world = world(vec![canary(2, Some(Duration::ZERO))], with_canary(MemberUse::default(), 9, 0));
    assert_eq!(plan(&world), vec![Action::Create(name("a"), 2)], "half of four is two");
    world.wishes.insert(name("a"), canary(0, None));
    let status = rolled(&plan(&world)).expect("its share is there").clone();
    assert_eq!((status.held_since, status.before), (Some(NOW), (36, 0)));
}

#[test]
fn the_engine_of_a_canary_serves_on_until_it_is_known_whether_a_change_needs_another_one() {
    let again = |resolve| changed(canary(2, Some(Duration::ZERO))).with(|w| w.resolve = resolve);
    let mut items = with_canary(MemberUse::default(), 9, 0);
    for item in &mut items {
        item.endpoint = Some(spec::Endpoint::Url("http://e/v1".into()));
    }
    let unknown = world(vec![again(Resolve::Running)], items.clone());
    assert_eq!(plan(&unknown), vec![]);
    let entry = Arc::clone(&crate::publish::table(&unknown, &board::Table::default(), &|_| None).deployments[&name("a")]);
    assert_eq!((entry.instances.len(), entry.revision, entry.split), (5, 1, Some(board::Split { revision: 2, percent: 5 })));
    let another = changed(canary(2, Some(Duration::ZERO)));
    let leaves = plan(&world(vec![another], items));
    assert!(leaves.iter().any(|action| matches!(action, Action::Move(id, Phase::Draining, _) if id.as_str() == "n")), "{leaves:?}");
    let mut lazy = again(Resolve::Running);
    (lazy.record.spec.replicas.min, lazy.record.spec.replicas.max) = (0, 2);
    assert_eq!(
        plan(&world(vec![lazy], vec![item("o", "a", Phase::Ready), new("n", Phase::Ready)])),
        vec![],
        "one is as many as there were"
    );
}

#[test]
fn the_first_revision_that_serves_while_it_is_paused_is_what_later_ones_are_held_at() {
    let paused = |w: &mut Wish| {
        let settings = &w.record.spec.rollout;
        (w.rollout, w.stable) = (RolloutStatus::first(1, settings, NOW).paused(), None);
        (w.record.spec.replicas.min, w.record.spec.replicas.max) = (1, 1);
    };
    assert_eq!(plan(&world(vec![wish("a", paused)], vec![])), vec![Action::Create(name("a"), 1)]);
    let serves = plan(&world(vec![wish("a", paused)], vec![item("o", "a", Phase::Ready)]));
    let status = rolled(&serves).expect("it serves").clone();
    assert_eq!((status.phase, status.paused), (RolloutPhase::Complete, true));
    let later = changed(wish("a", paused).with(|w| (w.rollout, w.stable) = (status, Some(revision("a", 1)))));
    assert_eq!(plan(&world(vec![later.clone()], vec![item("o", "a", Phase::Ready)])), vec![]);
    assert_eq!(plan(&world(vec![later], vec![])), vec![Action::Create(name("a"), 1)]);
}

#[test]
fn a_canary_that_does_well_gets_the_next_share_after_its_hold_and_then_all_of_it() {
    let well = MemberUse { calls: 20, failures: 0, first_token: Some(Duration::from_millis(150)), ..MemberUse::default() };
    let at = |step, held| world(vec![canary(step, Some(held))], with_canary(well, 100, 0));
    assert!(rolled(&plan(&at(0, Duration::from_mins(4)))).is_none());
    let next = rolled(&plan(&at(0, Duration::from_mins(5)))).expect("the next step").clone();
    assert_eq!((next.step, next.held_since), (1, None));
    let untried = world(vec![canary(0, Some(Duration::from_mins(6)))], with_canary(MemberUse::default(), 100, 0));
    assert!(rolled(&plan(&untried)).is_none(), "it has answered nothing, though there was enough to be answered");
    let quiet = world(vec![canary(0, Some(Duration::from_mins(6)))], with_canary(MemberUse::default(), 1, 0));
    assert!(rolled(&plan(&quiet)).is_some(), "nobody calls");
    let mut last = world(vec![canary(3, None)], with_canary(well, 100, 0));
    let mut born = 0;
    for _ in 0..40 {
        step(&mut last, &mut born);
    }
    assert_eq!(last.wishes[&name("a")].rollout.phase, RolloutPhase::Complete, "the rest follows as a rolling one");
}

#[test]
fn a_canary_goes_back_when_it_fails_more_or_is_far_slower_than_what_it_replaces() {
    let used = |calls, failures, ms| MemberUse { calls, failures, first_token: Some(Duration::from_millis(ms)), ..MemberUse::default() };
    let verdict = |used: MemberUse, (calls, failures): (u64, u64)| {
        let world = world(vec![canary(0, Some(Duration::from_secs(9)))], with_canary(used, calls, failures));
        rolled(&plan(&world)).map(|status| (status.phase, status.reason.clone().unwrap()))
    };
    for (what, used, old, code) in [
        ("few failures", used(10, 2, 100), (100, 0), None),
        ("one in five", used(50, 10, 100), (100, 0), Some(ReasonCode::CanaryErrors)),
        ("as bad as the old one", used(50, 10, 100), (100, 20), None),
        ("a little slower", used(50, 0, 190), (100, 0), None),
        ("far slower", used(50, 0, 210), (100, 0), Some(ReasonCode::CanarySlow)),
    ] {
        let found = verdict(used, old);
        assert_eq!(found.as_ref().map(|(_, reason)| reason.code), code, "{what}");
        assert!(found.is_none_or(|(phase, _)| phase == RolloutPhase::RolledBack));
    }
    let reason = verdict(used(50, 10, 100), (100, 4)).unwrap().1;
    assert!(reason.message.contains("10 of 50 calls of revision 2 failed, and 16 of 400"), "{}", reason.message);
}

#[test]
fn nobody_there_means_that_the_next_call_starts_the_new_revision() {
    let cold = changed(wish("a", |_| {}));
    assert_eq!(plan(&world(vec![cold.clone()], vec![])), vec![]);
    assert_eq!(plan(&world(vec![cold.with(|w| w.demand.waiting = 1)], vec![])), vec![Action::Create(name("a"), 2)]);
}

impl Wish {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

#[test]
fn the_board_gets_both_revisions_each_with_its_own_limits_and_a_canary_with_its_share() {
    let remote_key = |_: &Revision| None;
    let listens = |item: Item| Item { endpoint: Some(spec::Endpoint::Url("http://e/v1".into())), ..item };
    let entry = |wish: Wish, items: Vec<Item>| {
        let world = world(vec![wish], items.into_iter().map(listens).collect());
        let table = crate::publish::table(&world, &board::Table::default(), &remote_key);
        Arc::clone(&table.deployments[&name("a")])
    };
    let revisions = |entry: &board::Entry| entry.instances.iter().map(|member| member.revision).collect::<Vec<_>>();
    let mut better = new("n", Phase::Ready);
    let mut spec = better.revision.spec.clone();
    spec.max_queue = 7;
    better.revision = Arc::new(Revision { number: 2, spec, version: None });
    let both = || vec![item("o", "a", Phase::Ready), better.clone()];
    let rolling = entry(moving(2, |_| {}), both());
    assert_eq!((revisions(&rolling), rolling.revision, rolling.spec.max_queue, rolling.split), (vec![2, 1], 2, 7, None));
    let own = rolling.instances[1].own.as_ref().expect("the old one has its own");
    assert_eq!((own.revision, own.spec.max_queue), (1, 512));
    let canary = entry(moving(1, by(Strategy::Canary)), both());
    assert_eq!((canary.revision, canary.split), (1, Some(board::Split { revision: 2, percent: 5 })));
    let back = entry(moving(1, |_| {}).with(|w| w.rollout.phase = RolloutPhase::RolledBack), both());
    assert_eq!(revisions(&back), [1]);
    let done = entry(moving(1, |_| {}).with(|w| w.rollout.phase = RolloutPhase::Complete), both());
    assert_eq!(revisions(&done), [2]);
    let troubled = moving(1, |_| {}).with(|w| {
        w.failure = Some(Reason::new(ReasonCode::EngineExited, "it ended", ""));
        w.retry_at = Some(NOW.plus(Duration::from_secs(5)));
    });
    assert_eq!(entry(troubled, vec![]).state, board::State::Cold, "callers wait: there is something to go back to");
}
