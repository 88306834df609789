//! A store for the owner: the real one for every other test, and one in memory for the simulation, whose every call may go wrong.
//!
//! SQLite answers from threads of its own, when it likes; nothing that waits for it happens twice in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{ByteSize, Timestamp};
use futures_util::future::BoxFuture;
use spec::deployment::{Origin, Record};
use spec::{Allocation, AllocationId, Deployment, Event, InstanceId, Name, Operation, Revision, RolloutStatus};
use store::{Changes, Error, FootprintKey, Kept, Mark};

use super::play::Play;

/// In the owner's code this stands for the store.
#[derive(Clone)]
pub struct Store {
    real: store::Store,
    memory: Option<Arc<Memory>>,
}

impl From<store::Store> for Store {
    fn from(real: store::Store) -> Self {
        Self { real, memory: None }
    }
}

/// What the simulation has no part in is the real one's.
impl Deref for Store {
    type Target = store::Store;
    fn deref(&self) -> &store::Store {
        &self.real
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.real.fmt(f)
    }
}

impl Store {
    pub(super) fn in_memory(real: store::Store, memory: Arc<Memory>) -> Self {
        Self { real, memory: Some(memory) }
    }
    /// One in memory whose calls fail, each of them or none, as is said from outside.
    pub(crate) fn that_may_fail(real: store::Store) -> (Self, impl Fn(bool)) {
        let play = Play::of(0, false);
        let memory = Memory::of(Arc::clone(&play));
        (Self::in_memory(real, memory), move |fails| play.fails(fails))
    }
}

macro_rules! answers {
    ($($name:ident($($argument:ident: $type:ty),*) -> $out:ty;)*) => {
        impl Store {
            $(pub(crate) async fn $name(&self, $($argument: $type),*) -> Result<$out, Error> {
                let Some(memory) = &self.memory else { return self.real.$name($($argument),*).await };
                // Boxed, so that those who wait for it need not know what it borrows.
                let passes: BoxFuture<'_, _> = Box::pin(memory.play.through(stringify!($name), || memory.rows().$name($($argument),*)));
                passes.await.unwrap_or(Err(Error::Closed))
            })*
        }
    };
}

answers! {
    changes(since: Option<Mark>) -> Option<Changes>;
    get_deployment(name: &Name) -> Option<Record>;
    renew_deployment(name: &Name, expect: u64, cause: &str) -> Record;
    models_changed() -> u64;
    remove_deployment(name: &Name) -> bool;
    put_revision(name: &Name, revision: &Revision, cause: &str) -> ();
    get_revision(name: &Name, number: u64) -> Option<Revision>;
    put_rollout(name: &Name, status: &RolloutStatus) -> ();
    list_rollouts() -> Vec<(Name, RolloutStatus)>;
    next_fence() -> u64;
    put_instance(kept: &Kept) -> ();
    list_instances() -> Vec<Kept>;
    remove_instance(id: &InstanceId) -> bool;
    append_events(events: &[Event]) -> Vec<u64>;
    put_operation(operation: &Operation) -> ();
    list_operations(limit: u32) -> Vec<Operation>;
    put_allocation(allocation: &Allocation) -> ();
    list_allocations() -> Vec<Allocation>;
    remove_allocation(id: &AllocationId) -> bool;
    put_footprint(key: &FootprintKey, bytes: ByteSize) -> ();
    list_footprints() -> Vec<(FootprintKey, ByteSize)>;
}

/// What is stored, beyond every crash.
pub(super) struct Memory {
    play: Arc<Play>,
    rows: Mutex<Rows>,
}

impl Memory {
    pub(super) fn of(play: Arc<Play>) -> Arc<Self> {
        Arc::new(Self { play, rows: Mutex::default() })
    }
    /// What is in it; those who look at it themselves meet no fault.
    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the tables of the real one are.
#[derive(Debug, Default)]
pub(super) struct Rows {
    deployments: BTreeMap<Name, Record>,
    /// The count of the last change of each name, and whether it went.
    changed: BTreeMap<Name, i64>,
    revisions: BTreeMap<Name, BTreeMap<u64, Revision>>,
    rollouts: BTreeMap<Name, RolloutStatus>,
    instances: BTreeMap<InstanceId, Kept>,
    fence: u64,
    events: u64,
    /// Oldest first.
    operations: Vec<Operation>,
    /// With when each was first stored.
    allocations: BTreeMap<AllocationId, (Timestamp, Allocation)>,
    footprints: BTreeMap<FootprintKey, ByteSize>,
}

#[expect(clippy::unnecessary_wraps, reason = "they stand for calls that may fail")]
impl Rows {
    pub(super) fn put_deployment(&mut self, spec: &Deployment) -> Record {
        let now = Timestamp::now();
        let record = match self.deployments.get(&spec.name).cloned() {
            None => {
                let (spec, origin, cause) = (spec.clone(), Origin::Api, "the API".to_owned());
                Record { spec, generation: 1, origin, deleting: false, created_at: now, updated_at: now, cause }
            }
            Some(there) if there.spec == *spec => Record { deleting: false, ..there },
            Some(there) => {
                let (spec, generation, cause) = (spec.clone(), there.generation + 1, "the API".to_owned());
                Record { spec, generation, deleting: false, updated_at: now, cause, ..there }
            }
        };
        // What is written again as it was is no change.
        if self.deployments.insert(spec.name.clone(), record.clone()).as_ref() != Some(&record) {
            self.note_change(&spec.name);
        }
        record
    }
    fn note_change(&mut self, name: &Name) {
        let last = self.last_change();
        self.changed.insert(name.clone(), last + 1);
    }
    fn last_change(&self) -> i64 {
        self.changed.values().copied().max().unwrap_or(0)
    }
    fn changes(&self, since: Option<Mark>) -> Result<Option<Changes>, Error> {
        let mark = Mark { deployments: self.last_change(), routes: 0 };
        if since == Some(mark) {
            return Ok(None);
        }
        let after = since.map_or(-1, |since| since.deployments);
        let names = || self.changed.iter().filter(|(_, change)| **change > after).map(|(name, _)| name);
        let deployments = names().filter_map(|name| self.deployments.get(name)).cloned().collect();
        let gone = names().filter(|name| since.is_some() && !self.deployments.contains_key(*name)).cloned().collect();
        Ok(Some(Changes { mark, deployments, whole: since.is_none(), gone, routes: since.is_none().then(Vec::new) }))
    }
    pub(super) fn mark_deployment_deleting(&mut self, name: &Name) -> Result<Option<Record>, Error> {
        let Some(record) = self.deployments.get_mut(name) else { return Ok(None) };
        let is_new = !record.deleting;
        if is_new {
            (record.deleting, record.updated_at) = (true, Timestamp::now());
        }
        let record = record.clone();
        if is_new {
            self.note_change(name);
        }
        Ok(Some(record))
    }
    pub(super) fn get_deployment(&self, name: &Name) -> Result<Option<Record>, Error> {
        Ok(self.deployments.get(name).cloned())
    }
    fn renew_deployment(&mut self, name: &Name, expect: u64, cause: &str) -> Result<Record, Error> {
        let stale = |actual| Error::Stale { name: name.clone(), actual };
        let there = self.deployments.get_mut(name).ok_or(stale(0))?;
        if there.generation != expect || there.deleting {
            return Err(stale(there.generation));
        }
        (there.generation, there.updated_at, there.cause) = (expect + 1, Timestamp::now(), cause.to_owned());
        let record = there.clone();
        self.note_change(name);
        Ok(record)
    }
    /// No model has a name here.
    #[expect(clippy::unused_self, reason = "stands for the store's own")]
    fn models_changed(&self) -> Result<u64, Error> {
        Ok(0)
    }
    fn remove_deployment(&mut self, name: &Name) -> Result<bool, Error> {
        let gone = self.deployments.get(name).is_some_and(|record| record.deleting);
        if gone {
            self.deployments.remove(name);
            self.note_change(name);
            self.revisions.remove(name);
            self.rollouts.remove(name);
        }
        Ok(gone)
    }
    fn put_revision(&mut self, name: &Name, revision: &Revision, _: &str) -> Result<(), Error> {
        if !self.deployments.contains_key(name) {
            return Err(Error::NoDeployment(name.clone()));
        }
        let all = self.revisions.entry(name.clone()).or_default();
        all.insert(revision.number, revision.clone());
        let history = usize::try_from(revision.spec.rollout.revision_history).unwrap();
        let newest: BTreeSet<u64> = all.keys().rev().take(history).copied().collect();
        let runs = |number: u64| self.instances.values().any(|kept| kept.deployment == *name && kept.revision == number);
        let status = self.rollouts.get(name);
        let rolls = |number: u64| status.is_some_and(|status| status.to == number || status.stable() == Some(number));
        all.retain(|number, _| newest.contains(number) || runs(*number) || rolls(*number));
        Ok(())
    }
    fn get_revision(&self, name: &Name, number: u64) -> Result<Option<Revision>, Error> {
        Ok(self.revisions.get(name).and_then(|all| all.get(&number)).cloned())
    }
    fn put_rollout(&mut self, name: &Name, status: &RolloutStatus) -> Result<(), Error> {
        if !self.deployments.contains_key(name) {
            return Err(Error::NoDeployment(name.clone()));
        }
        self.rollouts.insert(name.clone(), status.clone());
        Ok(())
    }
    fn list_rollouts(&self) -> Result<Vec<(Name, RolloutStatus)>, Error> {
        Ok(self.rollouts.iter().map(|(name, status)| (name.clone(), status.clone())).collect())
    }
    fn next_fence(&mut self) -> Result<u64, Error> {
        self.fence += 1;
        Ok(self.fence)
    }
    fn put_instance(&mut self, kept: &Kept) -> Result<(), Error> {
        let created_at = self.instances.get(&kept.id).map_or(kept.created_at, |there| there.created_at);
        self.instances.insert(kept.id.clone(), Kept { created_at, ..kept.clone() });
        Ok(())
    }
    pub(super) fn list_instances(&self) -> Result<Vec<Kept>, Error> {
        let mut all: Vec<Kept> = self.instances.values().cloned().collect();
        all.sort_by_key(|kept| kept.fence);
        Ok(all)
    }
    fn remove_instance(&mut self, id: &InstanceId) -> Result<bool, Error> {
        Ok(self.instances.remove(id).is_some())
    }
    fn append_events(&mut self, events: &[Event]) -> Result<Vec<u64>, Error> {
        let first = self.events + 1;
        self.events += events.len() as u64;
        Ok((first..=self.events).collect())
    }
    fn put_operation(&mut self, operation: &Operation) -> Result<(), Error> {
        const KEPT: usize = 1_000;
        match self.operations.iter_mut().find(|there| there.id == operation.id) {
            Some(there) => *there = operation.clone(),
            None => self.operations.push(operation.clone()),
        }
        let over = self.operations.iter().filter(|operation| operation.state.is_over()).count();
        if over > KEPT {
            let oldest = self.operations.iter().position(|operation| operation.state.is_over());
            drop(oldest.map(|at| self.operations.remove(at)));
        }
        Ok(())
    }
    fn list_operations(&self, limit: u32) -> Result<Vec<Operation>, Error> {
        Ok(self.operations.iter().rev().take(usize::try_from(limit).unwrap()).cloned().collect())
    }
    fn put_allocation(&mut self, allocation: &Allocation) -> Result<(), Error> {
        let first = self.allocations.get(&allocation.id).map_or(allocation.created_at, |(first, _)| *first);
        self.allocations.insert(allocation.id.clone(), (first, allocation.clone()));
        Ok(())
    }
    pub(super) fn list_allocations(&self) -> Result<Vec<Allocation>, Error> {
        let mut all: Vec<&(Timestamp, Allocation)> = self.allocations.values().collect();
        all.sort_by_key(|(first, one)| (*first, &one.id));
        Ok(all.into_iter().map(|(_, one)| one.clone()).collect())
    }
    fn remove_allocation(&mut self, id: &AllocationId) -> Result<bool, Error> {
        Ok(self.allocations.remove(id).is_some())
    }
    fn put_footprint(&mut self, key: &FootprintKey, bytes: ByteSize) -> Result<(), Error> {
        let most = self.footprints.get(key).map_or(bytes, |there| bytes.max(*there));
        self.footprints.insert(key.clone(), most);
        Ok(())
    }
    fn list_footprints(&self) -> Result<Vec<(FootprintKey, ByteSize)>, Error> {
        Ok(self.footprints.iter().map(|(key, bytes)| (key.clone(), *bytes)).collect())
    }
}

mod contract;
