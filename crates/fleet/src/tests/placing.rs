//! Where instances go: by value, and by property against every device.

use base::ByteSize;
use engine::Needs;
use proptest::prelude::*;
use spec::{Allocation, AllocationId, Device, DeviceKind, Grant, Node, Phase, ReasonCode, RuntimeKind, Share};

use super::values::{NOW, item, room, wish, world};
use crate::leaving::Leaving;
use crate::ledger::Ledger;
use crate::place::{Fit, Need, grant, place};
use crate::plan::{Action, plan};
use crate::world::{Health, Item, Packing, Room, Sight, Start, World};

const LAYERS: usize = 10;

/// A model of ten layers of ten bytes; 5 beside them on each card, 2 once, 20 in main memory.
fn need() -> Need {
    let needs =
        Needs { host: ByteSize(20), layers: vec![ByteSize(10); LAYERS], copy: ByteSize(2), device: ByteSize(5), alone: ByteSize(0) };
    Need { memory: ByteSize(120), needs, gpu_layers: None, usable: vec![DeviceKind::Cuda, DeviceKind::Unified] }
}

fn cards(ram: u64, cards: &[u64]) -> Room {
    let mut devices = vec![Device::new("ram", DeviceKind::Ram, ByteSize(ram), ByteSize(ram))];
    devices.extend(
        cards
            .iter()
            .enumerate()
            .map(|(at, size)| Device::new(format!("cuda:GPU-{at}"), DeviceKind::Cuda, ByteSize(*size), ByteSize(*size))),
    );
    Room { nodes: vec![Node { name: "here".into(), cores: 2, devices }], ..Room::default() }
}

fn given(need: &Need, room: &Room) -> Grant {
    given_in(need, &World { room: room.clone(), ..world(vec![], vec![]) })
}

fn given_in(need: &Need, world: &World) -> Grant {
    let ledger = Ledger::of(world);
    match place(need, &ledger, world.room.packing) {
        Fit::Fits(way) => grant(&way, &ledger),
        other => panic!("{other:?}"),
    }
}

fn told(grant: &Grant) -> String {
    let share = |share: &Share| format!("{}={}/{}", share.device.trim_start_matches("cuda:GPU-"), share.bytes.0, share.layers);
    grant.shares.iter().map(share).collect::<Vec<_>>().join(" ")
}

fn holder(id: &str, device: &str, bytes: u64) -> Item {
    let kind = if device == "ram" { DeviceKind::Ram } else { DeviceKind::Cuda };
    let layers = u32::from(kind.is_card());
    let share = Share { device: device.into(), kind, bytes: ByteSize(bytes), layers, engine_name: None };
    let grant = Grant { node: "here".into(), shares: vec![share] };
    Item { memory: ByteSize(bytes), grant, ..item(id, id, Phase::Ready) }
}

#[test]
fn it_goes_on_one_card_else_on_several_else_as_much_as_goes_else_into_main_memory() {
    assert_eq!(told(&given(&need(), &cards(500, &[107, 500]))), "0=107/10 ram=20/0", "the one that is filled best");
    assert_eq!(told(&given(&need(), &cards(500, &[60, 65]))), "0=57/5 1=55/5 ram=20/0");
    assert_eq!(told(&given(&need(), &cards(500, &[40, 45]))), "1=37/3 0=35/3 ram=60/0");
    assert_eq!(told(&given(&need(), &cards(500, &[10]))), "ram=120/0");
    assert_eq!(told(&given(&need(), &cards(500, &[]))), "ram=120/0");
}

#[test]
fn the_layers_that_were_asked_for_are_there_or_it_does_not_fit() {
    let asked = |layers| Need { gpu_layers: Some(layers), ..need() };
    assert_eq!(told(&given(&asked(0), &cards(500, &[500]))), "ram=120/0");
    assert_eq!(told(&given(&asked(4), &cards(500, &[500]))), "0=47/4 ram=80/0");
    assert_eq!(told(&given(&asked(99), &cards(500, &[500]))), "0=107/10 ram=20/0");
    let ledger = Ledger::of(&World { room: cards(500, &[40]), ..world(vec![], vec![]) });
    assert_eq!(place(&asked(4), &ledger, Packing::Pack), Fit::Never { need: ByteSize(120), most: ByteSize(40) });
}

#[test]
fn spread_takes_the_emptiest_card() {
    let room = Room { packing: Packing::Spread, ..cards(500, &[110, 300, 200]) };
    assert_eq!(told(&given(&need(), &room)), "1=107/10 ram=20/0");
}

#[test]
fn memory_that_processor_and_card_share_is_counted_once_for_both() {
    let mut room = cards(0, &[]);
    room.nodes[0].devices = vec![Device::new("unified", DeviceKind::Unified, ByteSize(127), ByteSize(127))];
    assert_eq!(told(&given(&need(), &room)), "unified=127/10");
    room.nodes[0].devices[0] = Device::new("unified", DeviceKind::Unified, ByteSize(126), ByteSize(126));
    assert_eq!(told(&given(&need(), &room)), "unified=120/0", "with all layers on the card it would need one byte more");
}

#[test]
fn fit_says_what_is_missing_and_what_can_never_fit() {
    let of = |held: u64, margin: u64, free: u64, need: u64| {
        let mut room = Room { margin: ByteSize(margin), ..room(100) };
        room.nodes[0].devices[0].free = ByteSize(free);
        let world = World { room, ..world(vec![], vec![holder("h", "ram", held)]) };
        place(&Need::host(ByteSize(need)), &Ledger::of(&world), Packing::Pack)
    };
    assert!(matches!(of(40, 10, 100, 50), Fit::Fits(_)));
    assert!(matches!(of(60, 10, 100, 50), Fit::NoRoom { missing: ByteSize(20), of: ByteSize(90), .. }));
    assert_eq!(of(0, 10, 100, 91), Fit::Never { need: ByteSize(91), most: ByteSize(90) });
    assert!(matches!(of(30, 10, 60, 50), Fit::NoRoom { missing: ByteSize(30), .. }), "30 of the 60 free bytes are promised, 10 stay free");
    assert!(matches!(of(0, 0, 30, 50), Fit::NoRoom { missing: ByteSize(20), .. }), "strangers have 70, and may give them back");
}

#[test]
fn the_budget_holds_over_all_devices_together() {
    let mut room = cards(500, &[500]);
    room.budget = Some(ByteSize(127));
    assert_eq!(told(&given(&need(), &room)), "0=107/10 ram=20/0");
    room.budget = Some(ByteSize(126));
    assert_eq!(told(&given(&need(), &room)), "ram=120/0", "a layer less on the card would save nothing");
}

#[test]
fn nobody_leaves_a_card_to_one_that_fits_on_several_as_it_is() {
    let with = |others: u64| {
        let items = vec![holder("h", "cuda:GPU-0", 80), holder("i", "cuda:GPU-1", others), holder("j", "cuda:GPU-2", others)];
        let mut room = cards(500, &[110, 110, 110]);
        for (card, used) in room.nodes[0].devices.iter_mut().skip(1).zip([80, others, others]) {
            card.free = ByteSize(110 - used);
        }
        World { room, ..world(vec![wish("h", |_| {}), wish("i", |_| {}), wish("j", |_| {})], items) }
    };
    assert_eq!(told(&given_in(&need(), &with(40))), "1=67/6 2=45/4 ram=20/0");
    let ledger = Ledger::of(&with(60));
    let three = given_in(&need(), &with(60));
    assert_eq!(three.gpus().count(), 3, "{three:?}");
    assert!(matches!(place(&Need { gpu_layers: Some(99), ..need() }, &ledger, Packing::Pack), Fit::Fits(_)));
    let Fit::NoRoom { ways, .. } = place(&need(), &Ledger::of(&with(80)), Packing::Pack) else { panic!("not all of it fits") };
    assert_eq!(ways.len(), 3, "a card for itself, whichever: a part of it on cards would be less");
}

#[test]
fn a_pinned_model_in_the_way_is_worked_around_and_one_that_may_leave_is_not() {
    let with = |pinned: bool| {
        let wishes = vec![wish("h", |w| w.record.spec.pinned = pinned)];
        World { room: cards(500, &[110]), ..world(wishes, vec![holder("h", "cuda:GPU-0", 80)]) }
    };
    assert_eq!(told(&given_in(&need(), &with(true))), "0=27/2 ram=100/0", "as many layers as go");
    let ledger = Ledger::of(&with(false));
    let Fit::NoRoom { missing, ways, .. } = place(&need(), &ledger, Packing::Pack) else { panic!("it waits for the card") };
    assert_eq!((missing, ways.len()), (ByteSize(77), 1));
}

#[test]
fn what_strangers_use_and_what_was_set_aside_for_them_is_not_given_away_and_not_counted_twice() {
    let of = |free: u64, before: Option<u64>| {
        let mut room = room(100);
        room.nodes[0].devices[0].free = ByteSize(free);
        let allocation = |foreign| Allocation {
            id: AllocationId::new("a"),
            node: "here".into(),
            device: "ram".into(),
            bytes: ByteSize(40),
            holder: "training".into(),
            expires_at: None,
            created_at: NOW,
            foreign: ByteSize(foreign),
        };
        room.allocations = before.map(allocation).into_iter().collect();
        Ledger::of(&World { room, ..world(vec![], vec![]) }).now[0]
    };
    assert_eq!((of(100, None), of(70, None)), (100, 70));
    assert_eq!(of(100, Some(0)), 60, "not taken yet");
    assert_eq!(of(80, Some(0)), 60, "half of it is taken");
    assert_eq!(of(60, Some(0)), 60, "all of it is taken");
    assert_eq!(of(80, Some(20)), 40, "others had 20 before");
    assert_eq!(of(50, Some(0)), 50, "more than was set aside is taken");
}

#[test]
fn an_engine_that_belongs_to_no_instance_any_more_keeps_what_it_was_given_until_it_has_ended() {
    let leaving = |resident: u64| {
        let Item { id, deployment, grant, .. } = holder("old", "ram", resident.max(30));
        Leaving { id, deployment, runtime: RuntimeKind::Process, grant, pid: Some(1), resident: ByteSize(resident) }
    };
    let of = |free: u64, leaving: Vec<Leaving>| {
        let mut room = room(100);
        room.nodes[0].devices[0].free = ByteSize(free);
        let ledger = Ledger::of(&World { leaving, room, ..world(vec![], vec![]) });
        (ledger.now[0], ledger.later[0], ledger.lines[0].foreign.0)
    };
    assert_eq!(of(70, vec![leaving(30)]), (70, 100, 0), "it has all of it, and will leave");
    assert_eq!(of(90, vec![leaving(10)]), (70, 100, 0), "it may still take the rest");
    assert_eq!(of(50, vec![leaving(30)]), (50, 80, 20), "somebody else has 20");
    // Nobody has to leave for what comes back by itself.
    let mut room = room(100);
    room.nodes[0].devices[0].free = ByteSize(10);
    let idle = Item { sight: Sight::Running { pid: Some(2), resident: Some(ByteSize(60)) }, ..holder("idle", "ram", 60) };
    let asks = Item { start: Start::Pending, sight: Sight::Absent, health: Health::Unknown, ..item("asks", "asks", Phase::Pending) };
    let wishes = vec![wish("idle", |_| {}), wish("asks", |wish| wish.demand.waiting = 1)];
    let mut world = World { room, ..world(wishes, vec![idle, asks]) };
    let drains = |world: &World| plan(world).iter().any(|action| matches!(action, Action::Move(_, Phase::Draining, _)));
    assert!(drains(&world), "the idle one makes room");
    world.leaving = vec![leaving(30)];
    assert!(!drains(&world), "what is on its way out makes room");
}

#[test]
fn what_a_card_shows_of_an_engine_that_loads_is_not_promised_any_more() {
    let loading = |uses: Vec<spec::Use>| {
        let mut room = cards(100, &[100]);
        room.nodes[0].devices[1].free = ByteSize(70);
        room.nodes[0].devices[1].uses = uses;
        let rising = Item { phase: Phase::Loading, ready_at: None, ..holder("h", "cuda:GPU-0", 50) };
        Ledger::of(&World { room, ..world(vec![], vec![rising]) }).now[1]
    };
    assert_eq!(loading(vec![]), 20, "the 30 that are used may be a stranger's");
    assert_eq!(loading(vec![spec::Use { pid: 1, bytes: ByteSize(30) }]), 50, "they are its own");
}

#[test]
fn an_instance_whose_card_is_gone_fails_with_that_reason_unless_it_answers_all_the_same() {
    let with = |phase, health| {
        let world = World { room: cards(500, &[]), ..world(vec![wish("h", |w| w.record.spec.pinned = true)], vec![]) };
        let item = Item { phase, health, ..holder("h", "cuda:GPU-0", 80) };
        plan(&World { items: std::iter::once((item.id.clone(), item)).collect(), ..world })
    };
    assert_eq!(with(Phase::Ready, Health::Up), vec![]);
    for (phase, health) in [(Phase::Loading, Health::Loading), (Phase::Ready, Health::Down("no answer".into(), NOW))] {
        let actions = with(phase, health);
        assert!(matches!(&actions[..], [Action::Fail(_, reason), ..] if reason.code == ReasonCode::DeviceLost), "{actions:?}");
    }
}

#[test]
fn a_turn_over_a_thousand_instances_is_quick() {
    let room = Room { patience: std::time::Duration::ZERO, ..cards(1_000 * (600 << 20), &[]) };
    let names: Vec<String> = (0..1_000).map(|at| format!("m{at:04}")).collect();
    let items: Vec<Item> = names.iter().zip(1_u64..).map(|(name, at)| holder(name, "ram", (600 << 20) - at * 4096)).collect();
    let asks = wish("next", |w| w.demand.waiting = 1);
    let mut all = World { room, ..world(names.iter().map(|name| wish(name, |_| {})).chain([asks]).collect(), items) };
    let next = Item {
        memory: ByteSize(70 << 30),
        start: Start::Pending,
        sight: Sight::Absent,
        health: Health::Unknown,
        ..item("next", "next", Phase::Pending)
    };
    all.items.insert(next.id.clone(), next);
    let begun = std::time::Instant::now();
    let actions = crate::room::give_room(&all, &std::collections::BTreeSet::new());
    let took = begun.elapsed();
    assert!(actions.len() > 110, "{actions:?}");
    println!("{took:?} for {} decisions", actions.len());
    assert!(took < std::time::Duration::from_millis(500), "{took:?}; in a build for users it is some ten times faster");
}

fn machine() -> impl Strategy<Value = (Room, u64)> {
    let card = (20_u64..200, 0_u64..100);
    let shape =
        (proptest::collection::vec(card, 0..5), 50_u64..300, 0_u64..100, 0_u64..20, proptest::option::of(50_u64..600), any::<bool>());
    shape.prop_map(|(sizes, ram, used, margin, budget, spread)| {
        let mut room = cards(ram, &sizes.iter().map(|(size, _)| *size).collect::<Vec<_>>());
        room.nodes[0].devices[0].free = ByteSize(ram.saturating_sub(used));
        for (device, (size, used)) in room.nodes[0].devices.iter_mut().skip(1).zip(&sizes) {
            device.free = ByteSize(size.saturating_sub(*used));
        }
        (room.margin, room.budget) = (ByteSize(margin), budget.map(ByteSize));
        room.packing = if spread { Packing::Spread } else { Packing::Pack };
        (room, margin)
    })
}

fn model() -> impl Strategy<Value = Need> {
    let shape = (0_u64..40, proptest::collection::vec(1_u64..30, 0..12), 0_u64..5, 0_u64..10, proptest::option::of(0_u32..14));
    shape.prop_map(|(host, layers, copy, device, gpu_layers)| {
        let layers: Vec<ByteSize> = layers.into_iter().map(ByteSize).collect();
        let memory = ByteSize(host) + layers.iter().copied().sum();
        let needs = Needs { host: ByteSize(host), layers, copy: ByteSize(copy), device: ByteSize(device), alone: ByteSize(0) };
        Need { memory, needs, gpu_layers, usable: vec![DeviceKind::Cuda] }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    /// One after the other is placed; then everything is added up anew, device by device, from what was given.
    #[test]
    fn no_device_is_ever_given_away_twice((room, margin) in machine(), models in proptest::collection::vec(model(), 1..8)) {
        let mut world = World { room, ..world(vec![], vec![]) };
        for (at, need) in models.iter().enumerate().filter(|(_, need)| need.memory > ByteSize(0)) {
            let ledger = Ledger::of(&world);
            let Fit::Fits(way) = place(need, &ledger, world.room.packing) else { continue };
            let grant = grant(&way, &ledger);
            let layers: u32 = grant.gpus().map(|share| share.layers).sum();
            let all = u32::try_from(need.needs.layers.len()).unwrap();
            prop_assert!(need.gpu_layers.is_none_or(|asked| layers == asked.min(all) || !ledger.lines.iter().any(|line| line.device.kind.is_card())));
            let cards = u64::try_from(grant.gpus().count()).unwrap();
            let spread = need.needs.devices_with(layers as usize, cards) + need.needs.host_with(layers as usize);
            prop_assert_eq!(grant.total(), spread, "what the engine takes is what was given");
            let id = format!("i{at}");
            let rising = Item { phase: Phase::Starting, ready_at: None, memory: grant.total(), grant, ..item(&id, &id, Phase::Starting) };
            world.items.insert(rising.id.clone(), rising);
        }
        for device in &world.room.nodes[0].devices {
            let held: u64 = world.items.values().map(|item| item.grant.of("here", &device.id).0).sum();
            prop_assert!(held == 0 || held + margin <= device.free.0, "{held} of {device:?}");
        }
        let all: u64 = world.items.values().map(|item| item.memory.0).sum();
        prop_assert!(all == 0 || world.room.budget.is_none_or(|budget| all + margin <= budget.0));
    }
}
