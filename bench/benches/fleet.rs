//! What does a turn of the fleet cost with 10,000 deployments and 1,000 instances?
//!
//! In: a world of that size, in a store and on a board. Out: the time of reading the wishes, of the plan, of
//! the board's swap: the parts of a turn that grow with the world.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret, Timestamp};
use board::{Board, Entry, MemberUse, State, Table};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fleet::pulse::Pulse;
use fleet::world::{Health, Item, Resolve, Room, Sight, Start, World};
use fleet::{observe, plan};
use spec::deployment::{Origin, Record};
use spec::{Deployment, Device, DeviceKind, Dialect, EngineKind, Grant, InstanceId, Name, Node, Phase, Revision, RuntimeKind, Share};
use store::Store;
use tokio::runtime::Builder;

const DEPLOYMENTS: usize = 10_000;
const INSTANCES: usize = 1_000;
const EACH: ByteSize = ByteSize::mib(512);

fn name(number: usize) -> Name {
    Name::parse(&format!("model-{number}")).expect("a name")
}

fn record(number: usize, now: Timestamp) -> Record {
    let spec = Deployment { engine: Some(EngineKind::Echo), ..Deployment::named(name(number)) };
    Record { spec, generation: 1, origin: Origin::Api, deleting: false, created_at: now, updated_at: now, cause: String::new() }
}

fn item(number: usize, now: Timestamp) -> Item {
    let spec = record(number, now).spec;
    let share = Share { device: "ram".into(), kind: DeviceKind::Ram, bytes: EACH, layers: 0, engine_name: None };
    Item {
        id: InstanceId::new(format!("{number:016x}")),
        deployment: spec.name.clone(),
        fence: 1,
        engine: EngineKind::Echo,
        runtime: RuntimeKind::Process,
        phase: Phase::Ready,
        since: now,
        reason: None,
        cause: spec::Cause::Unknown,
        memory: EACH,
        measured: false,
        peak: EACH,
        noted: EACH,
        build: String::new(),
        grant: Grant { node: "here".into(), shares: vec![share] },
        slots: 1,
        endpoint: None,
        key: Secret::new("k"),
        created_at: now,
        launched_at: Some(now),
        ready_at: Some(now),
        start: Start::Done,
        sight: Sight::Running { pid: Some(1), resident: Some(EACH) },
        seen_at: Some(now),
        health: Health::Up,
        used: MemberUse { last_used: Some(now), ..MemberUse::default() },
        pulse: Pulse::default(),
        progress_at: now,
        log_lines: 0,
        stop_asked: None,
        cleared_at: None,
        revision: Arc::new(Revision { number: 1, spec, version: None }),
    }
}

/// All wishes frozen, a tenth of them in service; one more is asked for, and does not fit.
fn world() -> World {
    let now = Timestamp::now();
    let total = ByteSize(EACH.0 * INSTANCES as u64);
    let ram = Device::new("ram", DeviceKind::Ram, total, ByteSize(0));
    let room = Room { nodes: vec![Node { name: "here".into(), cores: 2, devices: vec![ram] }], ..Room::default() };
    let mut world = World { now, room, ..World::default() };
    observe::wishes(&mut world, (0..DEPLOYMENTS).map(|number| record(number, now)).collect());
    for wish in world.wishes.values_mut() {
        wish.resolve = Resolve::Done(Arc::new(Revision { number: 1, spec: wish.record.spec.clone(), version: None }));
    }
    world.items = (0..INSTANCES).map(|number| item(number, now)).map(|item| (item.id.clone(), item)).collect();
    let waits = item(DEPLOYMENTS - 1, now);
    let waits = Item { phase: Phase::Pending, start: Start::Pending, sight: Sight::Absent, grant: Grant::default(), ..waits };
    if let Some(wish) = world.wishes.get_mut(&waits.deployment) {
        wish.demand.waiting = 1;
    }
    world.items.insert(waits.id.clone(), waits);
    world
}

fn planning(criterion: &mut Criterion) {
    let world = world();
    criterion.bench_function("plan 10,000 deployments, 1,000 instances and one that needs room", |bencher| {
        bencher.iter(|| plan::plan(&world));
    });
}

fn reading(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = runtime.block_on(Store::open(folder.path().join("db"))).expect("a store");
    runtime.block_on(async {
        for number in 0..DEPLOYMENTS {
            let spec = record(number, Timestamp::now()).spec;
            store.create_deployment(&spec, Origin::Api).await.expect("a deployment");
        }
    });
    let list = || runtime.block_on(store.list_deployments()).expect("deployments");
    criterion.bench_function("read 10,000 wishes from the store", |bencher| bencher.iter(list));
    let mut world = World::default();
    criterion.bench_function("take in 10,000 wishes", |bencher| {
        bencher.iter_batched(list, |records| observe::wishes(&mut world, records), BatchSize::LargeInput);
    });
}

fn entry(number: usize) -> Arc<Entry> {
    Arc::new(Entry {
        name: name(number),
        revision: 1,
        created: Timestamp::from_millis(0),
        spec: Arc::new(Deployment::named(name(number))),
        dialect: Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true },
        version: None,
        upstream_model: "m".into(),
        state: State::Ready,
        instances: Vec::new(),
        split: None,
    })
}

fn swapping(criterion: &mut Criterion) {
    let board = Board::new();
    let mut deployments: BTreeMap<_, _> = (0..DEPLOYMENTS).map(|number| (name(number), entry(number))).collect();
    board.publish(Table { deployments: deployments.clone(), ..Table::default() });
    let mut number = 0;
    let mut changed = || {
        number = (number + 1) % DEPLOYMENTS;
        deployments.insert(name(number), entry(number));
        Table { deployments: deployments.clone(), ..Table::default() }
    };
    criterion.bench_function("swap a board of 10,000 in which one has changed", |bencher| {
        bencher.iter_batched(&mut changed, |table| board.publish(table), BatchSize::LargeInput);
    });
}

criterion_group! {
    name = turn;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    targets = planning, reading, swapping
}
criterion_main!(turn);
