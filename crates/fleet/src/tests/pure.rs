//! The pure parts, by values.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret, Timestamp};
use board::{Demand, MemberUse};
use proptest::prelude::*;
use spec::deployment::{Origin, Record};
use spec::{Deployment, Device, DeviceKind, EngineKind, Exit, InstanceId, Name, Node, Phase, Reason, ReasonCode, Revision};

use crate::evict::{Candidate, evict};
use crate::life::{self, Next};
use crate::place::{Fit, place};
use crate::plan::{Action, plan};
use crate::world::{Hand, Health, Item, Resolve, Room, Sight, Start, Wish, World};

const NOW: Timestamp = Timestamp::from_millis(86_400_000);

fn ago(time: Duration) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - i64::try_from(time.as_millis()).unwrap())
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn revision(deployment: &str, number: u64) -> Arc<Revision> {
    let mut spec = Deployment::named(name(deployment));
    spec.engine = Some(EngineKind::Echo);
    Arc::new(Revision { number, spec, version: None })
}

fn wish(deployment: &str, change: impl FnOnce(&mut Wish)) -> Wish {
    let revision = revision(deployment, 1);
    let record = Record {
        spec: revision.spec.clone(),
        generation: 1,
        origin: Origin::Api,
        deleting: false,
        created_at: ago(Duration::ZERO),
        updated_at: NOW,
    };
    let demand = Demand { deployment: name(deployment), waiting: 0, in_flight: 0, last_used: None, keep_alive: None };
    let mut wish = Wish {
        record,
        demand,
        resolve: Resolve::Done(revision),
        hand: Hand::Off,
        failures: 0,
        retry_at: None,
        failure: None,
        load_ms: None,
        jobs: Vec::new(),
    };
    change(&mut wish);
    wish
}

fn item(id: &str, deployment: &str, phase: Phase) -> Item {
    Item {
        id: InstanceId::new(id),
        deployment: name(deployment),
        revision: revision(deployment, 1),
        fence: 1,
        engine: EngineKind::Echo,
        runtime: spec::RuntimeKind::Process,
        phase,
        since: ago(Duration::from_secs(1)),
        reason: None,
        memory: ByteSize(40),
        slots: 1,
        endpoint: None,
        key: Secret::new("k"),
        created_at: ago(Duration::from_secs(2)),
        load_ms: Some(100),
        start: Start::Done,
        sight: Sight::Running { pid: Some(1), resident: None },
        health: Health::Up,
        used: MemberUse { in_flight: 0, last_used: Some(ago(Duration::from_secs(1))) },
        progress_at: ago(Duration::from_secs(1)),
        log_lines: 0,
        stop_asked: false,
    }
}

fn room(total: u64) -> Room {
    let device = Device { id: "ram".into(), kind: DeviceKind::Ram, total: ByteSize(total), free: ByteSize(total) };
    Room { nodes: vec![Node { name: "here".into(), cores: 2, devices: vec![device] }], budget: None, margin: ByteSize(0) }
}

fn world(wishes: Vec<Wish>, items: Vec<Item>) -> World {
    World {
        now: NOW,
        stopping: false,
        wishes: wishes.into_iter().map(|wish| (wish.record.spec.name.clone(), wish)).collect::<BTreeMap<_, _>>(),
        items: items.into_iter().map(|item| (item.id.clone(), item)).collect(),
        room: room(100),
    }
}

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
        assert_eq!(plan(&world(vec![wish("a", change)], vec![])), vec![Action::Create(name("a"))]);
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
    assert_eq!(plan(&world(vec![failed(NOW)], vec![])), vec![Action::Create(name("a"))]);
}

#[test]
fn an_instance_leaves_when_its_keep_alive_is_over_and_not_before() {
    let used = |time| Item {
        used: MemberUse { in_flight: 0, last_used: Some(ago(time)) },
        since: ago(Duration::from_hours(1)),
        ..item("i", "a", Phase::Ready)
    };
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![used(Duration::from_secs(299))])), vec![]);
    let actions = plan(&world(vec![wish("a", |_| {})], vec![used(Duration::from_secs(301))]));
    assert_eq!(drained(&actions), ["i"]);
    let pinned = wish("a", |w| w.record.spec.pinned = true);
    assert_eq!(plan(&world(vec![pinned], vec![used(Duration::from_secs(301))])), vec![]);
    let busy = Item { used: MemberUse { in_flight: 1, last_used: Some(ago(Duration::from_secs(301))) }, ..used(Duration::from_secs(301)) };
    assert_eq!(plan(&world(vec![wish("a", |w| w.demand.in_flight = 1)], vec![busy])), vec![]);
}

#[test]
fn an_old_revision_serves_until_the_new_one_is_ready() {
    let newer = |w: &mut Wish| {
        w.record.generation = 2;
        w.resolve = Resolve::Done(revision("a", 2));
    };
    let old = item("old", "a", Phase::Ready);
    let new = |phase| Item { revision: revision("a", 2), ..item("new", "a", phase) };
    let actions = plan(&world(vec![wish("a", newer)], vec![old.clone()]));
    assert_eq!(actions, vec![Action::Create(name("a"))]);
    let loading = Item { health: Health::Loading, ..new(Phase::Loading) };
    assert_eq!(plan(&world(vec![wish("a", newer)], vec![old.clone(), loading])), vec![]);
    assert_eq!(drained(&plan(&world(vec![wish("a", newer)], vec![old, new(Phase::Ready)]))), ["old"]);
}

#[test]
fn a_wish_that_cannot_be_resolved_leaves_the_old_revision_serving() {
    let broken = wish("a", |w| {
        w.record.generation = 2;
        w.resolve = Resolve::Failed(Reason::new(ReasonCode::ModelMissing, "gone", ""), NOW.plus(Duration::from_secs(9)));
    });
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
        let other =
            Item { used: MemberUse { in_flight: busy, last_used: Some(NOW) }, memory: ByteSize(80), ..item("o", "old", Phase::Ready) };
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

#[test]
fn fit_says_what_is_missing() {
    let room = Room { margin: ByteSize(10), ..room(100) };
    assert_eq!(place(ByteSize(50), &room, ByteSize(40)), Fit::Fits);
    assert_eq!(place(ByteSize(50), &room, ByteSize(60)), Fit::NoRoom { need: ByteSize(50), missing: ByteSize(20), budget: ByteSize(90) });
    assert_eq!(place(ByteSize(91), &room, ByteSize(0)), Fit::Never { need: ByteSize(91), budget: ByteSize(90) });
    let mut tight = room;
    tight.nodes[0].devices[0].free = ByteSize(30);
    assert_eq!(place(ByteSize(50), &tight, ByteSize(0)), Fit::NoRoom { need: ByteSize(50), missing: ByteSize(20), budget: ByteSize(90) });
}

/// Every phase against what can be seen of an instance: the whole table, as it stands in the docs.
#[test]
fn the_phase_table_of_the_docs_is_the_one_of_the_code() {
    let runs = || Sight::Running { pid: Some(1), resident: None };
    let exit = Exit { code: Some(1), signal: None, asked: false, spawn_error: None, last_lines: vec!["error: bad".into()], at: NOW };
    let sights = [
        ("gone", Sight::Absent, Health::Unknown),
        ("runs, silent", runs(), Health::Unknown),
        ("runs, loading", runs(), Health::Loading),
        ("runs, up", runs(), Health::Up),
        ("runs, down", runs(), Health::Down("no answer".into(), NOW)),
        ("ended by itself", Sight::Exited(exit), Health::Unknown),
    ];
    let mut table = String::from("| phase |");
    sights.iter().for_each(|(what, ..)| write!(table, " {what} |").unwrap());
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for phase in PHASES {
        write!(table, "| **{phase}** |").unwrap();
        for (_, sight, health) in &sights {
            let item = Item { sight: sight.clone(), health: health.clone(), ..item("i", "a", phase) };
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

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (1_u64..50, 1_u64..1000, 0_i64..100);
    proptest::collection::vec(one, 0..9).prop_map(|all| {
        let make = |(i, (memory, reload_ms, used)): (usize, (u64, u64, i64))| Candidate {
            id: InstanceId::new(format!("i{i}")),
            memory: ByteSize(memory),
            reload_ms,
            last_used: Timestamp::from_millis(used),
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #[test]
    fn victims_are_enough_and_no_cheaper_set_is(candidates in candidates(), missing in 1_u64..200) {
        let memory = |set: &[&Candidate]| set.iter().map(|c| c.memory.0).sum::<u64>();
        let cost = |set: &[&Candidate]| set.iter().map(|c| c.reload_ms).sum::<u64>();
        let sets = (0_u32..1 << candidates.len()).map(|bits| candidates.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, c)| c).collect::<Vec<_>>());
        let best = sets.filter(|set| memory(set) >= missing).map(|set| cost(&set)).min();
        let chosen = evict(ByteSize(missing), &candidates);
        let chosen = chosen.map(|ids| candidates.iter().filter(|c| ids.contains(&c.id)).collect::<Vec<_>>());
        prop_assert_eq!(chosen.as_ref().map(|set| cost(set)), best);
        prop_assert!(chosen.is_none_or(|set| memory(&set) >= missing));
    }

    #[test]
    fn whatever_is_planned_never_oversubscribes(memories in proptest::collection::vec(1_u64..120, 1..8), held in 0_u64..100) {
        let mut items = vec![Item { memory: ByteSize(held), ..item("held", "a", Phase::Ready) }];
        items.extend(memories.iter().enumerate().map(|(i, memory)| Item { memory: ByteSize(*memory), sight: Sight::Absent, ..item(&format!("p{i}"), "a", Phase::Pending) }));
        let world = world(vec![wish("a", |w| w.record.spec.replicas.max = 256)], items);
        let launched: u64 = plan(&world).iter().filter_map(|action| match action {
            Action::Launch(id) => Some(world.items[id].memory.0),
            _ => None,
        }).sum();
        prop_assert!(held + launched <= 100, "{launched} beside {held}");
    }
}
