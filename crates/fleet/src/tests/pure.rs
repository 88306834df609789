//! The pure parts, by values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base::ByteSize;
use board::MemberUse;
use proptest::prelude::*;
use spec::{Exit, InstanceId, Name, Phase, Reason, ReasonCode};

use super::values::{NOW, ago, changed, item, name, revision, wish, world};
use crate::life::{self, Next};
use crate::plan::{Action, plan};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start, Wish};

fn drained(actions: &[Action]) -> Vec<&str> {
    let drains = actions.iter().filter_map(|action| match action {
        Action::Move(id, Phase::Draining, _) => Some(id.as_str()),
        _ => None,
    });
    drains.collect()
}

#[test]
fn nothing_is_started_that_nobody_asked_for() {
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![])), vec![]);
}

#[test]
fn a_waiting_caller_a_minimum_or_a_pin_creates_exactly_one_instance() {
    let asked: [fn(&mut Wish); 4] =
        [|w| w.demand.waiting = 20, |w| w.record.spec.replicas.min = 1, |w| w.record.spec.pinned = true, |w| w.hand = Hand::Load];
    for change in asked {
        assert_eq!(plan(&world(vec![wish("a", change)], vec![])), vec![Action::Create(name("a"), 1)]);
        let rising = item("i", "a", Phase::Loading);
        let rising = Item { health: Health::Unknown, ..rising };
        assert_eq!(plan(&world(vec![wish("a", change)], vec![rising])), vec![], "one start serves them all");
    }
}

#[test]
fn a_failed_deployment_waits_for_its_backoff() {
    let failed = |at| {
        wish("a", |w| {
            w.demand.waiting = 1;
            w.retry_at = Some(at);
        })
    };
    assert_eq!(plan(&world(vec![failed(NOW.plus(Duration::from_secs(1)))], vec![])), vec![]);
    assert_eq!(plan(&world(vec![failed(NOW)], vec![])), vec![Action::Create(name("a"), 1)]);
}

#[test]
fn an_instance_leaves_when_its_keep_alive_is_over_and_not_before() {
    let used = |time| Item {
        used: MemberUse { in_flight: 0, last_used: Some(ago(time)), ejected: false, ..MemberUse::default() },
        since: ago(Duration::from_hours(1)),
        ..item("i", "a", Phase::Ready)
    };
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![used(Duration::from_secs(299))])), vec![]);
    let actions = plan(&world(vec![wish("a", |_| {})], vec![used(Duration::from_secs(301))]));
    assert_eq!(drained(&actions), ["i"]);
    let pinned = wish("a", |w| w.record.spec.pinned = true);
    assert_eq!(plan(&world(vec![pinned], vec![used(Duration::from_secs(301))])), vec![]);
    let busy = Item {
        used: MemberUse { in_flight: 1, last_used: Some(ago(Duration::from_secs(301))), ejected: false, ..MemberUse::default() },
        ..used(Duration::from_secs(301))
    };
    assert_eq!(plan(&world(vec![wish("a", |w| w.demand.in_flight = 1)], vec![busy])), vec![]);
}

#[test]
fn an_old_revision_serves_until_the_new_one_is_ready() {
    let newer = || changed(wish("a", |_| {}));
    let old = item("old", "a", Phase::Ready);
    let new = |phase| Item { revision: revision("a", 2), ..item("new", "a", phase) };
    let actions = plan(&world(vec![newer()], vec![old.clone()]));
    assert_eq!(actions, vec![Action::Create(name("a"), 2)]);
    let loading = Item { health: Health::Loading, ..new(Phase::Loading) };
    assert_eq!(plan(&world(vec![newer()], vec![old.clone(), loading])), vec![]);
    assert_eq!(drained(&plan(&world(vec![newer()], vec![old, new(Phase::Ready)]))), ["old"]);
}

#[test]
fn a_wish_that_cannot_be_resolved_leaves_the_old_revision_serving() {
    let mut broken = changed(wish("a", |_| {}));
    broken.resolve = Resolve::Failed(Reason::new(ReasonCode::ModelMissing, "gone", ""), NOW.plus(Duration::from_secs(9)));
    assert_eq!(plan(&world(vec![broken], vec![item("old", "a", Phase::Ready)])), vec![]);
}

#[test]
fn a_deleted_deployment_drains_and_is_removed_when_nothing_is_left() {
    let deleting = |w: &mut Wish| w.record.deleting = true;
    assert_eq!(drained(&plan(&world(vec![wish("a", deleting)], vec![item("i", "a", Phase::Ready)]))), ["i"]);
    assert_eq!(plan(&world(vec![wish("a", deleting)], vec![])), vec![Action::Remove(name("a"))]);
}

#[test]
fn the_idle_one_makes_room_and_the_busy_pinned_or_needed_do_not() {
    let wants = wish("new", |w| w.demand.waiting = 1);
    let pending = Item { start: Start::Pending, ..item("p", "new", Phase::Pending) };
    let pending = Item { sight: Sight::Absent, health: Health::Unknown, ..pending };
    let with = |change: fn(&mut Wish), busy: u32| {
        let other = Item {
            used: MemberUse { in_flight: busy, last_used: Some(ago(Duration::from_secs(1))), ejected: false, ..MemberUse::default() },
            memory: ByteSize(80),
            ..item("o", "old", Phase::Ready)
        };
        plan(&world(vec![wants.clone(), wish("old", change)], vec![other, pending.clone()]))
    };
    assert_eq!(drained(&with(|_| {}, 0)), ["o"]);
    assert!(drained(&with(|_| {}, 1)).is_empty());
    assert!(drained(&with(|w| w.record.spec.pinned = true, 0)).is_empty());
    assert!(drained(&with(|w| w.record.spec.replicas.min = 1, 0)).is_empty());
    assert!(drained(&with(|w| w.demand.waiting = 1, 0)).is_empty());
}

#[test]
fn what_can_never_fit_evicts_nobody() {
    let wants = wish("new", |w| w.demand.waiting = 1);
    let huge = Item { memory: ByteSize(101), sight: Sight::Absent, ..item("p", "new", Phase::Pending) };
    let actions = plan(&world(vec![wants, wish("old", |_| {})], vec![item("o", "old", Phase::Ready), huge]));
    assert!(drained(&actions).is_empty());
    assert!(
        matches!(&actions[..], [Action::Fail(id, reason)] if id.as_str() == "p" && reason.code == ReasonCode::DoesNotFit),
        "{actions:?}"
    );
}

/// Every phase against what can be seen of an instance: the whole table, as it stands in the docs.
#[test]
fn the_phase_table_of_the_docs_is_the_one_of_the_code() {
    let runs = || Sight::Running { pid: Some(1), resident: None };
    let exit =
        Exit { code: Some(1), signal: None, asked: false, spawn_error: None, last_lines: vec!["error: bad".into()], at: NOW, lost: false };
    let sights = [
        ("gone", Sight::Absent, Health::Unknown),
        ("runs, silent", runs(), Health::Unknown),
        ("runs, loading", runs(), Health::Loading),
        ("runs, up", runs(), Health::Up),
        ("runs, asleep", runs(), Health::Asleep),
        ("runs, down", runs(), Health::Down("no answer".into(), NOW)),
        ("ended by itself", Sight::Exited(exit), Health::Unknown),
    ];
    let mut table = String::from("| phase |");
    for (what, ..) in &sights {
        write!(table, " {what} |").unwrap();
    }
    table.push_str("\n|---|---|---|---|---|---|---|---|\n");
    for phase in PHASES {
        write!(table, "| **{phase}** |").unwrap();
        for (_, sight, health) in &sights {
            let seen_at = (*sight != Sight::Absent).then_some(NOW);
            let item = Item { sight: sight.clone(), seen_at, health: health.clone(), ..item("i", "a", phase) };
            write!(table, " {} |", word(life::next(&item, NOW))).unwrap();
        }
        table.push('\n');
    }
    let docs = include_str!("../../../../docs/reference/phases.md");
    assert!(docs.ends_with(&table), "docs/reference/phases.md must end with this table:\n{table}");
}

const PHASES: [Phase; 14] = [
    Phase::Pending,
    Phase::Fetching,
    Phase::Placing,
    Phase::Starting,
    Phase::Loading,
    Phase::Warming,
    Phase::Ready,
    Phase::Sleeping,
    Phase::Unhealthy,
    Phase::Draining,
    Phase::Stopping,
    Phase::Reclaiming,
    Phase::Stopped,
    Phase::Failed,
];

fn word(next: Next) -> String {
    match next {
        Next::Stay => "-".to_owned(),
        Next::Move(to, _) => to.to_string(),
        Next::Fail(reason) => format!(
            "failed, {}",
            match reason.code {
                ReasonCode::EngineRejected => "engine_rejected",
                ReasonCode::EngineExited => "engine_exited",
                other => panic!("{other:?} is new here"),
            }
        ),
        Next::Stop => "ask to stop".to_owned(),
        Next::Forget => "forget".to_owned(),
    }
}

#[test]
fn a_load_that_shows_progress_is_never_ended_and_one_without_is() {
    let loading = |since| Item {
        health: Health::Loading,
        progress_at: ago(since),
        since: ago(Duration::from_hours(2)),
        ..item("i", "a", Phase::Loading)
    };
    assert_eq!(life::next(&loading(Duration::from_mins(4)), NOW), Next::Stay);
    assert!(matches!(life::next(&loading(Duration::from_mins(6)), NOW), Next::Fail(reason) if reason.code == ReasonCode::StartTimeout));
}

#[test]
fn what_leaves_is_not_started_in_the_same_breath() {
    let pending = Item { start: Start::Pending, sight: Sight::Absent, ..item("p", "a", Phase::Pending) };
    let mut world = world(vec![wish("a", |w| w.demand.waiting = 1)], vec![pending]);
    assert!(matches!(&plan(&world)[..], [Action::Launch(..)]));
    world.stopping = Some(NOW);
    assert!(matches!(&plan(&world)[..], [Action::Move(_, Phase::Stopped, Some(reason))] if reason.code == ReasonCode::ShuttingDown));
}

#[test]
fn a_start_that_waits_for_room_ends_with_its_last_caller_and_one_that_began_does_not() {
    let placing = Item { start: Start::Pending, sight: Sight::Absent, ..item("p", "a", Phase::Placing) };
    let actions = plan(&world(vec![wish("a", |_| {})], vec![placing]));
    assert!(matches!(&actions[..], [Action::Move(_, Phase::Stopped, Some(reason))] if reason.code == ReasonCode::Idle), "{actions:?}");
    let starting = Item { start: Start::Running, sight: Sight::Absent, ..item("p", "a", Phase::Starting) };
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![starting])), vec![]);
}

#[test]
fn a_call_that_runs_on_an_instance_that_leaves_starts_no_other() {
    let draining = Item {
        used: MemberUse { in_flight: 1, last_used: Some(NOW), ejected: false, ..MemberUse::default() },
        ..item("i", "a", Phase::Draining)
    };
    assert_eq!(plan(&world(vec![wish("a", |w| w.demand.in_flight = 1)], vec![draining])), vec![]);
}

#[test]
fn a_new_revision_gets_as_many_instances_as_the_old_one_and_no_more() {
    let newer = changed(wish("a", |w| (w.record.spec.replicas.max, w.record.spec.rollout.max_surge) = (8, 2)));
    let new = |id: &str| Item { revision: revision("a", 2), health: Health::Loading, ..item(id, "a", Phase::Loading) };
    let one_old = vec![item("o", "a", Phase::Ready), new("n")];
    assert_eq!(plan(&world(vec![newer.clone()], one_old)), vec![]);
    let two_old = vec![item("o", "a", Phase::Ready), item("p", "a", Phase::Ready), new("n")];
    assert_eq!(plan(&world(vec![newer], two_old)), vec![Action::Create(name("a"), 2)]);
}

#[test]
fn an_old_revision_that_was_not_started_gives_its_place_to_the_new_one() {
    let newer = changed(wish("a", |w| w.demand.waiting = 1));
    let old = Item { start: Start::Pending, sight: Sight::Absent, ..item("o", "a", Phase::Placing) };
    let actions = plan(&world(vec![newer], vec![old]));
    let [Action::Create(_, 2), Action::Move(id, Phase::Stopped, Some(reason))] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((id.as_str(), reason.code), ("o", ReasonCode::Superseded));
}

#[test]
fn memory_is_held_until_the_engine_has_ended_however_it_ends() {
    let failed = |sight| Item { sight, stop_asked: Some(NOW), ..item("i", "a", Phase::Failed) };
    let runs = failed(Sight::Running { pid: None, resident: None });
    assert!(runs.holds_memory());
    assert!(!failed(Sight::Absent).holds_memory());
    let exit = Exit { code: Some(1), signal: None, asked: true, spawn_error: None, last_lines: vec![], at: NOW, lost: false };
    assert!(!Item { sight: Sight::Exited(exit), ..item("i", "a", Phase::Stopping) }.holds_memory());
    let next = Item { created_at: NOW, memory: ByteSize(80), sight: Sight::Absent, ..item("n", "a", Phase::Pending) };
    let world = world(vec![wish("a", |w| w.demand.waiting = 1)], vec![runs, next]);
    let actions = plan(&world);
    assert!(
        matches!(&actions[..], [Action::Move(id, Phase::Placing, _)] if id.as_str() == "n"),
        "not forgotten, nor its room given: {actions:?}"
    );
}

#[test]
fn an_end_that_does_not_come_is_asked_for_again() {
    let stopping = |asked| Item { stop_asked: Some(ago(asked)), ..item("i", "a", Phase::Stopping) };
    assert_eq!(life::next(&stopping(Duration::from_secs(9)), NOW), Next::Stay);
    assert_eq!(life::next(&stopping(Duration::from_secs(10)), NOW), Next::Stop);
}

#[test]
fn what_is_being_started_is_told_to_end_only_when_it_is_known_to_be_there() {
    let rising = Item { start: Start::Running, sight: Sight::Absent, seen_at: None, ..item("i", "a", Phase::Stopping) };
    assert_eq!(life::next(&rising, NOW), Next::Stay);
    assert_eq!(life::next(&Item { start: Start::Done, ..rising }, NOW), Next::Stop);
}

#[test]
fn an_instance_that_is_not_seen_for_a_moment_is_not_lost() {
    let unseen = |at| Item { sight: Sight::Absent, seen_at: Some(ago(at)), ..item("i", "a", Phase::Ready) };
    assert_eq!(life::next(&unseen(Duration::from_secs(1)), NOW), Next::Stay);
    assert!(matches!(life::next(&unseen(Duration::from_secs(3)), NOW), Next::Fail(_)));
}

#[test]
fn an_exit_says_whether_callers_were_served() {
    let exit = Exit { code: Some(1), signal: None, asked: false, spawn_error: None, last_lines: vec![], at: NOW, lost: false };
    let said = |phase| match life::next(&Item { sight: Sight::Exited(exit.clone()), ..item("i", "a", phase) }, NOW) {
        Next::Fail(reason) => reason.message,
        other => panic!("{other:?}"),
    };
    assert!(said(Phase::Warming).contains("before it was ready"));
    assert!(said(Phase::Unhealthy).contains("while it served"));
    let killed = |lost| {
        let exit = Exit { code: None, signal: Some(9), lost, ..exit.clone() };
        match life::next(&Item { sight: Sight::Exited(exit), ..item("i", "a", Phase::Ready) }, NOW) {
            Next::Fail(reason) => reason.message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(killed(false), "the engine ended by KILL while it served; the kernel does that when memory runs out");
    assert_eq!(killed(true), "the engine ended by KILL while it served", "nobody knows by whom");
}

fn seen(resident: u64, log_lines: u64) -> spec::Seen {
    spec::Seen {
        order: testing_order(&name("a")),
        state: spec::SeenState::Running,
        pid: Some(1),
        started_at: NOW,
        resident: Some(ByteSize(resident)),
        cpu: None,
        log_lines,
    }
}

#[test]
fn a_load_of_half_an_hour_lives_for_as_long_as_it_shows_a_line_or_a_byte_within_its_limit() {
    const LOOKS: u64 = 1_800;
    let mut loading = Item { health: Health::Loading, progress_at: NOW, ..item("i", "a", Phase::Loading) };
    let limit = loading.revision.spec.timeouts.start.as_secs();
    // Each second a look: a line in each four minutes, then a byte in each.
    for second in 0..LOOKS {
        let steps = second / (limit - 60);
        let (lines, bytes) = if second < LOOKS / 2 { (steps, 0) } else { (LOOKS / 2 / (limit - 60), steps) };
        let now = NOW.plus(Duration::from_secs(second));
        crate::observe::take_in(&mut loading, seen(bytes, lines), now);
        assert_eq!(life::next(&loading, now), Next::Stay, "after {second} s");
    }
    let hung = (LOOKS..2 * LOOKS).find(|second| {
        let now = NOW.plus(Duration::from_secs(*second));
        crate::observe::take_in(&mut loading, seen(LOOKS / (limit - 60), LOOKS / 2 / (limit - 60)), now);
        life::next(&loading, now) != Next::Stay
    });
    assert!(hung.is_some_and(|second| (LOOKS..LOOKS + limit + 1).contains(&second)), "{hung:?}");
}

#[test]
fn callers_of_one_that_is_to_leave_go_on_for_as_long_as_any_call_may_take_unless_there_is_a_limit() {
    let drains = |time: Duration, limit: Option<Duration>| {
        let mut item = Item { since: ago(time), ..item("i", "a", Phase::Draining) };
        Arc::make_mut(&mut item.revision).spec.timeouts.drain = limit;
        item.used.in_flight = 1;
        life::next(&item, NOW) == Next::Stay
    };
    let (minute, total) = (Duration::from_mins(1), spec::Timeouts::default().total);
    assert!(drains(minute * 6, None) && drains(total, None) && !drains(total + minute, None));
    assert!(drains(minute / 2, Some(minute)) && !drains(minute * 2, Some(minute)));
}

#[test]
fn lines_and_memory_that_grow_are_progress() {
    let mut item = Item { progress_at: ago(Duration::from_mins(4)), ..item("i", "a", Phase::Loading) };
    crate::observe::take_in(&mut item, seen(10, 0), NOW);
    assert_eq!(item.progress_at, NOW);
    let later = NOW.plus(Duration::from_secs(9));
    crate::observe::take_in(&mut item, seen(10, 0), later);
    assert_eq!((item.progress_at, item.seen_at), (NOW, Some(later)));
    crate::observe::take_in(&mut item, seen(10, 1), later);
    assert_eq!(item.progress_at, later);
}

#[test]
fn an_eviction_leaves_a_deployment_its_minimum() {
    let wants = wish("new", |w| w.demand.waiting = 1);
    let two = wish("old", |w| (w.record.spec.replicas.min, w.record.spec.replicas.max) = (1, 2));
    let asks = Item { memory: ByteSize(80), start: Start::Pending, sight: Sight::Absent, ..item("p", "new", Phase::Pending) };
    let both = vec![item("o1", "old", Phase::Ready), item("o2", "old", Phase::Ready), asks];
    assert!(drained(&plan(&world(vec![wants, two], both))).is_empty(), "one alone is not enough, and both may not");
}

#[test]
fn who_needs_no_room_waits_for_none_and_the_others_say_for_whom_they_wait() {
    let asked = |n: &str| wish(n, |w| w.demand.waiting = 1);
    let mut busy = item("b", "busy", Phase::Ready);
    (busy.memory, busy.used.in_flight) = (ByteSize(80), 1);
    let pending = |id: &str, n: &str, memory, order| {
        let created_at = NOW.plus(Duration::from_millis(order));
        Item { memory: ByteSize(memory), created_at, start: Start::Pending, sight: Sight::Absent, ..item(id, n, Phase::Pending) }
    };
    let items = vec![busy, pending("p1", "big", 40, 1), pending("p2", "small", 10, 2), pending("p3", "remote", 0, 3)];
    let wishes = vec![asked("big"), asked("small"), asked("remote"), wish("busy", |_| {})];
    let actions = plan(&world(wishes, items));
    let [Action::Move(one, Phase::Placing, _), Action::Move(two, Phase::Placing, Some(why)), Action::Launch(three, _)] = &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!([one.as_str(), two.as_str(), three.as_str()], ["p1", "p2", "p3"]);
    assert!(why.message.contains("`big`"), "{}", why.message);
}

#[test]
fn why_it_waits_is_as_true_as_the_numbers_of_the_turn() {
    let mut busy = item("b", "busy", Phase::Ready);
    (busy.memory, busy.used.in_flight) = (ByteSize(80), 1);
    let old = Reason::new(ReasonCode::NoRoom, "`new` asked first and waits for room", "");
    let placing = Item { reason: Some(old), start: Start::Pending, sight: Sight::Absent, ..item("p", "new", Phase::Placing) };
    let second = Item { created_at: NOW, ..Item { id: InstanceId::new("q"), ..placing.clone() } };
    let wishes = vec![wish("new", |w| (w.record.spec.replicas.max, w.demand.waiting) = (2, 9)), wish("busy", |_| {})];
    let mut world = world(wishes, vec![busy, placing, second]);
    let since = world.items["p"].since;
    for _ in 0..2 {
        for action in plan(&world) {
            let Action::Tell(id, reason) = action else { continue };
            world.items.get_mut(&id).unwrap().reason = Some(reason);
        }
    }
    assert!(!plan(&world).iter().any(|action| matches!(action, Action::Tell(..))), "it is told once");
    let told = |id: &str| world.items[id].reason.clone().unwrap();
    assert_eq!(told("p").message, "it needs 40 B, 20 B more than is free of 100 B");
    assert_eq!((told("p").fact("missing_bytes").as_deref(), world.items["p"].since), (Some("20"), since));
    assert_eq!(told("q").message, "it needs 40 B; another instance of it asked first and waits for room");
    let shown = crate::snapshot::whole(&world);
    let waiting = shown.instances.iter().find(|one| one.id.as_str() == "p").unwrap();
    assert_eq!(waiting.memory, ByteSize(0), "it has none yet");
    let busy = crate::explain::explain(&world, &name("new")).unwrap().blocked.unwrap();
    assert_eq!(busy.message, told("p").message);
}

#[test]
fn what_only_pins_and_minima_keep_from_having_room_is_told_so_and_nobody_waits_for_it() {
    let up = |id: &str, n: &str, memory| Item { memory: ByteSize(memory), ..item(id, n, Phase::Ready) };
    let waits = |id: &str, n: &str, memory, phase| Item {
        memory: ByteSize(memory),
        start: Start::Pending,
        sight: Sight::Absent,
        since: ago(Duration::from_secs(5)),
        ..item(id, n, phase)
    };
    let wishes = || {
        let asked = |n: &str| wish(n, |w| w.demand.waiting = 1);
        vec![wish("a", |w| w.record.spec.pinned = true), wish("b", |w| w.record.spec.replicas.min = 1), asked("c"), asked("d")]
    };
    let held = || [up("a1", "a", 40), up("b1", "b", 30)];
    let late = Item { created_at: NOW, ..waits("d1", "d", 20, Phase::Pending) };
    let mut world = world(wishes(), held().into_iter().chain([waits("c1", "c", 50, Phase::Pending), late]).collect());
    let actions = plan(&world);
    let [Action::Move(one, Phase::Placing, Some(why)), Action::Launch(two, _)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((one.as_str(), two.as_str(), why.code), ("c1", "d1", ReasonCode::NoRoom));
    assert!(why.message.contains("stays: `a`, `b`") && why.remedy.contains("unpin one of them"), "{why:?}");
    world.items.remove("d1");
    world.items.insert(InstanceId::new("c1"), Item { reason: Some(why.clone()), ..waits("c1", "c", 50, Phase::Placing) });
    world.now = NOW.plus(Duration::from_secs(10));
    assert_eq!(plan(&world).iter().filter(|action| action.instance().is_some_and(|id| id.as_str() == "c1")).count(), 0);
    world.now = NOW.plus(Duration::from_secs(15)); // the patience of the room is over
    let failed = |action: &Action| matches!(action, Action::Fail(id, reason) if id.as_str() == "c1" && reason.message == why.message);
    assert!(plan(&world).iter().any(failed), "{:?}", plan(&world));
    world.wishes.get_mut(&name("a")).unwrap().record.spec.pinned = false;
    assert!(!plan(&world).iter().any(failed), "there is room when one that is not pinned has left");
}

#[test]
fn another_instance_of_a_model_that_comes_up_pushes_out_nobody_who_works() {
    let hour = ago(Duration::from_hours(1));
    let mut busy = item("b", "busy", Phase::Ready);
    (busy.memory, busy.used.in_flight, busy.ready_at, busy.since) = (ByteSize(60), 1, Some(hour), hour);
    let first = Item { health: Health::Loading, ready_at: None, ..item("n1", "new", Phase::Loading) };
    let second = Item { created_at: hour, start: Start::Pending, sight: Sight::Absent, ..item("n2", "new", Phase::Pending) };
    let wishes = || {
        vec![wish("new", |w| (w.record.spec.replicas.min, w.record.spec.replicas.max, w.demand.waiting) = (2, 2, 9)), wish("busy", |_| {})]
    };
    assert!(drained(&plan(&world(wishes(), vec![busy.clone(), first, second.clone()]))).is_empty());
    let alone = Item { memory: ByteSize(50), ..second };
    assert_eq!(drained(&plan(&world(wishes(), vec![busy, alone]))), ["b"], "one that serves nobody yet does after a while");
}

#[test]
fn who_has_left_is_not_said_to_have_had_no_caller_for_as_long_as_it_is_kept() {
    let told = |w: Wish| {
        let world = world(vec![w], vec![]);
        let shown = &crate::snapshot::whole(&world).deployments[&name("a")];
        (shown.reason.clone().unwrap().message, shown.scaling.because.last().unwrap().message.clone())
    };
    assert_eq!(told(wish("a", |_| {})), ("nobody has asked for it".into(), "nobody has asked for it".into()));
    assert_eq!(told(wish("a", |w| w.demand.last_used = Some(NOW))), ("no caller now".into(), "no caller now".into()));
}

#[test]
fn an_instance_that_has_ended_has_no_memory() {
    let exit = spec::Exit { code: Some(1), signal: None, asked: false, spawn_error: None, last_lines: vec![], at: NOW, lost: false };
    let dead = Item { sight: Sight::Exited(exit), ..item("i", "a", Phase::Failed) };
    let shown = crate::snapshot::whole(&world(vec![wish("a", |_| {})], vec![dead, item("j", "a", Phase::Ready)]));
    assert_eq!(shown.instances.iter().map(|one| one.memory).collect::<Vec<_>>(), [ByteSize(0), ByteSize(40)]);
}

#[test]
fn an_instance_without_a_wish_leaves() {
    assert_eq!(drained(&plan(&world(vec![], vec![item("i", "a", Phase::Ready)]))), ["i"]);
}

#[test]
fn a_model_that_could_not_be_read_is_read_again_for_whoever_needs_it_and_its_callers_may_ask() {
    let failed = |at| Resolve::Failed(Reason::new(ReasonCode::ModelMissing, "gone", ""), at);
    let needs: [fn(&mut Wish); 3] = [|w| w.demand.waiting = 1, |w| w.record.spec.pinned = true, |w| w.record.spec.replicas.min = 1];
    for need in needs {
        let due = wish("a", |w| {
            need(w);
            w.resolve = failed(NOW);
        });
        assert_eq!(plan(&world(vec![due], vec![])), vec![Action::Resolve(name("a"))]);
    }
    let state = |at| {
        let world = world(vec![wish("a", |w| w.resolve = failed(at))], vec![]);
        crate::publish::table(&world, &board::Table::default(), &|_| None).deployments[&name("a")].state.clone()
    };
    assert!(matches!(state(NOW.plus(Duration::from_secs(1))), board::State::Down(_)));
    assert_eq!(state(NOW), board::State::Cold, "else nobody could ever wait for it again");
}

#[test]
fn what_an_operator_asked_for_outlives_a_change_of_the_wish() {
    let mut world = world(vec![wish("a", |w| w.hand = Hand::Load)], vec![]);
    let mut record = world.wishes[&name("a")].record.clone();
    record.generation = 2;
    crate::observe::wishes(&mut world, vec![record]);
    assert_eq!(world.wishes[&name("a")].hand, Hand::Load);
    assert!(matches!(world.wishes[&name("a")].resolve, Resolve::Pending));
}

fn testing_order(deployment: &Name) -> spec::Order {
    spec::Order {
        instance: InstanceId::new("i"),
        deployment: deployment.clone(),
        revision: 1,
        fence: 1,
        program: spec::Program::Own,
        build: String::new(),
        args: vec![],
        env: BTreeMap::new(),
        endpoint: spec::Endpoint::Url("http://127.0.0.1:9/v1".into()),
        grace: Duration::ZERO,
        orphan_ttl: Duration::ZERO,
        log_bytes: ByteSize(0),
        memory: ByteSize(0),
        slots: 1,
        grant: spec::Grant::default(),
    }
}

proptest! {
    #[test]
    fn whatever_is_planned_never_oversubscribes(memories in proptest::collection::vec(1_u64..120, 1..8), held in 0_u64..100) {
        let mut items = vec![Item { memory: ByteSize(held), ..item("held", "a", Phase::Ready) }];
        items.extend(memories.iter().enumerate().map(|(i, memory)| Item { memory: ByteSize(*memory), sight: Sight::Absent, ..item(&format!("p{i}"), "a", Phase::Pending) }));
        let world = world(vec![wish("a", |w| (w.record.spec.replicas.min, w.record.spec.replicas.max) = (256, 256))], items);
        let launched: u64 = plan(&world).iter().filter_map(|action| match action {
            Action::Launch(id, _) => Some(world.items[id].memory.0),
            _ => None,
        }).sum();
        prop_assert!(held + launched <= 100, "{launched} beside {held}");
    }
}
