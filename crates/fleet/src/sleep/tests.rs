//! When one falls asleep, what it lends, and whether it is woken or started anew.

use std::time::Duration;

use base::ByteSize;
use spec::{Device, DeviceKind, Grant, Phase, Share, Use};

use super::*;
use crate::life::{self, Next};
use crate::plan::plan;
use crate::tests::values::{NOW, ago, item, room, wish, world};

fn runs(resident: u64) -> Sight {
    Sight::Running { pid: Some(1), resident: Some(ByteSize(resident)) }
}

fn sleeper(nap: Nap) -> Item {
    Item { health: Health::Asleep, nap, sight: runs(5), ..item("i", "a", Phase::Sleeping) }
}

fn lent() -> Item {
    let mut item = sleeper(Nap::Asked(NOW));
    item.lend(&[]);
    item
}

#[test]
fn one_with_a_call_stays_awake_and_one_without_leaves_the_board_before_it_lends_anything() {
    let mut ready = Item { health: Health::Asleep, ..item("i", "a", Phase::Ready) };
    let Next::Move(Phase::Sleeping, Some(reason)) = life::next(&ready, NOW) else { panic!("it stays") };
    assert_eq!(reason.code, ReasonCode::Asleep);
    ready.used.in_flight = 1;
    assert_eq!(life::next(&ready, NOW), Next::Stay);

    let leaving = sleeper(Nap::Leaving(NOW));
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![leaving])), [Action::Sleep(InstanceId::new("i"), Step::Ask)]);
    let mut asked = Item { health: Health::Unknown, ..sleeper(Nap::Asked(NOW)) };
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![asked.clone()])), []);
    asked.health = Health::Asleep;
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![asked.clone()])), [Action::Sleep(InstanceId::new("i"), Step::Lend)]);
    asked.used.in_flight = 1; // it was given before it left the board
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![asked.clone()])), []);
    let woken = Item { health: Health::Up, ..asked };
    assert_eq!(life::next(&woken, NOW), Next::Move(Phase::Ready, None));
}

#[test]
fn while_a_rollout_goes_on_nobody_sleeps() {
    let ready = Item { health: Health::Asleep, ..item("i", "a", Phase::Ready) };
    let rolling = crate::tests::values::changed(wish("a", |_| {}));
    let actions = plan(&world(vec![rolling], vec![ready]));
    assert!(!actions.iter().any(|action| matches!(action, Action::Move(_, Phase::Sleeping, _))), "{actions:?}");
}

#[test]
fn what_it_holds_asleep_is_what_it_is_seen_to_have_and_it_has_all_again_when_it_rises() {
    let mut item = lent();
    assert_eq!(item.memory, ByteSize(5));
    item.grow(ByteSize(7));
    assert_eq!((item.memory, item.peak), (ByteSize(7), ByteSize(0)));
    item.rise();
    assert_eq!((item.memory, &item.nap), (ByteSize(40), &Nap::Awake));

    let share = |device: &str, kind, bytes| Share { device: device.into(), kind, bytes: ByteSize(bytes), layers: 1, engine_name: None };
    let shares = vec![share("cuda:0", DeviceKind::Cuda, 30), share("ram", DeviceKind::Ram, 10)];
    let grant = Grant { node: "here".into(), shares };
    let mut nodes = room(100).nodes;
    let card = Device::new("cuda:0", DeviceKind::Cuda, ByteSize(100), ByteSize(98));
    nodes[0].devices.push(Device { uses: vec![Use { pid: 1, bytes: ByteSize(2) }], ..card });
    let mut on_card = Item { grant: grant.clone(), ..sleeper(Nap::Asked(NOW)) };
    on_card.lend(&nodes);
    assert_eq!((on_card.memory, on_card.grant.shares[0].bytes), (ByteSize(7), ByteSize(2)), "as the driver says");
    on_card.rise();
    assert_eq!((on_card.memory, on_card.grant), (ByteSize(40), grant));
}

#[test]
fn it_is_woken_where_its_room_is_free_and_makes_way_for_another_one_where_it_is_not() {
    let wanted = || wish("a", |wish| wish.demand.waiting = 1);
    let free = world(vec![wanted()], vec![lent()]);
    assert_eq!(plan(&free), [Action::Sleep(InstanceId::new("i"), Step::Wake)]);
    assert_eq!(plan(&world(vec![wish("a", |_| {})], vec![lent()])), [], "nobody waits");

    let other = Item { memory: ByteSize(70), sight: runs(70), ..item("o", "b", Phase::Ready) };
    let taken = world(vec![wanted(), wish("b", |_| {})], vec![lent(), other]);
    let actions = plan(&taken);
    let [Action::Move(id, Phase::Draining, Some(reason))] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((id.as_str(), reason.code), ("i", ReasonCode::Asleep));

    // Before it has lent anything it needs no room; unless somebody has it, to whom it was lent by a Penstock that is no more.
    let not_yet = |others: u64| {
        let other = Item { memory: ByteSize(others), sight: runs(others), ..item("o", "b", Phase::Ready) };
        plan(&world(vec![wanted(), wish("b", |_| {})], vec![sleeper(Nap::Asked(NOW)), other]))
    };
    assert!(not_yet(60).contains(&Action::Sleep(InstanceId::new("i"), Step::Wake)), "{:?}", not_yet(60));
    assert!(matches!(&not_yet(70)[..], [Action::Move(id, Phase::Draining, _)] if id.as_str() == "i"), "{:?}", not_yet(70));
}

#[test]
fn it_does_not_pass_those_who_wait_for_room() {
    let waits = Item { sight: Sight::Absent, memory: ByteSize(90), ..item("w", "b", Phase::Placing) };
    let wishes = vec![wish("a", |wish| wish.demand.waiting = 1), wish("b", |wish| wish.demand.waiting = 1)];
    let actions = plan(&world(wishes, vec![lent(), waits]));
    assert!(matches!(&actions[..], [Action::Move(id, Phase::Draining, _)] if id.as_str() == "i"), "{actions:?}");
}

#[test]
fn its_sleep_does_not_prolong_its_keep_alive() {
    let mut item = Item { since: ago(Duration::from_mins(4)), ..item("i", "a", Phase::Ready) };
    item.used.last_used = Some(ago(Duration::from_mins(3)));
    item.doze();
    (item.phase, item.since, item.used.last_used) = (Phase::Sleeping, NOW, None);
    assert_eq!(item.last_of_use(), ago(Duration::from_mins(3)));
}

#[test]
fn one_that_has_no_memory_when_it_wakes_failed_to_wake_and_is_placed_anew_at_once() {
    let exit = spec::Exit {
        code: None,
        signal: Some(6),
        asked: false,
        spawn_error: None,
        last_lines: vec!["unable to allocate CPU buffer".into()],
        at: NOW,
        lost: false,
    };
    let waking = Item { nap: Nap::Waking, sight: Sight::Exited(exit.clone()), ..item("i", "a", Phase::Loading) };
    assert!(matches!(life::next(&waking, NOW), Next::Fail(reason) if reason.code == ReasonCode::EngineExited));
    let loading = Item { sight: Sight::Exited(exit), ..item("i", "a", Phase::Loading) };
    assert!(matches!(life::next(&loading, NOW), Next::Fail(reason) if reason.code == ReasonCode::OutOfMemory));
}
