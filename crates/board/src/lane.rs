//! The line in front of one deployment, and who of its members is how busy.
//!
//! In: callers and new entries. Out: leases, in the order of asking. Fails: when the line is full,
//! when patience ends, when the deployment goes down. Holds: one short lock; a lease is sent and
//! dropped outside of it, because dropping a lease takes the lock again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use spec::{InstanceId, Name};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::table::{Entry, Member, State};
use crate::{Demand, Error, KeepAlive, Lease, MemberUse, Pulse, Wait};

/// One deployment's members and line.
#[derive(Debug)]
pub(crate) struct Lane {
    inner: Mutex<Inner>,
    pulse: Arc<Pulse>,
}

#[derive(Debug)]
struct Inner {
    entry: Arc<Entry>,
    gone: bool,
    uses: HashMap<InstanceId, MemberUse>,
    line: VecDeque<Waiter>,
    next_waiter: u64,
    last_used: Option<Timestamp>,
    keep_alive: Option<KeepAlive>,
    suspects: Vec<InstanceId>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    avoid: Option<InstanceId>,
    reply: oneshot::Sender<Result<Lease, Error>>,
}

/// Takes the caller out of the line when its future is dropped.
struct Place {
    lane: Arc<Lane>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number;
        self.lane.lock().line.retain(|waiter| waiter.number != number);
    }
}

/// What the caller gets at once: a slot, or a place in line.
enum Asked {
    Served(Lease),
    Waits(Place, oneshot::Receiver<Result<Lease, Error>>),
}

/// A slot now, or after a wait in line.
pub(crate) async fn lease(lane: Arc<Lane>, wait: Wait) -> Result<Lease, Error> {
    let began = Instant::now();
    let (place, reply) = match Lane::ask(&lane, &wait)? {
        Asked::Served(lease) => return Ok(lease),
        Asked::Waits(place, reply) => (place, reply),
    };
    let patience = if lane.is_ready() { wait.patience_ready } else { wait.patience_cold };
    let answer = tokio::time::timeout(patience, reply).await;
    drop(place);
    match answer {
        Ok(Ok(Ok(mut lease))) => {
            lease.waited = began.elapsed();
            Ok(lease)
        }
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) => Err(Error::Closed),
        Err(_) => Err(lane.ran_out(began.elapsed())),
    }
}

impl Lane {
    pub(crate) fn new(entry: Arc<Entry>, pulse: Arc<Pulse>) -> Self {
        let inner = Inner {
            entry,
            gone: false,
            uses: HashMap::new(),
            line: VecDeque::new(),
            next_waiter: 0,
            last_used: None,
            keep_alive: None,
            suspects: Vec::new(),
        };
        Self { inner: Mutex::new(inner), pulse }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        self.lock().entry.state == State::Ready
    }

    /// Whether a call runs on any of its members.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().uses.values().any(|used| used.in_flight > 0)
    }

    fn ask(lane: &Arc<Self>, wait: &Wait) -> Result<Asked, Error> {
        let mut inner = lane.lock();
        let name = inner.entry.name.clone();
        if inner.gone {
            return Err(Error::NotFound(name));
        }
        if let State::Down(reason) = &inner.entry.state {
            return Err(Error::Down { deployment: name, reason: reason.clone() });
        }
        if wait.keep_alive.is_some() {
            inner.keep_alive = wait.keep_alive;
        }
        if inner.line.is_empty()
            && let Some(member) = inner.take_slot(wait.avoid.as_ref())
        {
            let entry = Arc::clone(&inner.entry);
            drop(inner);
            lane.pulse.in_flight.send_modify(|n| *n += 1);
            return Ok(Asked::Served(Lease::new(entry, member, Arc::clone(lane))));
        }
        let waiting = u32::try_from(inner.line.len()).unwrap_or(u32::MAX);
        if waiting >= inner.entry.spec.max_queue {
            return Err(Error::QueueFull { deployment: name, waiting });
        }
        let (reply, receiver) = oneshot::channel();
        let number = inner.next_waiter;
        inner.next_waiter += 1;
        inner.line.push_back(Waiter { number, avoid: wait.avoid.clone(), reply });
        drop(inner);
        lane.pulse.want();
        Ok(Asked::Waits(Place { lane: Arc::clone(lane), number }, receiver))
    }

    /// Hands free slots to those in line, first come first served.
    fn serve(lane: &Arc<Self>) {
        loop {
            let (reply, lease) = {
                let mut inner = lane.lock();
                while inner.line.front().is_some_and(|waiter| waiter.reply.is_closed()) {
                    inner.line.pop_front();
                }
                let Some(waiter) = inner.line.front() else { return };
                let avoid = waiter.avoid.clone();
                let Some(member) = inner.take_slot(avoid.as_ref()) else { return };
                let Some(waiter) = inner.line.pop_front() else { return };
                lane.pulse.in_flight.send_modify(|n| *n += 1);
                (waiter.reply, Lease::new(Arc::clone(&inner.entry), member, Arc::clone(lane)))
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
            if let Some(entry) = entry {
                inner.entry = entry;
            }
            let Inner { uses, entry, .. } = &mut *inner;
            uses.retain(|id, used| used.in_flight > 0 || entry.instances.iter().any(|m| m.id == *id));
            match &inner.entry.state {
                _ if inner.gone => Some(Error::NotFound(inner.entry.name.clone())),
                State::Down(reason) => Some(Error::Down { deployment: inner.entry.name.clone(), reason: reason.clone() }),
                _ => None,
            }
        };
        match down {
            Some(error) => self.send_away(|| error.clone()),
            None => Self::serve(self),
        }
    }

    /// Everyone in line gets this answer.
    pub(crate) fn send_away(&self, error: impl Fn() -> Error) {
        let line = std::mem::take(&mut self.lock().line);
        for waiter in line {
            let _ = waiter.reply.send(Err(error()));
        }
    }

    pub(crate) fn give_back(lane: &Arc<Self>, id: &InstanceId) {
        let idle = {
            let mut inner = lane.lock();
            let now = Timestamp::now();
            inner.last_used = Some(now);
            if let Some(used) = inner.uses.get_mut(id) {
                used.in_flight = used.in_flight.saturating_sub(1);
                used.last_used = Some(now);
            }
            inner.awaits_idle(id)
        };
        lane.pulse.in_flight.send_modify(|n| *n = n.saturating_sub(1));
        Self::serve(lane);
        if idle {
            lane.pulse.want();
        }
    }

    pub(crate) fn suspect(&self, id: &InstanceId) {
        {
            let mut inner = self.lock();
            if !inner.suspects.contains(id) {
                inner.suspects.push(id.clone());
            }
        }
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
        let waiting = inner.line.iter().filter(|waiter| !waiter.reply.is_closed()).count();
        Demand {
            deployment: name.clone(),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            in_flight: inner.uses.values().map(|used| used.in_flight).sum(),
            last_used: inner.last_used,
            keep_alive: inner.keep_alive,
        }
    }

    pub(crate) fn member_use(&self, id: &InstanceId) -> MemberUse {
        self.lock().uses.get(id).copied().unwrap_or_default()
    }

    fn ran_out(&self, waited: Duration) -> Error {
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
    /// A slot of the least busy member that has one free; not of `avoid` if another serves.
    fn take_slot(&mut self, avoid: Option<&InstanceId>) -> Option<Arc<Member>> {
        let free = |member: &&Arc<Member>| self.load(&member.id) < member.slots;
        let others = self.entry.instances.iter().filter(|m| Some(&m.id) != avoid);
        let member = match others.clone().filter(free).min_by_key(|m| self.load(&m.id)) {
            Some(member) => Arc::clone(member),
            // Only when nobody else serves at all may the avoided one be tried again.
            None if others.count() == 0 => Arc::clone(self.entry.instances.iter().find(free)?),
            None => return None,
        };
        let now = Timestamp::now();
        let used = self.uses.entry(member.id.clone()).or_default();
        used.in_flight += 1;
        used.last_used = Some(now);
        self.last_used = Some(now);
        Some(member)
    }

    /// Whether the fleet has something to do as soon as this member is idle: stop one that drains,
    /// or unload what shall not stay. All else can wait for its next look.
    fn awaits_idle(&self, id: &InstanceId) -> bool {
        let at_once = match self.keep_alive {
            Some(keep_alive) => keep_alive == KeepAlive::For(Duration::ZERO),
            None => self.entry.spec.replicas.keep_alive == Some(Duration::ZERO),
        };
        let leaves = at_once || self.gone || !self.entry.instances.iter().any(|m| m.id == *id);
        leaves && self.load(id) == 0
    }

    fn load(&self, id: &InstanceId) -> u32 {
        self.uses.get(id).map_or(0, |used| used.in_flight)
    }
}
