//! Ready instances and routes: the only thing that fleet and gateway share.
//!
//! Life of a lease: the fleet publishes a [`Table`], a [`Shelf`] of entries, in one `swap`; a caller's [`Search`] finds what is
//! behind a public name, a deployment or a `route` over several, and goes on to fallbacks when that cannot
//! serve; the deployment's `lane` hands out a slot of one of its `seats`, or puts the caller in `line`,
//! where it is `standing` until one comes free; which one is a matter of load and shares (`pick`), of two revisions beside each other (`split`), of what a call belongs to (`affinity`, by
//! the `prefix` of its prompt), and of who fared badly lately (`health`, told by [`Lease`]). A caller of
//! something cold ticks [`Board::wanted`] so that the fleet starts it; dropping the lease gives the slot to
//! whoever is next. Nobody waits for the fleet to answer: the board is memory, and the fleet writes to it
//! when it has something to say.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Timestamp;
use spec::{InstanceId, Name};
use tokio::sync::{Notify, watch};

mod search;

mod route;

mod lane;

mod line;

mod standing;

mod seats;

mod affinity;

mod prefix;

mod pick;

mod split;

mod health;

mod dice;

mod lease;

mod table;

mod shelf;

mod swap;

mod error;

pub use affinity::Hint;
pub use error::Error;
pub use health::Failure;
pub use lease::Lease;
pub use search::Search;
pub use shelf::Shelf;
pub use split::Split;
pub use table::{Entry, Member, State, Table};

use lane::{Asked, Caller, Lane};
use search::Way;
use seats::Avoid;
use standing::Patience;
use swap::View;

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
    /// Members to pass over when there is another: those that failed this caller.
    pub avoid: Vec<InstanceId>,
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
    /// When a call last began or ended, by [`Timestamp::steady`].
    pub last_used: Option<Timestamp>,
    /// The latest keep-alive that a caller asked for.
    pub keep_alive: Option<KeepAlive>,
}

/// How one member is used now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberUse {
    /// Calls running on it.
    pub in_flight: u32,
    /// When a call last began or ended on it, by [`Timestamp::steady`].
    pub last_used: Option<Timestamp>,
    /// It is passed over for now: it failed, or was far slower than the others.
    pub ejected: bool,
    /// Calls that it has answered, well or not, while there was somebody to compare it with.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How long its first tokens usually take lately, once there were enough of them.
    pub first_token: Option<Duration>,
}

/// What a deployment or route does now, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Its public name.
    pub name: Name,
    /// It is a route.
    pub route: bool,
    /// Calls running.
    pub in_flight: u32,
    /// Callers in line.
    pub waiting: u32,
    /// Calls that it can run at once, members that are passed over not counted.
    pub slots: u32,
    /// Members, or targets, that are passed over now.
    pub ejected: u32,
    /// How often one was sent out since the start.
    pub ejections: u64,
    /// Calls that went where they belonged, since the start.
    pub affinity_hits: u64,
}

/// The table of ready instances, and the lines in front of them.
#[derive(Debug)]
pub struct Board {
    view: ArcSwap<View>,
    pulse: Arc<Pulse>,
    /// Ticks when something was published.
    swaps: watch::Sender<()>,
    fallbacks: AtomicU64,
}

/// What the lanes share with the outside: something is wanted; so many calls run; whether callers may
/// still come, and whether somebody waits for members to become idle.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) wanted: watch::Sender<u64>,
    in_flight: AtomicUsize,
    drained: Notify,
    pub(crate) watch_for_idle: AtomicBool,
    /// A lane has somebody to report since the last ask.
    pub(crate) suspects: AtomicBool,
    pub(crate) closed: AtomicBool,
}

impl Board {
    /// An empty board.
    pub fn new() -> Arc<Self> {
        let pulse = Pulse {
            wanted: watch::Sender::new(0),
            in_flight: AtomicUsize::new(0),
            drained: Notify::new(),
            watch_for_idle: AtomicBool::new(false),
            suspects: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Arc::new(Self {
            view: ArcSwap::from_pointee(View::default()),
            pulse: Arc::new(pulse),
            swaps: watch::Sender::new(()),
            fallbacks: AtomicU64::new(0),
        })
    }
    /// What is published now.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.view.load().table)
    }
    /// Publishes a new table in one swap and lets those in line go where there is room. Only the
    /// fleet's one owner task calls this. It costs what has changed: see [`Shelf::changes`].
    pub fn publish(&self, table: Table) {
        let (view, told) = self.view.load().next(table, &self.pulse);
        self.view.store(Arc::new(view));
        for (lane, entry) in told {
            lane.update(entry);
        }
        self.swaps.send_replace(());
    }
    /// Waits until what is published is so. Who only reads the table pays nothing for it.
    pub async fn wait_for(&self, mut is_so: impl FnMut(&Table) -> bool) {
        let mut swaps = self.swaps.subscribe(); // before the look, so that nothing falls between the two
        while !is_so(&self.table()) {
            let _ = swaps.changed().await; // fails only when the board is gone, and it is here
        }
    }
    /// What is behind a public name, for one call.
    pub fn find(&self, name: &str) -> Option<Search> {
        Some(Search::new(self.view.load().ways.get(name)?.clone()))
    }
    /// A slot on a member of this deployment; waits in line as long as `wait` allows. Dropping the
    /// future leaves the line.
    pub async fn lease(&self, name: &Name, wait: Wait) -> Result<Lease, Error> {
        if self.pulse.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let lane = self.view.load().lanes.get(name).map(Arc::clone).ok_or_else(|| Error::NotFound(name.clone()))?;
        let avoid = Avoid { ids: &wait.avoid, unless_alone: true };
        let caller = Caller { avoid, ruled_out: &[], tried: &[], hint: Hint::default(), keep_alive: wait.keep_alive, elsewhere: false };
        match Lane::ask(&lane, &caller)? {
            Asked::Served(lease) => Ok(lease),
            Asked::Waits(waits) => waits.lease(Patience { ready: wait.patience_ready, cold: wait.patience_cold }).await,
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
        self.pulse.in_flight.load(Ordering::Acquire)
    }
    /// Waits until no call runs.
    pub async fn drained(&self) {
        loop {
            let mut drained = pin!(self.pulse.drained.notified());
            drained.as_mut().enable(); // before the look, so that nothing falls between the two
            if self.in_flight() == 0 {
                return;
            }
            drained.await;
        }
    }
    /// What every deployment and route does, in numbers.
    pub fn counts(&self) -> Vec<Count> {
        let view = self.view.load();
        let ways = view.ways.iter().map(|(name, way)| match way {
            Way::Deployment(lane, _) => lane.count(name),
            Way::Route(desk) => desk.count(),
        });
        ways.collect()
    }
    /// How often a call went on to a fallback since the start.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }
    /// Whether the route passes this target over now.
    pub fn is_ejected(&self, route: &Name, target: &Name) -> bool {
        matches!(self.view.load().ways.get(route), Some(Way::Route(desk)) if desk.is_ejected(target))
    }
    pub(crate) fn way(&self, name: &Name) -> Option<Way> {
        self.view.load().ways.get(name).cloned()
    }
    /// What callers want, for every deployment that is published or has calls, by name.
    pub fn each_demand(&self, mut look: impl FnMut(Demand)) {
        self.view.load().lanes.iter().for_each(|(name, lane)| look(lane.demand(name)));
    }
    /// The same in one piece.
    pub fn demand(&self) -> Vec<Demand> {
        let mut all = Vec::new();
        self.each_demand(|demand| all.push(demand));
        all
    }
    /// How one member is used.
    pub fn member_use(&self, deployment: &Name, id: &InstanceId) -> MemberUse {
        self.view.load().lanes.get(deployment).map(|lane| lane.member_use(id)).unwrap_or_default()
    }
    /// Takes the members that did not answer a caller since the last ask.
    pub fn take_suspects(&self) -> Vec<InstanceId> {
        if !self.pulse.suspects.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
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
    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }
    pub(crate) fn ended(&self) {
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drained.notify_waiters();
        }
    }
    pub(crate) fn want(&self) {
        self.wanted.send_modify(|n| *n = n.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;
