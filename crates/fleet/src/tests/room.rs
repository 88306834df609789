//! A room to try the fleet in: a real store and board, engines that are tasks of the test.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret};
use board::{Board, Lease, Wait};
use registry::Registry;
use runtime::Runtime;
use runtime::external::ExternalRuntime;
use runtime::programs::Programs;
use spec::deployment::Origin;
use spec::{Deployment, EngineKind, Event, Name, OperationId, OperationState, Phase};
use store::{EventQuery, Store};
use tempfile::TempDir;
use testkit::FakeRuntime;

use crate::{Config, Fleet, Handle, Parts, Snapshot};

pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Room {
    pub(super) dir: TempDir,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    pub(super) runtime: Arc<FakeRuntime>,
    pub(super) fleet: Handle,
    pub(super) task: base::tasks::Task,
}

pub(super) fn machine() -> Arc<FakeRuntime> {
    FakeRuntime::new(ByteSize::mib(100))
}

impl Room {
    pub(super) async fn open() -> Self {
        Self::with(machine(), TempDir::new().unwrap()).await
    }

    pub(super) async fn with(runtime: Arc<FakeRuntime>, dir: TempDir) -> Self {
        Self::within(None, runtime, dir).await.unwrap()
    }

    /// Ends as a crash would: engines and files stay as they are.
    pub(super) async fn crash(self) -> (Arc<FakeRuntime>, TempDir) {
        let Self { dir, store, runtime, task, fleet, .. } = self;
        drop((task, fleet));
        store.close().await;
        (runtime, dir)
    }

    pub(super) async fn within(budget: Option<ByteSize>, runtime: Arc<FakeRuntime>, dir: TempDir) -> Result<Self, crate::Error> {
        let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
        let board = Board::new();
        let parts = Parts {
            registry: Registry::new(
                store.clone(),
                registry::Config { models_dir: None, base_dir: dir.path().to_owned(), home: None, ..registry::Config::default() },
            ),
            store: store.clone().into(),
            board: Arc::clone(&board),
            runtimes: vec![Arc::clone(&runtime) as Arc<dyn Runtime>, ExternalRuntime::new()],
            programs: Arc::new(Programs::new(
                "/bin/true".into(),
                [(EngineKind::LlamaServer, dir.path().join("llama-server"))].into(),
                None,
                None,
            )),
            secrets: Arc::new(|from| (from == spec::KeyFrom::Variable("SET")).then(|| Secret::new("s"))),
            config: Config { tick: Duration::from_millis(50), budget, ..Config::new(dir.path()) },
        };
        let (fleet, task) = Fleet::start(parts).await?;
        Ok(Self { dir, store, board, runtime, fleet, task })
    }

    pub(super) async fn deploy(&self, change: impl FnOnce(&mut Deployment)) {
        self.deploy_as(&name(), change).await;
    }

    pub(super) async fn deploy_as(&self, name: &Name, change: impl FnOnce(&mut Deployment)) {
        let mut spec = Deployment::named(name.clone());
        spec.engine = Some(EngineKind::Echo);
        change(&mut spec);
        let generation = self.store.put_deployment(&spec, Origin::Api, None).await.unwrap().generation;
        self.fleet.poke();
        self.until(|seen| seen.deployments.get(name).is_some_and(|d| d.record.generation == generation)).await;
    }

    pub(super) async fn until(&self, mut what: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut watch = self.fleet.watch();
        let found = tokio::time::timeout(SOON, watch.wait_for(|seen| what(seen))).await;
        Arc::clone(&found.unwrap_or_else(|_| panic!("it did not come so far: {:#?}", self.fleet.snapshot())).unwrap())
    }

    /// Waits for something that the fleet does not show.
    pub(super) async fn until_true(&self, what: impl Fn(&Self) -> bool) {
        let looked = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(SOON, looked).await;
        found.unwrap_or_else(|_| panic!("it did not come so far: {:#?}", self.fleet.snapshot()));
    }

    pub(super) async fn lease(&self) -> Result<Lease, board::Error> {
        self.lease_of(&name()).await
    }

    pub(super) async fn lease_of(&self, name: &Name) -> Result<Lease, board::Error> {
        let wait = Wait { patience_ready: SOON, patience_cold: SOON, keep_alive: None, avoid: Vec::new() };
        self.board.lease(name, wait).await
    }

    pub(super) async fn ended(&self, id: &OperationId) -> (OperationState, Option<spec::Reason>) {
        let ended = async {
            loop {
                let operation = self.store.get_operation(id).await.unwrap().unwrap();
                if operation.state.is_over() {
                    return (operation.state, operation.reason);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, ended).await.expect("an operation ends")
    }

    /// The story, with what the turn that was seen last has told: it is shown before it is written.
    pub(super) async fn events(&self) -> Vec<Event> {
        let mut turns = self.fleet.watch();
        turns.mark_unchanged();
        self.fleet.poke();
        tokio::time::timeout(SOON, turns.changed()).await.expect("another turn").unwrap();
        self.store.list_events(EventQuery { limit: 500, ..EventQuery::default() }).await.unwrap()
    }
}

pub(super) fn name() -> Name {
    named("a")
}

pub(super) fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(super) fn phase(seen: &Snapshot) -> Option<Phase> {
    phase_of(seen, "a")
}

pub(super) fn phase_of(seen: &Snapshot, deployment: &str) -> Option<Phase> {
    seen.deployments.get(&named(deployment)).map(|d| d.phase)
}
