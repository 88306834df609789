//! What is said is what is done.

use std::collections::BTreeSet;
use std::time::Duration;

use base::ByteSize;
use board::MemberUse;
use spec::{InstanceId, Phase, Reason, ReasonCode};

use super::{Verdict, explain};
use crate::plan::{Action, plan};
use crate::room::give_room;
use crate::tests::values::{NOW, ago, item, name, wish, world};
use crate::world::{Hand, Health, Item, Resolve, Sight, Start, World};

/// It has been ready for an hour and has this much.
fn up(id: &str, deployment: &str, memory: u64) -> Item {
    let used = MemberUse { last_used: Some(ago(Duration::from_hours(1))), ..MemberUse::default() };
    let (early, memory) = (ago(Duration::from_hours(1)), ByteSize(memory));
    let sight = Sight::Running { pid: None, resident: Some(memory) };
    Item { memory, used, sight, since: early, ready_at: Some(early), launched_at: Some(early), ..item(id, deployment, Phase::Ready) }
}

fn asks(id: &str, deployment: &str, memory: u64) -> Item {
    Item {
        memory: ByteSize(memory),
        start: Start::Pending,
        sight: Sight::Absent,
        health: Health::Unknown,
        created_at: ago(Duration::from_millis(5)),
        ..item(id, deployment, Phase::Pending)
    }
}

fn called(deployment: &str) -> crate::world::Wish {
    wish(deployment, |wish| wish.demand.waiting = 1)
}

/// The room of a hundred, as the devices show it.
fn full(wishes: Vec<crate::world::Wish>, items: Vec<Item>) -> World {
    let mut world = world(wishes, items);
    let held: u64 = world.items.values().filter(|item| item.holds_memory()).map(|item| item.memory.0).sum();
    for device in world.room.nodes.iter_mut().flat_map(|node| &mut node.devices) {
        device.free = device.total.saturating_sub(ByteSize(held));
    }
    world
}

#[test]
fn who_would_leave_is_who_is_told_to() {
    let kept = |deployment: &str| wish(deployment, |wish| wish.record.spec.replicas.keep_alive = None);
    let world = full(vec![called("new"), kept("a"), kept("b")], vec![up("a1", "a", 60), up("b1", "b", 30), asks("n", "new", 50)]);
    let said = explain(&world, &name("new")).unwrap().next.unwrap();
    assert_eq!((said.verdict, said.memory), (Verdict::AfterOthers, ByteSize(50)));
    let told: BTreeSet<InstanceId> = plan(&world)
        .into_iter()
        .filter_map(|action| match action {
            Action::Move(id, Phase::Draining, _) => Some(id),
            _ => None,
        })
        .collect();
    let leave: BTreeSet<InstanceId> = said.leave.iter().map(|leaver| leaver.instance.clone()).collect();
    assert_eq!(leave, told);
    assert!(!leave.is_empty() && said.cost_ms > 0);
    assert_eq!(said.cost_ms, said.leave.iter().map(|leaver| leaver.reload_ms).sum::<u64>());
    let facts = &said.reason.as_ref().unwrap().facts;
    assert_eq!(facts["need_bytes"], spec::Fact::Number(50), "{facts:?}");
    let blocked = explain(&world, &name("new")).unwrap().blocked.unwrap();
    assert_eq!(blocked.code, ReasonCode::NoRoom);
}

#[test]
fn where_it_would_go_is_said_also_when_others_have_to_leave_first() {
    let world = full(vec![called("new"), wish("a", |_| {})], vec![up("a1", "a", 90), asks("n", "new", 50)]);
    let said = explain(&world, &name("new")).unwrap().next.unwrap();
    assert_eq!(said.grant.total(), ByteSize(50), "{said:?}");
}

#[test]
fn one_that_fits_says_where_and_the_deed_is_the_same() {
    let world = full(vec![called("new")], vec![asks("n", "new", 50)]);
    let said = explain(&world, &name("new")).unwrap();
    let Some(Action::Launch(_, grant)) = give_room(&world, &BTreeSet::new()).pop() else { panic!("it is started") };
    let next = said.next.unwrap();
    assert_eq!((next.verdict, next.grant, said.blocked), (Verdict::Fits, grant, None));
}

#[test]
fn what_never_fits_says_so_with_the_numbers_and_what_to_do() {
    let world = full(vec![called("new"), wish("a", |_| {})], vec![up("a1", "a", 60), asks("n", "new", 500)]);
    let said = explain(&world, &name("new")).unwrap().next.unwrap();
    assert_eq!((said.verdict, said.leave.len()), (Verdict::Never, 0), "nobody leaves for what can never fit");
    let reason = said.reason.unwrap();
    assert_eq!(reason.code, ReasonCode::DoesNotFit);
    assert_eq!((reason.fact("need_bytes").as_deref(), reason.fact("most_bytes").as_deref()), (Some("500"), Some("100")));
    assert!(!reason.remedy.is_empty());
}

#[test]
fn who_works_is_not_asked_and_when_it_may_be_is_said() {
    let busy = Item { used: MemberUse { in_flight: 1, last_used: Some(NOW), ..MemberUse::default() }, ..up("a1", "a", 90) };
    let just_up = Item { ready_at: Some(NOW), since: NOW, ..busy };
    let mut world = full(vec![called("new"), wish("a", |_| {})], vec![just_up, asks("n", "new", 50)]);
    world.room.patience = Duration::from_secs(30);
    let said = explain(&world, &name("new")).unwrap();
    let next = said.next.unwrap();
    assert_eq!((next.verdict, next.leave.len()), (Verdict::Waits, 0));
    assert!(next.again_at.is_some_and(|at| at > NOW) && said.again_at == next.again_at, "{next:?}");
}

#[test]
fn what_blocks_it_is_said_with_the_time_of_the_next_try() {
    let reason = || Reason::new(ReasonCode::ModelMissing, "gone", "bring it back");
    let at = NOW.plus(Duration::from_secs(9));
    let unread = world(vec![wish("a", |wish| wish.resolve = Resolve::Failed(reason(), at))], vec![]);
    let said = explain(&unread, &name("a")).unwrap();
    assert_eq!((said.blocked, said.again_at, said.next), (Some(reason()), Some(at), None));
    let failed = world(
        vec![wish("a", |wish| {
            wish.failure = Some(Reason::new(ReasonCode::EngineExited, "it ended", ""));
            wish.retry_at = Some(at);
        })],
        vec![],
    );
    let said = explain(&failed, &name("a")).unwrap();
    assert_eq!((said.blocked.map(|reason| reason.code), said.again_at), (Some(ReasonCode::EngineExited), Some(at)));
    let unloaded = world(vec![wish("a", |wish| wish.hand = Hand::Unload)], vec![]);
    assert_eq!(explain(&unloaded, &name("a")).unwrap().blocked.unwrap().code, ReasonCode::Unloaded);
    assert_eq!(explain(&unloaded, &name("nobody")), None);
}
