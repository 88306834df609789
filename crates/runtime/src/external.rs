//! Instances that run elsewhere: Penstock neither starts nor stops them, it only knows them.
//!
//! In: orders without a program. Out: the same, as running. Fails: on a lower fence, and for the log
//! of an instance that it does not know. Holds: one entry for each order, in memory only; after a
//! restart the fleet launches them again, which costs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::Timestamp;
use futures_util::StreamExt as _;
use spec::{InstanceId, Node, Order, Program, RuntimeKind, Seen, SeenState};
use tokio::sync::watch;

use crate::{Error, LogStream, LogsFrom, Runtime};

/// The external runtime.
#[derive(Debug)]
pub struct ExternalRuntime {
    known: Mutex<BTreeMap<InstanceId, Seen>>,
    changes: watch::Sender<u64>,
}

impl ExternalRuntime {
    /// One that knows nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { known: Mutex::default(), changes: watch::Sender::new(0) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Seen>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, order: &Order) -> Result<(), Error> {
        let mut known = self.known();
        if let Some(seen) = known.get_mut(&order.instance) {
            if order.fence < seen.order.fence {
                return Err(Error::Fenced { id: order.instance.clone(), given: order.fence, actual: seen.order.fence });
            }
            seen.order.fence = order.fence;
            return Ok(());
        }
        let (order, started_at) = (order.clone(), Timestamp::now());
        let seen = Seen { order, state: SeenState::Running, pid: None, started_at, resident: None, cpu: None, log_lines: 0 };
        known.insert(seen.order.instance.clone(), seen);
        Ok(())
    }

    fn tick(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

#[async_trait]
impl Runtime for ExternalRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::External
    }

    /// None: what runs elsewhere takes nothing of this machine.
    async fn capacity(&self) -> Result<Vec<Node>, Error> {
        Ok(Vec::new())
    }

    async fn list(&self) -> Result<Vec<Seen>, Error> {
        Ok(self.known().values().cloned().collect())
    }

    async fn launch(&self, order: &Order) -> Result<(), Error> {
        if order.program != Program::None {
            return Err(Error::Unsupported { runtime: "external", what: "a program; it only knows what runs elsewhere" });
        }
        self.enter(order)?;
        self.tick();
        Ok(())
    }

    async fn stop(&self, id: &InstanceId, _grace: Duration) -> Result<(), Error> {
        self.known().remove(id);
        self.tick();
        Ok(())
    }

    async fn logs(&self, id: &InstanceId, _from: LogsFrom) -> Result<LogStream, Error> {
        if self.known().contains_key(id) { Ok(futures_util::stream::empty().boxed()) } else { Err(Error::NotFound(id.clone())) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
