//! A turn looks at what has changed, and what it leaves out would have come out the same.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use board::Table;
use proptest::prelude::*;
use spec::deployment::Origin;
use spec::{Deployment, EngineKind, InstanceId, Phase, Reason, ReasonCode, RolloutPhase};
use tempfile::TempDir;

use super::room::{Room, machine, named};
use super::values::{NOW, item, name, wish, world};
use crate::fresh::Fresh;
use crate::plan::{plan, serve};
use crate::world::{Hand, Resolve, Wish, World};
use crate::{Counters, Snapshot, publish, snapshot};

const MANY: usize = 300;
const IDLE_TURNS: u64 = 5;

fn numbered(number: usize) -> String {
    format!("m{number:03}")
}

/// A room with many deployments at rest.
async fn many() -> Room {
    let room = Room::with(machine(), TempDir::new().unwrap()).await;
    for number in 0..MANY {
        let spec = Deployment { engine: Some(EngineKind::Echo), ..Deployment::named(named(&numbered(number))) };
        room.store.create_deployment(&spec, Origin::Api).await.unwrap();
    }
    room.fleet.poke();
    at_rest(&room).await;
    room
}

async fn at_rest(room: &Room) {
    let rests = |seen: &Snapshot| seen.deployments.values().all(|view| view.reason.as_ref().is_none_or(|why| why.code == ReasonCode::Idle));
    room.until(|seen| seen.deployments.len() == MANY && rests(seen)).await;
    some_turns(room).await; // what was touched last has been looked at once more
}

/// What some turns in which nothing happens cost.
async fn some_turns(room: &Room) -> Counters {
    let before = room.fleet.snapshot().counters;
    let seen = room.until(|seen| seen.counters.turns >= before.turns + IDLE_TURNS).await;
    less(seen.counters, before)
}

fn less(now: Counters, before: Counters) -> Counters {
    Counters {
        turns: now.turns - before.turns,
        read: now.read - before.read,
        weighed: now.weighed - before.weighed,
        published: now.published - before.published,
        shown: now.shown - before.shown,
        ..Counters::default()
    }
}

#[tokio::test]
async fn an_idle_turn_reads_plans_and_publishes_nothing_of_what_is_at_rest() {
    let room = many().await;
    let cost = some_turns(&room).await;
    assert_eq!((cost.read, cost.weighed, cost.published, cost.shown), (0, 0, 0, 0), "of {MANY} in {} turns", cost.turns);
}

#[tokio::test]
async fn a_change_of_one_wish_is_read_once_and_no_other_is_looked_at() {
    let room = many().await;
    let before = room.fleet.snapshot().counters;
    let one = named(&numbered(7));
    room.deploy_as(&one, |spec| spec.max_queue = 7).await;
    at_rest(&room).await;
    let cost = less(room.fleet.snapshot().counters, before);
    assert_eq!(cost.read, 1);
    assert!(cost.weighed <= 2 * cost.turns && cost.published <= 4 * cost.turns && cost.shown <= 4 * cost.turns, "{cost:?}");
    assert_eq!(room.board.table().deployments[&one].spec.max_queue, 7);
    assert_eq!(room.store.mark_deployment_deleting(&one).await.unwrap().map(|record| record.deleting), Some(true));
    room.fleet.poke();
    room.until(|seen| seen.deployments.len() == MANY - 1).await;
    room.until_true(|room| room.board.table().deployments.len() == MANY - 1).await;
}

#[tokio::test]
async fn an_instance_keeps_its_own_deployment_in_hand_and_no_other() {
    let room = many().await;
    let one = named(&numbered(9));
    let lease = room.lease_of(&one).await.unwrap();
    at_rest(&room).await;
    let cost = some_turns(&room).await;
    assert!(cost.read == 0 && cost.weighed >= cost.turns - 1 && cost.weighed <= 2 * cost.turns, "{cost:?}");
    drop(lease);
}

#[tokio::test]
async fn a_wish_that_somebody_else_took_out_of_the_database_and_put_back_is_a_new_one() {
    let room = many().await;
    let one = named(&numbered(3));
    let created = room.fleet.snapshot().deployments[&one].record.created_at;
    room.store.mark_deployment_deleting(&one).await.unwrap();
    room.store.remove_deployment(&one).await.ok(); // the fleet may have been there first
    room.until(|seen| !seen.deployments.contains_key(&one) || seen.deployments[&one].record.deleting).await;
    room.deploy_as(&one, |_| {}).await;
    let seen = room.until(|seen| seen.deployments.get(&one).is_some_and(|view| !view.record.deleting)).await;
    assert!(seen.deployments[&one].record.created_at >= created);
    at_rest(&room).await;
}

fn reason() -> Reason {
    Reason::new(ReasonCode::ModelMissing, "gone", "look for it")
}

/// One thing that may be otherwise with a wish.
fn vary(wish: &mut Wish, how: u8, now: Timestamp) {
    let replicas = &mut wish.record.spec.replicas;
    match how {
        0 => wish.demand.waiting = 1,
        1 => wish.demand.in_flight = 2,
        2 => wish.hand = Hand::Load,
        3 => wish.hand = Hand::Unload,
        4 => wish.resolve = Resolve::Pending,
        5 => wish.resolve = Resolve::Running,
        6 => wish.resolve = Resolve::Failed(reason(), now.plus(Duration::from_secs(7))),
        7 => wish.retry_at = Some(now.plus(Duration::from_secs(5))),
        8 => wish.failure = Some(reason()),
        9 => replicas.min = 1,
        10 => wish.record.spec.pinned = true,
        11 => wish.record.deleting = true,
        12 => replicas.target.concurrency = Some(2),
        13 => wish.wanted.note(2, now, Duration::from_secs(30)),
        14 => wish.rollout.phase = RolloutPhase::Progressing,
        15 => (wish.rollout.phase, wish.rollout.from) = (RolloutPhase::Progressing, Some(1)),
        16 => (wish.rollout.phase, wish.rollout.replicas) = (RolloutPhase::RolledBack, 2),
        17 => wish.stable = None,
        18 => wish.record.spec.max_queue = 3,
        19 => wish.memory = base::ByteSize::mib(3),
        20 => wish.load_ms = Some(9_000),
        _ => {}
    }
}

/// The deployments as they are shown.
fn shown(snapshot: &Snapshot) -> String {
    format!("{:?}", snapshot.deployments)
}

proptest! {
    #[test]
    fn what_is_at_rest_has_no_plan_and_looks_the_same_at_any_time(ways in prop::collection::vec(0_u8..24, 0..4), later in 0_u64..100_000) {
        let mut world = world(vec![wish("a", |wish| ways.iter().for_each(|how| vary(wish, *how, NOW)))], vec![]);
        let rests = world.wishes[&name("a")].is_at_rest();
        let (table, view) = (publish::table(&world, &Table::default(), &|_| None), shown(&snapshot::whole(&world)));
        world.now = NOW.plus(Duration::from_secs(later));
        if rests {
            prop_assert_eq!(serve(&world.wishes[&name("a")], &[], &world), vec![]);
            prop_assert!(publish::table(&world, &Table::default(), &|_| None).deployments == table.deployments);
            prop_assert_eq!(shown(&snapshot::whole(&world)), view);
        } else {
            prop_assert!(plan(&world) == serve(&world.wishes[&name("a")], &[], &world), "it is looked at");
        }
    }

    #[test]
    fn what_is_published_and_shown_bit_by_bit_is_what_would_be_published_and_shown_at_once(
        steps in prop::collection::vec((0_usize..4, 0_u8..34, 0_u64..8), 1..30),
    ) {
        let mut world = world((0..4).map(|number| wish(&numbered(number), |_| {})).collect(), vec![]);
        let (mut unpublished, mut unseen) = (Fresh::default(), Fresh::default());
        let (mut table, mut seen) = (Table::default(), Snapshot::default());
        for (which, how, seconds) in steps {
            world.now = world.now.plus(Duration::from_secs(seconds));
            step(&mut world, &numbered(which), how);
            let touched = world.wishes.take_touched();
            unpublished.touch(touched.iter().cloned());
            unseen.touch(touched);
            let active = world.active();
            let names = unpublished.take(&active);
            if let Some(next) = publish::renewed(&world, &active, &table, &names, &|_| None) {
                table = next;
            }
            let names = unseen.take(&active);
            seen = snapshot::snapshot(&world, &active, (&seen, &names), Counters::default());
            prop_assert!(table.deployments == publish::table(&world, &Table::default(), &|_| None).deployments);
            prop_assert_eq!(shown(&seen), shown(&snapshot::whole(&world)));
        }
    }
}

/// Something happens to one deployment.
fn step(world: &mut World, which: &str, how: u8) {
    let (id, now) = (InstanceId::new(format!("i-{which}")), world.now);
    match how {
        24 => drop(world.wishes.insert(name(which), wish(which, |_| {}))),
        25 => drop(world.wishes.remove(&name(which))),
        26 => drop(world.items.remove(&id)),
        27..=32 => {
            let phases = [Phase::Pending, Phase::Loading, Phase::Ready, Phase::Draining, Phase::Failed, Phase::Sleeping];
            let one = item(id.as_str(), which, phases[usize::from(how - 27)]);
            world.items.insert(id, one);
        }
        33 => {
            world.stopping = Some(now);
            world.wishes.touch_all();
        }
        _ => {
            if let Some(wish) = world.wishes.get_mut(&name(which)) {
                vary(wish, how, now);
            }
        }
    }
}

#[test]
fn an_entry_that_changes_keeps_what_it_shares_with_the_old_one() {
    let mut world = world(vec![wish("a", |_| {})], vec![]);
    let before = publish::table(&world, &Table::default(), &|_| None);
    world.items.insert(InstanceId::new("i"), item("i", "a", Phase::Ready));
    let after = publish::table(&world, &before, &|_| None);
    let (old, new) = (&before.deployments[&name("a")], &after.deployments[&name("a")]);
    assert!(!Arc::ptr_eq(old, new) && Arc::ptr_eq(&old.spec, &new.spec));
}
