//! Ready instances and routes: the only thing that fleet and gateway share.
//!
//! Life of a lease: the fleet publishes a [`Table`] in one swap; a caller asks the [`Board`] for a
//! [`Lease`] on a deployment; its `lane` hands out a slot of the least busy member, or puts the
//! caller in line; a caller of something cold ticks [`Board::wanted`] so that the fleet starts it;
//! dropping the lease gives the slot to whoever is next. Nobody waits for the fleet to answer:
//! the board is memory, and the fleet writes to it when it has something to say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Timestamp;
use spec::{InstanceId, Name};
use tokio::sync::watch;

mod error;
mod lane;
mod lease;
mod table;

pub use error::Error;
pub use lease::Lease;
pub use table::{Entry, Member, State, Table};

use lane::Lane;

/// How long a model stays loaded after its last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// So long.
    For(Duration),
    /// Until somebody unloads it.
    Forever,
}

/// How long a caller is willing to wait, and what it wants to be true afterwards.
#[derive(Debug, Clone)]
pub struct Wait {
    /// In line for a slot of something that is ready.
    pub patience_ready: Duration,
    /// For something cold to come up. Each patience counts from when the caller came, or from when the
    /// deployment last became ready or ceased to be; both together are the most that anybody waits.
    pub patience_cold: Duration,
    /// Overrides the deployment's keep-alive until it is unloaded.
    pub keep_alive: Option<KeepAlive>,
    /// A member to pass over when there is another: the one that just failed this caller.
    pub avoid: Option<InstanceId>,
}

/// What callers want of one deployment now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Which deployment.
    pub deployment: Name,
    /// Callers in line.
    pub waiting: u32,
    /// Calls running.
    pub in_flight: u32,
    /// When a call last began or ended.
    pub last_used: Option<Timestamp>,
    /// The latest keep-alive that a caller asked for.
    pub keep_alive: Option<KeepAlive>,
}

/// How one member is used now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberUse {
    /// Calls running on it.
    pub in_flight: u32,
    /// When a call last began or ended on it.
    pub last_used: Option<Timestamp>,
}

/// The table of ready instances, and the lines in front of them.
#[derive(Debug)]
pub struct Board {
    view: ArcSwap<View>,
    pulse: Arc<Pulse>,
}

#[derive(Debug)]
struct View {
    table: Arc<Table>,
    lanes: HashMap<Name, Arc<Lane>>,
}

/// What the lanes share with the outside: something is wanted; so many calls run; whether callers may
/// still come, and whether somebody waits for members to become idle.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) wanted: watch::Sender<u64>,
    pub(crate) in_flight: watch::Sender<usize>,
    pub(crate) watch_for_idle: AtomicBool,
    pub(crate) closed: AtomicBool,
}

impl Board {
    /// An empty board.
    pub fn new() -> Arc<Self> {
        let view = View { table: Arc::default(), lanes: HashMap::new() };
        let pulse = Pulse {
            wanted: watch::Sender::new(0),
            in_flight: watch::Sender::new(0),
            watch_for_idle: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Arc::new(Self { view: ArcSwap::from_pointee(view), pulse: Arc::new(pulse) })
    }
    /// What is published now.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.view.load().table)
    }
    /// Publishes a new table in one swap and lets those in line go where there is room. Only the
    /// fleet's one owner task calls this.
    pub fn publish(&self, table: Table) {
        let old = self.view.load_full();
        let mut lanes = HashMap::with_capacity(table.deployments.len());
        let mut touched = Vec::new();
        for (name, entry) in &table.deployments {
            let lane = match old.lanes.get(name) {
                Some(lane) => Arc::clone(lane),
                None => Arc::new(Lane::new(Arc::clone(entry), Arc::clone(&self.pulse))),
            };
            if old.table.deployments.get(name).is_none_or(|before| !Arc::ptr_eq(before, entry)) {
                touched.push((Arc::clone(&lane), Some(Arc::clone(entry))));
            }
            lanes.insert(name.clone(), lane);
        }
        for (name, lane) in old.lanes.iter().filter(|(name, _)| !table.deployments.contains_key(*name)) {
            if old.table.deployments.contains_key(name) {
                touched.push((Arc::clone(lane), None));
            }
            // Its calls go on: the fleet must see them until the last one ends.
            if lane.is_busy() {
                lanes.insert(name.clone(), Arc::clone(lane));
            }
        }
        self.view.store(Arc::new(View { table: Arc::new(table), lanes }));
        for (lane, entry) in touched {
            lane.update(entry);
        }
    }
    /// A slot on a member of this deployment; waits in line as long as `wait` allows. Dropping the
    /// future leaves the line.
    pub async fn lease(&self, name: &Name, wait: Wait) -> Result<Lease, Error> {
        if self.pulse.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let lane = self.view.load().lanes.get(name).map(Arc::clone);
        match lane {
            Some(lane) => lane::lease(lane, wait).await,
            None => Err(Error::NotFound(name.clone())),
        }
    }
    /// No more leases; those in line are sent away. What runs goes on.
    pub fn close_admission(&self) {
        self.pulse.closed.store(true, Ordering::Release);
        for lane in self.view.load().lanes.values() {
            lane.send_away(|| Error::Closed);
        }
    }
    /// Calls running now.
    pub fn in_flight(&self) -> usize {
        *self.pulse.in_flight.borrow()
    }
    /// Waits until no call runs.
    pub async fn drained(&self) {
        let mut count = self.pulse.in_flight.subscribe();
        let _ = count.wait_for(|n| *n == 0).await; // the sender lives in self
    }
    /// What callers want, for every deployment that is published.
    pub fn demand(&self) -> Vec<Demand> {
        self.view.load().lanes.iter().map(|(name, lane)| lane.demand(name)).collect()
    }
    /// How one member is used.
    pub fn member_use(&self, deployment: &Name, id: &InstanceId) -> MemberUse {
        self.view.load().lanes.get(deployment).map(|lane| lane.member_use(id)).unwrap_or_default()
    }
    /// Takes the members that did not answer a caller since the last ask.
    pub fn take_suspects(&self) -> Vec<InstanceId> {
        self.view.load().lanes.values().flat_map(|lane| lane.take_suspects()).collect()
    }
    /// Sets a keep-alive until it is unloaded, as Ollama's clients do.
    pub fn note_keep_alive(&self, deployment: &Name, keep_alive: KeepAlive) {
        if let Some(lane) = self.view.load().lanes.get(deployment) {
            lane.note_keep_alive(keep_alive);
        }
    }
    /// Whether [`Board::wanted`] shall tick for every member that becomes idle: while something waits
    /// for room, that is the moment at which it may be made.
    pub fn watch_for_idle(&self, on: bool) {
        self.pulse.watch_for_idle.store(on, Ordering::Relaxed);
    }
    /// Ticks when the first caller in line needs something that the fleet can do: start what is not
    /// ready, or one more where there may be more; when a member failed a caller; and when a member
    /// has become idle that shall not stay, or whose room is waited for ([`Board::watch_for_idle`]).
    pub fn wanted(&self) -> watch::Receiver<u64> {
        self.pulse.wanted.subscribe()
    }
}

impl Pulse {
    pub(crate) fn want(&self) {
        self.wanted.send_modify(|n| *n = n.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;
