//! The world as one turn sees it: wishes, instances, room. A value; who owns it is `turn`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret, Timestamp};
use board::{Demand, KeepAlive, MemberUse, Shelf};
use spec::deployment::Record;
use spec::{
    Allocation, Cause, DeviceKind, Endpoint, EngineKind, Exit, Grant, InstanceId, Name, Node, Phase, Reason, Revision, RolloutStatus,
    RouteRecord, RuntimeKind,
};

use crate::restart::Restarts;
use crate::scale::Lately;

use crate::fetching::Fetching;
use crate::footprints::Footprints;
use crate::leaving::Leaving;
use crate::pulse::Pulse;
use crate::returns::Cleared;
use crate::sleep::Nap;
use crate::wishes::Wishes;

/// Everything that a decision may look at.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// When this turn looked, by [`Timestamp::steady`]: a clock that is set makes no time pass.
    pub now: Timestamp,
    /// How far the system clock has been set since, in milliseconds.
    pub drift: i64,
    /// Set once Penstock goes down: calls may go on until then.
    pub stopping: Option<Timestamp>,
    /// By name.
    pub wishes: Wishes,
    /// By name; they are only passed on to the board.
    pub routes: Shelf<Arc<RouteRecord>>,
    /// By id.
    pub items: BTreeMap<InstanceId, Item>,
    /// Engines of ours that belong to none of them and have not ended.
    pub leaving: Vec<Leaving>,
    /// Machines and memory.
    pub room: Room,
    /// What earlier instances were seen to take.
    pub footprints: Footprints,
}

/// One deployment: what is stored, what callers want, how far it is.
#[derive(Debug, Clone)]
pub struct Wish {
    /// As it is stored.
    pub record: Record,
    /// What callers want now.
    pub demand: Demand,
    /// Whether the wish has been frozen as a revision.
    pub resolve: Resolve,
    /// What an operator asked for.
    pub hand: Hand,
    /// Starts that failed in a row.
    pub failures: u32,
    /// Its restarts of the last minute.
    pub restarts: Restarts,
    /// No new start before this.
    pub retry_at: Option<Timestamp>,
    /// Why the last start failed.
    pub failure: Option<Reason>,
    /// How long the last load took.
    pub load_ms: Option<u64>,
    /// What an instance of the revision that is wanted takes; 0 until it is frozen.
    pub memory: ByteSize,
    /// How far it is from one revision to the next.
    pub rollout: RolloutStatus,
    /// That has changed since it was stored.
    pub unsaved: bool,
    /// What callers are told of a model that should not be used any more.
    pub notice: Option<Arc<str>>,
    /// How far the fetching of its files is.
    pub fetching: Fetching,
    /// The revision that can be relied on; none before the first one has served.
    pub stable: Option<Arc<Revision>>,
    /// The one that was gone back from, and why: what would start the same engine is not tried unasked.
    pub refused: Option<(Arc<Revision>, Reason)>,
    /// How many instances its callers have lately been worth.
    pub wanted: Lately,
    /// The rollout that a change came into, with its revision, until it is known whether the same engines serve on.
    pub interrupted: Option<(Arc<Revision>, RolloutStatus)>,
}

/// How far the freezing of a wish is.
#[derive(Debug, Clone, Default)]
pub enum Resolve {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Done.
    Done(Arc<Revision>),
    /// Not possible, for this reason; not to be tried again before then.
    Failed(Reason, Timestamp),
}

/// What an operator asked for by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hand {
    /// Nothing; callers decide.
    #[default]
    Off,
    /// Load it, until it is ready.
    Load,
    /// Unload it, until somebody calls it.
    Unload,
}

/// One instance.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its id.
    pub id: InstanceId,
    /// Its deployment.
    pub deployment: Name,
    /// Its revision.
    pub revision: Arc<Revision>,
    /// The fence of its order; 0 until it has one.
    pub fence: u64,
    /// What runs.
    pub engine: EngineKind,
    /// Where.
    pub runtime: RuntimeKind,
    /// Where in its life it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not ready.
    pub reason: Option<Reason>,
    /// What it was created for.
    pub cause: Cause,
    /// What it takes: as it was measured of an earlier one, else as it is estimated.
    pub memory: ByteSize,
    /// Whether that was measured.
    pub measured: bool,
    /// What an earlier one was seen to take of a card that computed all of its layers.
    pub on_card: Option<ByteSize>,
    /// The most memory that it was seen to have.
    pub peak: ByteSize,
    /// What of that has been noted for the next of its kind.
    pub noted: ByteSize,
    /// What its engine's program says of its version, once ordered.
    pub build: String,
    /// The devices that it was given; none before its start.
    pub grant: Grant,
    /// Calls it takes at once.
    pub slots: u32,
    /// Where it listens, once ordered.
    pub endpoint: Option<Endpoint>,
    /// The key that it asks for.
    pub key: Secret,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When its start was begun; not known of one that was taken over.
    pub launched_at: Option<Timestamp>,
    /// When it was first ready.
    pub ready_at: Option<Timestamp>,
    /// How far its start is.
    pub start: Start,
    /// What the runtime sees.
    pub sight: Sight,
    /// When the runtime last saw it.
    pub seen_at: Option<Timestamp>,
    /// What the probe says.
    pub health: Health,
    /// What callers do with it.
    pub used: MemberUse,
    /// The signs of life of its loop.
    pub pulse: Pulse,
    /// How far it is with its sleep.
    pub nap: Nap,
    /// Last sign of progress while it comes up.
    pub progress_at: Timestamp,
    /// Lines that it had logged then.
    pub log_lines: u64,
    /// When its end was last asked for.
    pub stop_asked: Option<Timestamp>,
    /// While it waits for room: who left for it, and what of that has come back.
    pub cleared: Option<Cleared>,
}

/// How far a start is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// Nothing done.
    #[default]
    Pending,
    /// A task is at it.
    Running,
    /// The runtime has it.
    Done,
    /// It failed.
    Failed(Reason),
}

/// What the runtime sees of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sight {
    /// Nobody could look since its start: it may be there.
    #[default]
    Unknown,
    /// Nothing.
    Absent,
    /// It lives.
    Running {
        /// Its process.
        pid: Option<u32>,
        /// Its memory.
        resident: Option<ByteSize>,
    },
    /// It has ended.
    Exited(Exit),
}

/// What the probe says of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// Not asked, or no answer while it comes up.
    #[default]
    Unknown,
    /// It answers that it still loads.
    Loading,
    /// It answers.
    Up,
    /// It answers, and says that it sleeps.
    Asleep,
    /// It does not answer, or refuses, since then.
    Down(String, Timestamp),
}

/// Machines and memory.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The machines.
    pub nodes: Vec<Node>,
    /// All instances together may take so much; all of the memory when not set.
    pub budget: Option<ByteSize>,
    /// Always left free, of each device.
    pub margin: ByteSize,
    /// Set aside for work that is not ours.
    pub allocations: Vec<Allocation>,
    /// How long callers of a model wait at most until another, that works, makes room for it.
    pub patience: Duration,
    /// Which of several places that fit is taken.
    pub packing: Packing,
    /// The kinds of devices that engines compute on, as far as it is known.
    pub able: BTreeMap<EngineKind, Vec<DeviceKind>>,
}

/// Which of several places that fit is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packing {
    /// The one that is filled best: what is large finds room later.
    #[default]
    Pack,
    /// The emptiest one: models disturb each other least.
    Spread,
}

impl Health {
    /// It does not answer, and has not for so long.
    pub fn is_down_for(&self, time: Duration, now: Timestamp) -> bool {
        matches!(self, Self::Down(_, since) if now.since(*since) > time)
    }
}

impl World {
    /// The present by the calendar, which schedules and dates that people gave go by.
    pub fn date(&self) -> Timestamp {
        self.now.shifted(self.drift)
    }
    /// The instances of a deployment, oldest first.
    pub fn items_of<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Item> {
        self.items.values().filter(move |item| item.deployment == *name)
    }
    /// Memory held by everything that was started and has not ended.
    pub fn held(&self) -> ByteSize {
        let items = self.items.values().filter(|item| item.holds_memory()).map(|item| item.memory);
        items.chain(self.leaving.iter().map(Leaving::memory)).sum()
    }
}

impl Wish {
    /// The revision that is wanted, once it is frozen.
    pub fn revision(&self) -> Option<&Arc<Revision>> {
        match &self.resolve {
            Resolve::Done(revision) => Some(revision),
            _ => None,
        }
    }
    /// The revision of this number, where it is one of the two that an instance may be started of: the wanted one once it is frozen,
    /// or the one that is gone back to.
    pub fn revision_of(&self, number: u64) -> Option<&Arc<Revision>> {
        if number == self.record.generation { self.revision() } else { self.stable.as_ref().filter(|stable| stable.number == number) }
    }
    /// So many there are at any time, whoever asks, and at most so many.
    pub fn bounds(&self, now: Timestamp) -> (u32, u32) {
        let (min, max) = self.record.spec.replicas.bounds(now);
        (min.max(u32::from(self.record.spec.pinned)).min(max), max)
    }
    /// Somebody waits for it. A call that runs needs nothing more than the instance that it runs on.
    pub fn is_asked_for(&self) -> bool {
        self.demand.waiting > 0 || self.hand == Hand::Load
    }
    /// How long an instance stays without callers: the callers' word, else the wish's.
    pub fn keep_alive(&self) -> Option<Duration> {
        match self.demand.keep_alive {
            Some(KeepAlive::For(time)) => Some(time),
            Some(KeepAlive::Forever) => None,
            None => self.record.spec.replicas.keep_alive,
        }
    }
}

impl Item {
    /// It is given these devices.
    pub fn take(&mut self, grant: Grant) {
        if !grant.shares.is_empty() {
            self.memory = grant.total();
        }
        if grant.gpus().next().is_some() {
            self.measured = self.on_card.is_some();
        }
        self.grant = grant;
    }
    /// It is seen to have so much memory. What is more than was kept for it is kept for it from now on: the ledger must not give it
    /// away. On cards a process has other memory than this.
    pub fn grow(&mut self, resident: ByteSize) {
        if matches!(self.nap, Nap::Lent(..)) {
            return self.hold(resident);
        }
        self.peak = self.peak.max(resident);
        let more = self.peak.saturating_sub(self.memory);
        if more == ByteSize(0) || self.grant.gpus().next().is_some() {
            return;
        }
        self.memory += more;
        if let Some(host) = self.grant.shares.iter_mut().find(|share| share.kind.is_host()) {
            host.bytes += more;
        }
    }
    /// It ran before this process did, and has not been seen to serve since.
    pub fn is_taken_over(&self) -> bool {
        self.start == Start::Done && self.launched_at.is_none() && self.ready_at.is_none()
    }
    /// It has memory, or is about to: from its start until its engine has ended, however it ends.
    pub fn holds_memory(&self) -> bool {
        match self.phase {
            Phase::Pending | Phase::Fetching | Phase::Placing | Phase::Stopped => false,
            Phase::Failed => self.start == Start::Running || self.may_be_there(),
            _ => !matches!(self.sight, Sight::Exited(_)),
        }
    }
    /// It was seen to live, or was started and nobody could look since.
    fn may_be_there(&self) -> bool {
        match self.sight {
            Sight::Running { .. } => true,
            Sight::Unknown => self.launched_at.is_some(),
            Sight::Absent | Sight::Exited(_) => false,
        }
    }
    /// It waits for room, and nothing has been started.
    pub fn waits_for_room(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Fetching | Phase::Placing)
    }
    /// Memory that its engine has taken, as far as it can be seen.
    pub fn resident(&self) -> ByteSize {
        match &self.sight {
            Sight::Running { resident, .. } => resident.unwrap_or_default(),
            Sight::Unknown | Sight::Absent | Sight::Exited(_) => ByteSize(0),
        }
    }
    /// Percent of its KV cache that is used, where its engine tells.
    pub fn kv_use(&self) -> Option<u32> {
        self.pulse.beat.load.and_then(|load| load.kv_use)
    }
    /// How long its start took until it was ready.
    pub fn load_ms(&self) -> Option<u64> {
        let took = self.ready_at?.since(self.launched_at?);
        Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
    }
    /// It serves, or will without anybody doing more.
    pub fn is_serving(&self) -> bool {
        self.phase.is_rising() || matches!(self.phase, Phase::Ready | Phase::Unhealthy | Phase::Sleeping)
    }
    /// When it was last of use.
    pub fn last_of_use(&self) -> Timestamp {
        let since = self.nap.idle_since().unwrap_or(self.since);
        self.used.last_used.map_or(since, |used| used.max(since))
    }
}
