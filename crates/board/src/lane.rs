//! The line in front of one deployment.
//!
//! In: callers and new entries. Out: leases, in the order of its `line`. Fails: when the line is full, when patience ends, when the deployment goes down, or at
//! once where the deployment keeps no line. Holds: one short lock; a lease is sent and dropped outside of it,
//! because dropping a lease takes the lock again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spec::{Affinity, InstanceId, Name, WhenFull};
use tokio::sync::{oneshot, watch};

use crate::affinity::{Bond, Hint, Sticky};
use crate::health::{Failure, Outcome, Ticket, Verdict};
use crate::lease::Lease;
use crate::line::{Answer, Line};
use crate::pick::Leaning;
use crate::seats::{Avoid, NoSlot, Seats, Taken, tag};
use crate::standing::{Place, Standing, Waits};
use crate::table::{Entry, State};
use crate::{Count, Demand, Error, KeepAlive, MemberUse, Pulse};

/// One deployment's members and line.
#[derive(Debug)]
pub(crate) struct Lane {
    inner: Mutex<Inner>,
    sticky: Sticky,
    /// Nothing, where only one member serves.
    bond: Bond,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) pulse: Arc<Pulse>,
}

#[derive(Debug)]
struct Inner {
    entry: Arc<Entry>,
    gone: bool,
    seats: Seats,
    line: Line,
    keep_alive: Option<KeepAlive>,
    suspects: Vec<InstanceId>,
}

/// Who asks, and what must be known to serve it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) avoid: Avoid<'a>,
    /// Targets of a route that it shall not go to.
    pub(crate) ruled_out: &'a [Name],
    /// Targets in whose lines it has waited for nothing.
    pub(crate) tried: &'a [Name],
    pub(crate) hint: Hint<'a>,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// It has somewhere else to go.
    pub(crate) elsewhere: bool,
}

/// How a deployment stands, at a glance.
#[derive(Debug, Clone)]
pub(crate) struct Glance {
    pub(crate) entry: Arc<Entry>,
    pub(crate) gone: bool,
    pub(crate) busy: u32,
    pub(crate) room: u32,
    pub(crate) waiting: usize,
}

/// What the caller gets at once: a slot, or a place in line.
pub(crate) enum Asked {
    Served(Lease),
    Waits(Waits),
}

impl Lane {
    pub(crate) fn new(entry: Arc<Entry>, pulse: Arc<Pulse>) -> Self {
        let standing = watch::Sender::new(Standing::new(entry.state == State::Ready));
        let mut seats = Seats::new();
        seats.renew(&entry.instances, entry.spec.max_ejected);
        seats.share(&entry);
        let bond = Bond::default();
        bond.set(if seats.are_several() { entry.spec.affinity } else { Affinity::None });
        let inner = Inner { entry, gone: false, seats, line: Line::default(), keep_alive: None, suspects: Vec::new() };
        Self { inner: Mutex::new(inner), sticky: Sticky::default(), bond, standing, pulse }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call runs on any of its members.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().seats.in_flight() > 0
    }

    /// What keeps calls together here: nothing where there is nothing to choose.
    pub(crate) fn affinity(&self) -> Affinity {
        self.bond.get()
    }

    /// A slot at once, or a place in line.
    pub(crate) fn ask(lane: &Arc<Self>, caller: &Caller<'_>) -> Result<Asked, Error> {
        let mut chain = None;
        let leaning = lane.sticky.lean(&caller.hint.within(lane.affinity()), &mut chain);
        let mut inner = lane.lock();
        // Looked at under the lock: whoever closes empties the line under it afterwards.
        if lane.pulse.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        inner.can_serve()?;
        if caller.keep_alive.is_some() {
            inner.keep_alive = caller.keep_alive;
        }
        if inner.line.lets_pass() {
            match inner.take(caller.avoid, &leaning) {
                Ok(taken) => {
                    let (entry, number) = (Arc::clone(&inner.entry), taken.number);
                    drop(inner);
                    lane.sticky.learn(chain.as_ref(), tag(number));
                    return Ok(Asked::Served(Lease::new(entry, taken, Arc::clone(lane))));
                }
                Err(NoSlot::NobodyElse) => return Err(Error::NobodyElse(inner.entry.name.clone())),
                Err(NoSlot::Full) => {}
            }
        }
        let is_news = inner.has_room_in_line(caller.elsewhere)?;
        let wakes = is_news && inner.entry.state == State::Cold;
        let (number, answer) = inner.line.join(caller.avoid.ids, false);
        drop(inner);
        if is_news {
            lane.pulse.want();
        }
        Ok(Asked::Waits(Waits::new(Place::new(Arc::clone(lane), number, answer), wakes)))
    }

    /// A guest's place in line.
    pub(crate) fn stand_by(lane: &Arc<Self>, avoid: &[InstanceId]) -> Place {
        let (number, answer) = lane.lock().line.join(avoid, true);
        Self::serve(lane); // a slot may have come free since it was looked for
        Place::new(Arc::clone(lane), number, answer)
    }

    /// A caller who waited has been served here.
    pub(crate) fn learn(&self, hint: &Hint<'_>, lease: &Lease) {
        self.sticky.learn_prompt(&hint.within(self.affinity()), tag(lease.number()));
    }

    /// Takes a caller out of the line.
    pub(crate) fn leave(&self, number: u64) {
        self.lock().line.leave(number);
    }

    /// Hands free slots to those in line, first come first served.
    fn serve(lane: &Arc<Self>) {
        loop {
            let (reply, lease) = {
                let mut inner = lane.lock();
                let Some((reply, taken)) = inner.next_in_line() else { return };
                (reply, Lease::new(Arc::clone(&inner.entry), taken, Arc::clone(lane)))
            };
            // A caller who left between the two lines above drops the lease here, which serves the next.
            let _ = reply.send(Ok(lease));
        }
    }

    /// A new entry, or none when the deployment is gone.
    pub(crate) fn update(self: &Arc<Self>, entry: Option<Arc<Entry>>) {
        let down = {
            let mut inner = self.lock();
            inner.gone = entry.is_none();
            match entry {
                Some(entry) => inner.renew(entry),
                None => inner.seats.renew(&[], 0),
            }
            self.bond.set(if inner.seats.are_several() { inner.entry.spec.affinity } else { Affinity::None });
            Standing::turn(&self.standing, inner.entry.state == State::Ready);
            inner.can_serve().err()
        };
        match down {
            Some(error) => self.send_away(|| error.clone()),
            None => Self::serve(self),
        }
    }

    /// Everyone in line gets this answer.
    pub(crate) fn send_away(&self, error: impl Fn() -> Error) {
        let line = self.lock().line.send_away();
        for reply in line {
            let _ = reply.send(Err(error()));
        }
    }

    pub(crate) fn give_back(lane: &Arc<Self>, number: u32) {
        let (idle, waited_for) = {
            let mut inner = lane.lock();
            let idle = inner.seats.give_back(number);
            let idle = idle.is_some_and(|leaves| lane.pulse.watch_for_idle.load(Ordering::Relaxed) || inner.leaves_when_idle(leaves));
            (idle, !inner.line.is_empty())
        };
        lane.pulse.ended();
        if waited_for {
            Self::serve(lane);
        }
        if idle {
            lane.pulse.want();
        }
    }

    /// How a call fared on a member; [`Verdict::Spared`] when that changes nothing here though it should.
    pub(crate) fn note(&self, number: u32, outcome: Outcome, call: (bool, Option<Ticket>)) -> Verdict {
        self.lock().seats.note(number, outcome, call)
    }

    pub(crate) fn suspect(&self, id: &InstanceId, failure: Failure) {
        if !matches!(failure, Failure::Unreachable | Failure::Broken) {
            return; // it answers; a look at it would find it well
        }
        let mut inner = self.lock();
        if inner.suspects.contains(id) {
            return; // the fleet has been told and has not looked yet
        }
        inner.suspects.push(id.clone());
        drop(inner);
        self.pulse.suspects.store(true, Ordering::Release);
        self.pulse.want();
    }

    pub(crate) fn take_suspects(&self) -> Vec<InstanceId> {
        std::mem::take(&mut self.lock().suspects)
    }

    pub(crate) fn note_keep_alive(&self, keep_alive: KeepAlive) {
        self.lock().keep_alive = Some(keep_alive);
        self.pulse.want();
    }

    pub(crate) fn demand(&self, name: &Name) -> Demand {
        let inner = self.lock();
        Demand {
            deployment: name.clone(),
            waiting: inner.line.waiting(),
            in_flight: inner.seats.in_flight(),
            last_used: inner.seats.last_used(),
            keep_alive: inner.keep_alive,
        }
    }

    pub(crate) fn count(&self, name: &Name) -> Count {
        let inner = self.lock();
        Count {
            name: name.clone(),
            route: false,
            in_flight: inner.seats.in_flight(),
            waiting: inner.line.waiting(),
            slots: inner.room(),
            ejected: inner.seats.ejected(),
            ejections: inner.seats.ejections(),
            affinity_hits: inner.seats.hits(),
        }
    }

    pub(crate) fn glance(&self) -> Glance {
        let inner = self.lock();
        Glance {
            entry: Arc::clone(&inner.entry),
            gone: inner.gone,
            busy: inner.seats.in_flight(),
            room: inner.room(),
            waiting: inner.line.len(),
        }
    }

    pub(crate) fn member_use(&self, id: &InstanceId) -> MemberUse {
        self.lock().seats.use_of(id)
    }

    /// Why a caller whose patience has ended got nothing.
    pub(crate) fn ran_out(&self, waited: Duration) -> Error {
        let inner = self.lock();
        let deployment = inner.entry.name.clone();
        match &inner.entry.state {
            State::Ready => Error::QueueTimeout { deployment, waited },
            State::Down(reason) => Error::Down { deployment, reason: reason.clone() },
            State::Cold => Error::Loading { deployment, phase: spec::Phase::Pending, progress: None, eta: None, waited },
            State::Rising { phase, progress, eta, .. } => {
                Error::Loading { deployment, phase: *phase, progress: *progress, eta: *eta, waited }
            }
        }
    }
}

impl Inner {
    fn can_serve(&self) -> Result<(), Error> {
        match &self.entry.state {
            _ if self.gone => Err(Error::NotFound(self.entry.name.clone())),
            State::Down(reason) => Err(Error::Down { deployment: self.entry.name.clone(), reason: reason.clone() }),
            _ => Ok(()),
        }
    }

    fn renew(&mut self, entry: Arc<Entry>) {
        if self.entry.state == State::Ready && entry.state != State::Ready {
            self.keep_alive = None; // it was meant for what was loaded then
        }
        self.seats.renew(&entry.instances, entry.spec.max_ejected);
        self.seats.share(&entry);
        self.entry = entry;
    }

    fn take(&mut self, avoid: Avoid<'_>, leaning: &Leaning) -> Result<Taken, NoSlot> {
        self.seats.take(avoid, leaning, self.entry.spec.max_concurrent)
    }

    /// Calls that it can run at once.
    fn room(&self) -> u32 {
        self.seats.room().min(self.entry.spec.max_concurrent.unwrap_or(u32::MAX))
    }

    /// Whether one more may stand in line, and whether that is news to the fleet. Callers of a cold model who have
    /// slots as soon as it is up do not count as a line.
    fn has_room_in_line(&self, elsewhere: bool) -> Result<bool, Error> {
        let spec = &self.entry.spec;
        let ready = self.entry.state == State::Ready;
        let longest = match spec.when_full {
            WhenFull::Reject if ready => 0,
            WhenFull::Fallback if ready && elsewhere => 0,
            _ if ready => spec.max_queue,
            _ => spec.max_queue.max(spec.slots()),
        };
        let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        if waiting >= longest {
            return Err(Error::QueueFull { deployment: self.entry.name.clone(), waiting });
        }
        Ok(waiting == 0 && self.fleet_can_help())
    }

    /// Whether waiting is something that the fleet can end: by a start.
    fn fleet_can_help(&self) -> bool {
        self.entry.state != State::Ready || self.entry.instances.len() < self.entry.spec.replicas.max as usize
    }

    /// The first in line for whom there is a slot, with the slot.
    fn next_in_line(&mut self) -> Option<(oneshot::Sender<Answer>, Taken)> {
        let Self { entry, seats, line, .. } = self;
        line.next(|avoid| seats.take(avoid, &Leaning::None, entry.spec.max_concurrent).ok())
    }

    /// Whether the fleet stops this member as soon as it is idle: one that drains, or that shall not stay.
    /// All else can wait for its next look.
    fn leaves_when_idle(&self, leaves: bool) -> bool {
        let at_once = match self.keep_alive {
            Some(keep_alive) => keep_alive == KeepAlive::For(Duration::ZERO),
            None => self.entry.spec.replicas.keep_alive == Some(Duration::ZERO),
        };
        at_once || self.gone || leaves
    }
}
