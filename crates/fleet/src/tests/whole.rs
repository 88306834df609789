//! The engine room with a real store and board, and engines that are tasks of the test.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret};
use board::{Board, Lease, Wait};
use registry::Registry;
use runtime::Runtime;
use runtime::external::ExternalRuntime;
use runtime::programs::Programs;
use spec::deployment::Origin;
use spec::{Deployment, EngineKind, EventKind, Name, OperationState, Phase, ReasonCode};
use store::{EventQuery, Store};
use tempfile::TempDir;
use testkit::{FakeRuntime, Script};

use crate::{Config, Fleet, Handle, Parts, Snapshot, StopHow};

const SOON: Duration = Duration::from_secs(20);

struct Room {
    dir: TempDir,
    store: Store,
    board: Arc<Board>,
    runtime: Arc<FakeRuntime>,
    fleet: Handle,
    task: base::tasks::Task,
}

impl Room {
    async fn open() -> Self {
        Self::with(FakeRuntime::new(ByteSize::mib(100)), TempDir::new().unwrap()).await
    }

    async fn with(runtime: Arc<FakeRuntime>, dir: TempDir) -> Self {
        let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
        let board = Board::new();
        let parts = Parts {
            registry: Registry::new(store.clone(), registry::Config { models_dir: None, base_dir: dir.path().to_owned(), home: None }),
            store: store.clone(),
            board: Arc::clone(&board),
            runtimes: vec![Arc::clone(&runtime) as Arc<dyn Runtime>, ExternalRuntime::new()],
            programs: Arc::new(Programs::new("/bin/true".into(), std::collections::BTreeMap::default(), None, None)),
            secrets: Arc::new(|name| (name == "SET").then(|| Secret::new("s"))),
            config: Config { tick: Duration::from_millis(50), ..Config::new(dir.path()) },
        };
        let (fleet, task) = Fleet::start(parts).await.unwrap();
        Self { dir, store, board, runtime, fleet, task }
    }

    async fn deploy(&self, change: impl FnOnce(&mut Deployment)) {
        let mut spec = Deployment::named(name());
        spec.engine = Some(EngineKind::Echo);
        change(&mut spec);
        self.store.put_deployment(&spec, Origin::Api, None).await.unwrap();
        self.fleet.poke();
        let generation = self.store.get_deployment(&name()).await.unwrap().unwrap().generation;
        self.until(|seen| seen.deployments.get(&name()).is_some_and(|d| d.record.generation == generation)).await;
    }

    async fn until(&self, mut what: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut watch = self.fleet.watch();
        let found = tokio::time::timeout(SOON, watch.wait_for(|seen| what(seen))).await;
        Arc::clone(&found.unwrap_or_else(|_| panic!("it did not come so far: {:#?}", self.fleet.snapshot())).unwrap())
    }

    async fn lease(&self) -> Result<Lease, board::Error> {
        let wait = Wait { patience_ready: SOON, patience_cold: SOON, keep_alive: None, avoid: None };
        self.board.lease(&name(), wait).await
    }
}

fn name() -> Name {
    Name::parse("a").unwrap()
}

fn phase(seen: &Snapshot) -> Option<Phase> {
    seen.deployments.get(&name()).map(|d| d.phase)
}

#[tokio::test]
async fn the_first_call_starts_it_once_for_all_callers() {
    let room = Room::open().await;
    room.runtime.script(Script { load: Duration::from_millis(50), ..Script::default() });
    room.deploy(|d| d.parallel = Some(64)).await;
    assert!(room.runtime.launches().is_empty());
    let leases = futures_util::future::join_all((0..50).map(|_| room.lease())).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(room.runtime.launches().len(), 1);
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let events = room.store.list_events(EventQuery { limit: 100, ..EventQuery::default() }).await.unwrap();
    let walked: Vec<Phase> = events.iter().filter_map(|event| event.phase.map(|(_, to)| to)).collect();
    assert_eq!(walked, [Phase::Starting, Phase::Loading, Phase::Warming, Phase::Ready]);
}

#[tokio::test]
async fn an_idle_instance_leaves_after_its_keep_alive_and_comes_back_on_demand() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.keep_alive = Some(Duration::from_millis(100))).await;
    drop(room.lease().await.unwrap());
    room.until(|seen| seen.instances.is_empty()).await;
    assert_eq!(room.runtime.alive(), 0);
    assert!(room.store.list_instances().await.unwrap().is_empty());
    drop(room.lease().await.unwrap());
    assert_eq!(room.runtime.launches().len(), 2);
}

#[tokio::test]
async fn a_minimum_is_started_unasked_and_replaced_when_it_dies() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let first = seen.instances[0].id.clone();
    room.runtime.crash(&first);
    room.until(|seen| seen.instances.iter().any(|i| i.id != first && i.phase == Phase::Ready)).await;
    assert_eq!(room.runtime.alive(), 1);
}

#[tokio::test]
async fn an_engine_that_refuses_answers_its_callers_with_its_words() {
    let room = Room::open().await;
    room.runtime.script(Script { refuse: Some((1, "error: failed to load model".into())), ..Script::default() });
    room.deploy(|_| {}).await;
    let error = room.lease().await.unwrap_err();
    let board::Error::Down { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason.code, ReasonCode::EngineRejected);
    assert!(reason.message.contains("failed to load model"), "{}", reason.message);
}

#[tokio::test]
async fn a_deletion_drains_stops_and_forgets() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let lease = room.lease().await.unwrap();
    room.store.mark_deployment_deleting(&name()).await.unwrap();
    room.fleet.poke();
    room.until(|seen| phase(seen) == Some(Phase::Draining)).await;
    assert!(matches!(room.lease().await.unwrap_err(), board::Error::NotFound(_)));
    assert_eq!(room.runtime.alive(), 1, "the call goes on");
    drop(lease);
    room.until(|seen| seen.deployments.is_empty() && seen.instances.is_empty()).await;
    assert_eq!(room.runtime.alive(), 0);
    assert!(room.store.list_deployments().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_changed_wish_moves_to_a_new_instance_and_leaves_nothing_behind() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    room.deploy(|d| {
        d.replicas.min = 1;
        d.parallel = Some(3);
    })
    .await;
    let seen =
        room.until(|seen| seen.instances.len() == 1 && seen.instances[0].revision == 2 && seen.instances[0].phase == Phase::Ready).await;
    assert_eq!(seen.instances[0].slots, 3);
    assert_eq!(room.runtime.alive(), 1);
}

#[tokio::test]
async fn what_ran_before_is_taken_over_and_what_nobody_wants_is_ended() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let before = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    let Room { dir, store, runtime, task, fleet, .. } = room;
    drop((task, fleet)); // as a crash would
    let mut stray = runtime.launches()[0].clone();
    stray.instance = spec::InstanceId::new("stray");
    stray.endpoint = spec::Endpoint::Unix(dir.path().join("stray.sock"));
    runtime.launch(&stray).await.unwrap();
    store.close().await;
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    assert_eq!(seen.instances[0].id, before);
    assert_eq!(room.runtime.launches().len(), 2, "nothing was started twice");
    let told = async {
        while room.runtime.alive() != 1 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap();
    let events = room.store.list_events(EventQuery { limit: 100, ..EventQuery::default() }).await.unwrap();
    assert!(events.iter().any(|event| event.kind == EventKind::InstanceAdopted));
    assert!(events.iter().any(|event| event.kind == EventKind::InstanceOrphaned));
}

#[tokio::test]
async fn load_and_unload_by_hand_are_operations_that_end() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let unload = room.fleet.unload(&name()).await.unwrap();
    room.until(|seen| seen.instances.is_empty()).await;
    for id in [load, unload] {
        let ended = async {
            while room.store.get_operation(&id).await.unwrap().unwrap().state != OperationState::Succeeded {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, ended).await.unwrap();
    }
    assert!(room.fleet.load(&Name::parse("nobody").unwrap()).await.is_err());
}

#[tokio::test]
async fn a_remote_engine_that_does_not_answer_or_lacks_its_key_says_so() {
    let room = Room::open().await;
    let remote = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        move |d: &mut Deployment| {
            d.engine = Some(EngineKind::Openai);
            d.url = Some("http://127.0.0.1:9/v1".into());
            d.api_key_env = key;
        }
    };
    room.deploy(remote(Some("UNSET"))).await;
    let down = |seen: &Snapshot| seen.deployments[&name()].reason.as_ref().map(|reason| reason.code);
    room.until(|seen| down(seen) == Some(ReasonCode::KeyMissing)).await;
    room.deploy(remote(Some("SET"))).await;
    let error = room.lease().await.unwrap_err();
    assert!(matches!(&error, board::Error::Down { reason, .. } if reason.code == ReasonCode::RemoteUnreachable), "{error}");
}

#[tokio::test]
async fn stopping_ends_every_engine_unless_they_are_to_be_adopted() {
    for adopt in [false, true] {
        let room = Room::open().await;
        room.deploy(|d| d.replicas.min = 1).await;
        room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
        room.fleet.stop(StopHow { adopt, grace: SOON }).await;
        assert_eq!(room.runtime.alive(), usize::from(adopt));
    }
}
