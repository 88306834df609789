//! How long memory is waited for that does not come back at once.

use std::time::Duration;

use base::ByteSize;
use spec::{Device, DeviceKind, Phase};

use super::*;
use crate::plan::{Action, plan};
use crate::tests::values::{NOW, item, room, wish, world};
use crate::world::{Health, Sight, Start};

const MIB: u64 = 1 << 20;

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// A card of which so much is used by nobody of ours.
fn used(mib: u64, now: Timestamp) -> World {
    let mut world = world(vec![], vec![]);
    world.room = room(1 << 40);
    world.room.nodes[0].devices.push(Device::new("cuda:0", DeviceKind::Cuda, ByteSize(1000 * MIB), ByteSize((1000 - mib) * MIB)));
    world.now = now;
    world
}

fn begun() -> Cleared {
    Cleared::begin(None, &Ledger::of(&used(100, NOW)), NOW)
}

fn is_awaited(cleared: &Cleared, mib: u64, at: u64) -> bool {
    cleared.is_returning(&Ledger::of(&used(mib, after(at))), after(at))
}

#[test]
fn what_is_all_back_is_not_waited_for_and_what_is_not_is_for_a_while() {
    let cleared = begun();
    assert!(is_awaited(&cleared, 100, 0), "what the device says settles first");
    assert!(!is_awaited(&cleared, 100, 1), "there is nothing to wait for");
    assert!(is_awaited(&cleared, 800, 9));
    assert!(!is_awaited(&cleared, 800, 10), "it does not come back");
}

#[test]
fn as_long_as_it_comes_back_piece_by_piece_it_is_waited_for() {
    let mut cleared = begun();
    for (at, mib) in [(1, 900), (8, 700), (16, 500), (24, 300)] {
        cleared.look(&Ledger::of(&used(mib, after(at))), after(at));
        assert!(is_awaited(&cleared, mib, at + 7), "{at}");
    }
    assert!(!is_awaited(&cleared, 300, 34));
}

#[test]
fn each_time_that_somebody_leaves_in_vain_the_next_waits_longer() {
    let ledger = Ledger::of(&used(800, after(10)));
    let second = Cleared::begin(Some(&begun()), &ledger, after(10));
    assert!(!is_awaited(&second, 800, 12), "what is lost is lost");
    assert!(is_awaited(&second, 1000, 29) && !is_awaited(&second, 1000, 30), "twenty seconds now");
    assert_eq!(Cleared::begin(Some(&second), &ledger, after(10)), second, "two who leave at once are one round");
}

#[test]
fn meanwhile_nobody_else_has_to_go() {
    let left = |cleared: Option<Cleared>, mib: u64, at: u64| {
        let waits =
            Item { start: Start::Pending, sight: Sight::Absent, health: Health::Unknown, cleared, ..item("p", "new", Phase::Placing) };
        let waits = Item { memory: ByteSize(80), ..waits };
        let other = Item { memory: ByteSize(80), ..item("o", "old", Phase::Ready) };
        let mut now = world(vec![wish("new", |w| w.demand.waiting = 1), wish("old", |_| {})], vec![other, waits]);
        now.room.nodes[0].devices.extend(used(mib, NOW).room.nodes.remove(0).devices.pop());
        now.now = after(at);
        plan(&now).iter().filter(|action| matches!(action, Action::Move(_, Phase::Draining, _))).count()
    };
    assert_eq!(left(None, 100, 60), 1);
    assert_eq!(left(Some(begun()), 800, 9), 0);
    assert_eq!(left(Some(begun()), 800, 60), 1);
}
