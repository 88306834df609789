//! What does a turn of the fleet cost with 10,000 deployments and 1,000 instances?
//!
//! In: a world of that size, in a real store and on a real board, under the real owner; its engines are 1,000 sightings and one socket that
//! answers all probes. Out: the time of whole turns, of their parts that grow with the world, and of publishing one change. How long a
//! turn took is what the owner itself counts. `cargo xtask bench fleet` reads these by their names.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{ByteSize, Secret, Timestamp, tasks};
use board::{Board, Entry, MemberUse, State, Table};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fleet::world::{Health, Item, Resolve, Room, Sight, Start, World};
use fleet::{Config, Counters, Fleet, Handle, Parts, observe, plan};
use registry::Registry;
use runtime::programs::Programs;
use runtime::{LogStream, LogsFrom, Runtime};
use spec::deployment::{Origin, Record};
use spec::{
    Deployment, Device, DeviceKind, Dialect, Endpoint, EngineKind, Grant, InstanceId, Name, Node, Order, Phase, Program, ReasonCode,
    Revision, RuntimeKind, Seen, SeenState, Share,
};
use store::{Kept, Store};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::sync::watch;

const DEPLOYMENTS: usize = 10_000;
const INSTANCES: usize = 1_000;
const EACH: ByteSize = ByteSize::mib(512);

fn name(number: usize) -> Name {
    Name::parse(&format!("model-{number}")).expect("a name")
}

/// A tenth of them are always to be there.
fn wanted(number: usize) -> Deployment {
    let mut spec = Deployment { engine: Some(EngineKind::Echo), ..Deployment::named(name(number)) };
    spec.replicas.min = u32::from(number < INSTANCES);
    spec
}

fn id(number: usize) -> InstanceId {
    InstanceId::new(format!("{number:016x}"))
}

fn grant() -> Grant {
    let share = Share { device: "ram".into(), kind: DeviceKind::Ram, bytes: EACH, layers: 0, engine_name: None };
    Grant { node: "here".into(), shares: vec![share] }
}

fn node() -> Node {
    let total = ByteSize(EACH.0 * INSTANCES as u64);
    Node { name: "here".into(), cores: 2, devices: vec![Device::new("ram", DeviceKind::Ram, total, ByteSize(0))] }
}

/// A thousand engines, as a runtime would show them.
struct Crowd {
    seen: Vec<Seen>,
    changes: watch::Sender<u64>,
}

impl Crowd {
    fn at(socket: &Path) -> Self {
        let seen = |number: usize| Seen {
            order: order(number, socket),
            state: SeenState::Running,
            pid: Some(1),
            started_at: Timestamp::from_millis(0),
            resident: Some(EACH),
            cpu: None,
            log_lines: 0,
        };
        Self { seen: (0..INSTANCES).map(seen).collect(), changes: watch::Sender::new(0) }
    }
}

fn order(number: usize, socket: &Path) -> Order {
    Order {
        instance: id(number),
        deployment: name(number),
        revision: 1,
        fence: 1,
        program: Program::Own,
        build: String::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        endpoint: Endpoint::Unix(socket.to_owned()),
        grace: Duration::from_secs(5),
        orphan_ttl: Duration::from_mins(1),
        log_bytes: ByteSize::mib(1),
        memory: EACH,
        slots: 1,
        grant: grant(),
    }
}

#[async_trait]
impl Runtime for Crowd {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }
    async fn capacity(&self) -> Result<Vec<Node>, runtime::Error> {
        Ok(vec![node()])
    }
    async fn list(&self) -> Result<Vec<Seen>, runtime::Error> {
        Ok(self.seen.clone())
    }
    async fn launch(&self, _: &Order) -> Result<(), runtime::Error> {
        Ok(())
    }
    async fn stop(&self, _: &InstanceId, _: Duration) -> Result<(), runtime::Error> {
        Ok(())
    }
    async fn logs(&self, _: &InstanceId, _: LogsFrom) -> Result<LogStream, runtime::Error> {
        Ok(Box::pin(futures_util::stream::empty()))
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Answers every probe.
fn answer(listener: UnixListener) {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    const LONGEST: usize = 4096;
    tasks::spawn("engines", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tasks::spawn("answer", async move {
                let mut asked = [0; LONGEST];
                let _ = stream.read(&mut asked).await; // one small request, in one piece
                let _ = stream.write_all(OK).await; // whoever asked may have left
            })
            .detach();
        }
    })
    .detach();
}

/// The whole engine room, with everything that it stands on.
struct House {
    threads: tokio::runtime::Runtime,
    store: Store,
    fleet: Handle,
    _task: tasks::Task,
    _folder: TempDir,
}

impl House {
    fn open() -> Self {
        let threads = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let folder = tempfile::tempdir().expect("a folder");
        let (store, fleet, task) = threads.block_on(open(folder.path().to_owned()));
        Self { threads, store, fleet, _task: task, _folder: folder }
    }

    fn counters(&self) -> Counters {
        self.fleet.snapshot().counters
    }

    /// Takes so many turns at least, and gives the counts after them.
    async fn turns(&self, wanted: u64) -> Counters {
        let (mut turns, begun) = (self.fleet.watch(), self.counters().turns);
        loop {
            let counters = turns.borrow_and_update().counters;
            if counters.turns >= begun + wanted {
                return counters;
            }
            self.fleet.poke();
            turns.changed().await.expect("the owner takes turns");
        }
    }

    /// The time of so many turns in which nothing happens.
    fn idle(&self, wanted: u64) -> Duration {
        let before = self.counters();
        let after = self.threads.block_on(self.turns(wanted));
        after.busy.saturating_sub(before.busy).mul_f64(ratio(wanted, after.turns - before.turns))
    }

    /// The turns that it takes until a changed wish is read, frozen, stored and shown; one idle turn more is in it. Of two that went by between two looks the
    /// longest is taken to be both together.
    fn change(&self, spec: &Deployment) -> Change {
        let before = self.counters();
        let mut longest = Duration::ZERO;
        let after = self.threads.block_on(async {
            let record = self.store.put_deployment(spec, Origin::Api, None).await.expect("a change");
            let (mut turns, mut last) = (self.fleet.watch(), before);
            self.fleet.poke();
            loop {
                let is_taken = {
                    let seen = turns.borrow_and_update();
                    longest = longest.max(seen.counters.busy.saturating_sub(last.busy));
                    last = seen.counters;
                    let view = &seen.deployments[&spec.name];
                    view.record.generation == record.generation && view.reason.as_ref().is_some_and(|why| why.code == ReasonCode::Idle)
                };
                if is_taken {
                    break self.turns(1).await;
                }
                turns.changed().await.expect("the owner takes turns");
            }
        });
        Change { all: after.busy.saturating_sub(before.busy), longest }
    }
}

/// What the turns of a changed wish took.
#[derive(Clone, Copy)]
struct Change {
    all: Duration,
    longest: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "few turns")]
fn ratio(of: u64, all: u64) -> f64 {
    of as f64 / all as f64
}

/// All wishes stored, a tenth of them in service, and what runs adopted.
async fn open(folder: PathBuf) -> (Store, Handle, tasks::Task) {
    let store = Store::open(folder.join("db")).await.expect("a store");
    for number in 0..DEPLOYMENTS {
        store.create_deployment(&wanted(number), Origin::Api).await.expect("a deployment");
    }
    for number in 0..INSTANCES {
        let (deployment, key, created_at) = (name(number), Secret::new("k"), Timestamp::now());
        let revision = Revision { number: 1, spec: wanted(number), version: None };
        store.put_revision(&deployment, &revision, "").await.expect("a revision");
        let kept = Kept { id: id(number), deployment, revision: 1, fence: 1, key, created_at };
        store.put_instance(&kept).await.expect("an instance");
    }
    let socket = folder.join("socket");
    answer(UnixListener::bind(&socket).expect("a socket"));
    let parts = Parts {
        registry: Registry::new(store.clone(), registry::Config { base_dir: folder.clone(), ..registry::Config::default() }),
        store: store.clone(),
        board: Board::new(),
        runtimes: vec![Arc::new(Crowd::at(&socket))],
        programs: Arc::new(Programs::new("/bin/true".into(), BTreeMap::default(), None, None)),
        secrets: Arc::new(|_| None),
        config: Config::new(&folder),
    };
    let (fleet, task) = Fleet::start(parts).await.expect("a fleet");
    let is_settled = |seen: &fleet::Snapshot| {
        let rests = |view: &fleet::DeploymentView| view.reason.as_ref().is_none_or(|why| why.code == ReasonCode::Idle);
        let ready = seen.instances.iter().filter(|instance| instance.phase == Phase::Ready).count();
        ready == INSTANCES && seen.deployments.values().all(|view| rests(view))
    };
    fleet.watch().wait_for(|seen| is_settled(seen)).await.expect("the owner takes turns");
    (store, fleet, task)
}

/// Whole turns, under the real owner.
fn turns(criterion: &mut Criterion) {
    let house = House::open();
    let mut group = criterion.benchmark_group("fleet");
    house.idle(4);
    let before = house.counters();
    group.bench_function("turn_idle", |bencher| bencher.iter_custom(|turns| house.idle(turns)));
    let after = house.counters();
    assert_eq!(after.read, before.read, "an idle turn reads no wish");
    let mut number = INSTANCES;
    let mut change = || {
        number += 1;
        let mut spec = wanted(INSTANCES + number % (DEPLOYMENTS - INSTANCES));
        spec.max_queue = u32::try_from(number).unwrap_or(1);
        house.change(&spec)
    };
    group.bench_function("turns_of_a_change", |bencher| bencher.iter_custom(|changes| (0..changes).map(|_| change().all).sum()));
    group.bench_function("longest_turn_of_a_change", |bencher| bencher.iter_custom(|changes| (0..changes).map(|_| change().longest).sum()));
    group.finish();
}

fn record(number: usize, now: Timestamp) -> Record {
    let spec = Deployment { engine: Some(EngineKind::Echo), ..Deployment::named(name(number)) };
    Record { spec, generation: 1, origin: Origin::Api, deleting: false, created_at: now, updated_at: now, cause: String::new() }
}

/// An instance that waits for room.
fn item(number: usize, now: Timestamp) -> Item {
    let revision = Revision { number: 1, spec: record(number, now).spec, version: None };
    Item { memory: EACH, ..fleet::new_item(id(number), Arc::new(revision), Secret::new("k"), now) }
}

/// One that serves.
fn ready(number: usize, now: Timestamp) -> Item {
    Item {
        phase: Phase::Ready,
        peak: EACH,
        grant: grant(),
        launched_at: Some(now),
        ready_at: Some(now),
        start: Start::Done,
        sight: Sight::Running { pid: Some(1), resident: Some(EACH) },
        seen_at: Some(now),
        health: Health::Up,
        used: MemberUse { last_used: Some(now), ..MemberUse::default() },
        ..item(number, now)
    }
}

/// All wishes frozen, a tenth of them in service; one more is asked for, and does not fit.
fn world() -> World {
    let now = Timestamp::now();
    let mut world = World { now, room: Room { nodes: vec![node()], ..Room::default() }, ..World::default() };
    observe::wishes(&mut world, (0..DEPLOYMENTS).map(|number| record(number, now)).collect());
    for wish in world.wishes.values_mut() {
        wish.resolve = Resolve::Done(Arc::new(Revision { number: 1, spec: wish.record.spec.clone(), version: None }));
    }
    world.items = (0..INSTANCES).map(|number| ready(number, now)).map(|item| (item.id.clone(), item)).collect();
    let waits = item(DEPLOYMENTS - 1, now);
    if let Some(wish) = world.wishes.get_mut(&waits.deployment) {
        wish.demand.waiting = 1;
    }
    world.items.insert(waits.id.clone(), waits);
    world
}

/// The parts of a turn that grow with the world.
fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fleet");
    let crowded = world();
    group.bench_function("plan_when_one_needs_room", |bencher| bencher.iter(|| plan::plan(&crowded)));
    let threads = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = threads.block_on(Store::open(folder.path().join("db"))).expect("a store");
    threads.block_on(async {
        for number in 0..DEPLOYMENTS {
            store.create_deployment(&wanted(number), Origin::Api).await.expect("a deployment");
        }
    });
    let all = || threads.block_on(store.changes(None)).expect("deployments").expect("all of them");
    group.bench_function("read_all_wishes", |bencher| bencher.iter(all));
    let mark = all().mark;
    group.bench_function("see_that_no_wish_has_changed", |bencher| bencher.iter(|| threads.block_on(store.changes(Some(mark)))));
    let mut world = World::default();
    group.bench_function("take_in_all_wishes", |bencher| {
        bencher.iter_batched(all, |changes| observe::changes(&mut world, changes), BatchSize::LargeInput);
    });
    group.finish();
}

fn entry(number: usize) -> Arc<Entry> {
    Arc::new(Entry {
        name: name(number),
        revision: 1,
        generation: 1,
        created: Timestamp::from_millis(0),
        spec: Arc::new(Deployment::named(name(number))),
        dialect: Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true },
        version: None,
        upstream_model: "m".into(),
        state: State::Ready,
        instances: Vec::new(),
        split: None,
        notice: None,
    })
}

/// All of it: a new table from the old one, the swap, and what becomes of the old one. Readers never wait: for them it is one pointer.
fn publishing(criterion: &mut Criterion) {
    let board = Board::new();
    board.publish(Table { deployments: (0..DEPLOYMENTS).map(|number| (name(number), entry(number))).collect(), ..Table::default() });
    let mut number = 0;
    let mut changed = || {
        number = (number + 1) % DEPLOYMENTS;
        (name(number), entry(number))
    };
    criterion.benchmark_group("fleet").bench_function("publish_one_change", |bencher| {
        let publish = |(name, entry)| {
            let mut table = Table::clone(&board.table());
            table.deployments.insert(name, entry);
            board.publish(table);
        };
        bencher.iter_batched(&mut changed, publish, BatchSize::SmallInput);
    });
}

criterion_group! {
    name = turn;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    targets = turns, parts, publishing
}
criterion_main!(turn);
