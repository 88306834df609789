//! The line in front of one deployment, and who of its members is how busy.
//!
//! In: callers and new entries. Out: leases, in the order of asking; only a caller who avoids a member
//! lets others pass to it. Fails: when the line is full, when patience ends, when the deployment goes down. Holds: one short lock; a lease is sent and
//! dropped outside of it, because dropping a lease takes the lock again.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use spec::{InstanceId, Name};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::table::{Entry, Member, State};
use crate::{Demand, Error, KeepAlive, Lease, MemberUse, Pulse, Wait};

/// One deployment's members and line.
#[derive(Debug)]
pub(crate) struct Lane {
    inner: Mutex<Inner>,
    standing: watch::Sender<Standing>,
    pulse: Arc<Pulse>,
}

/// Whether the deployment is ready, and since when it is or is not.
#[derive(Debug, Clone, Copy)]
struct Standing {
    ready: bool,
    since: Instant,
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
    let answer = lane.patiently(&wait, began, reply).await;
    drop(place);
    match answer {
        Some(Ok(Ok(mut lease))) => {
            lease.waited = began.elapsed();
            Ok(lease)
        }
        Some(Ok(Err(error))) => Err(error),
        Some(Err(_)) => Err(Error::Closed),
        None => Err(lane.ran_out(began.elapsed())),
    }
}

impl Wait {
    /// When patience ends, as the deployment stands.
    fn until(&self, began: Instant, standing: Standing) -> Instant {
        let patience = if standing.ready { self.patience_ready } else { self.patience_cold };
        let most = later(began, self.patience_ready.saturating_add(self.patience_cold));
        later(began.max(standing.since), patience).min(most)
    }
}

fn later(at: Instant, by: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_hours(24 * 365);
    at.checked_add(by).unwrap_or(at + FOR_EVER)
}

impl Lane {
    pub(crate) fn new(entry: Arc<Entry>, pulse: Arc<Pulse>) -> Self {
        let standing = Standing { ready: entry.state == State::Ready, since: Instant::now() };
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
        Self { inner: Mutex::new(inner), standing: watch::Sender::new(standing), pulse }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, unless patience ends first.
    async fn patiently<T>(&self, wait: &Wait, began: Instant, answer: impl Future<Output = T>) -> Option<T> {
        let mut standing = self.standing.subscribe();
        let mut answer = pin!(answer);
        loop {
            let until = wait.until(began, *standing.borrow_and_update());
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                _ = standing.changed() => {} // never an error: the sender lives in self
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }

    /// Whether a call runs on any of its members.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().uses.values().any(|used| used.in_flight > 0)
    }

    fn ask(lane: &Arc<Self>, wait: &Wait) -> Result<Asked, Error> {
        let mut inner = lane.lock();
        let name = inner.entry.name.clone();
        // Looked at under the lock: whoever closes empties the line under it afterwards.
        if lane.pulse.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if inner.gone {
            return Err(Error::NotFound(name));
        }
        if let State::Down(reason) = &inner.entry.state {
            return Err(Error::Down { deployment: name, reason: reason.clone() });
        }
        if wait.keep_alive.is_some() {
            inner.keep_alive = wait.keep_alive;
        }
        // Whoever is in line and takes any member shows that no slot is free.
        if inner.line.iter().all(|waiter| waiter.avoid.is_some())
            && let Some(member) = inner.take_slot(wait.avoid.as_ref())
        {
            let entry = Arc::clone(&inner.entry);
            drop(inner);
            lane.pulse.in_flight.send_modify(|n| *n += 1);
            return Ok(Asked::Served(Lease::new(entry, member, Arc::clone(lane))));
        }
        let waiting = u32::try_from(inner.line.len()).unwrap_or(u32::MAX);
        if waiting >= inner.longest_line() {
            return Err(Error::QueueFull { deployment: name, waiting });
        }
        let wakes = waiting == 0 && inner.fleet_can_help();
        let (number, receiver) = inner.stand_in_line(wait.avoid.clone());
        drop(inner);
        if wakes {
            lane.pulse.want();
        }
        Ok(Asked::Waits(Place { lane: Arc::clone(lane), number }, receiver))
    }

    /// Hands free slots to those in line, first come first served.
    fn serve(lane: &Arc<Self>) {
        loop {
            let (reply, lease) = {
                let mut inner = lane.lock();
                let Some((waiter, member)) = inner.next_in_line() else { return };
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
                inner.renew(entry);
            }
            self.stands(inner.entry.state == State::Ready);
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

    fn stands(&self, ready: bool) {
        self.standing.send_if_modified(|standing| {
            let turned = standing.ready != ready;
            if turned {
                *standing = Standing { ready, since: Instant::now() };
            }
            turned
        });
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
            inner.load(id) == 0 && (lane.pulse.watch_for_idle.load(Ordering::Relaxed) || inner.leaves_when_idle(id))
        };
        lane.pulse.in_flight.send_modify(|n| *n = n.saturating_sub(1));
        Self::serve(lane);
        if idle {
            lane.pulse.want();
        }
    }

    pub(crate) fn suspect(&self, id: &InstanceId) {
        let mut inner = self.lock();
        if inner.suspects.contains(id) {
            return; // the fleet has been told and has not looked yet
        }
        inner.suspects.push(id.clone());
        drop(inner);
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
    fn renew(&mut self, entry: Arc<Entry>) {
        if self.entry.state == State::Ready && entry.state != State::Ready {
            self.keep_alive = None; // it was meant for what was loaded then
        }
        self.entry = entry;
    }

    /// Callers that may wait. Those of a cold model who have slots as soon as it is up do not count as a line.
    fn longest_line(&self) -> u32 {
        let spec = &self.entry.spec;
        if self.entry.state == State::Ready { spec.max_queue } else { spec.max_queue.max(spec.slots()) }
    }

    /// Whether waiting is something that the fleet can end: by a start.
    fn fleet_can_help(&self) -> bool {
        self.entry.state != State::Ready || self.entry.instances.len() < self.entry.spec.replicas.max as usize
    }

    fn stand_in_line(&mut self, avoid: Option<InstanceId>) -> (u64, oneshot::Receiver<Result<Lease, Error>>) {
        let (reply, receiver) = oneshot::channel();
        let number = self.next_waiter;
        self.next_waiter += 1;
        self.line.push_back(Waiter { number, avoid, reply });
        (number, receiver)
    }

    /// The first in line for whom there is a slot, with the member that has it.
    fn next_in_line(&mut self) -> Option<(Waiter, Arc<Member>)> {
        let mut at = 0;
        while let Some(waiter) = self.line.get(at) {
            let avoid = waiter.avoid.clone();
            if waiter.reply.is_closed() {
                self.line.remove(at);
            } else if let Some(member) = self.take_slot(avoid.as_ref()) {
                return self.line.remove(at).map(|waiter| (waiter, member));
            } else if avoid.is_some() {
                at += 1; // the next one may take what this one passes over
            } else {
                return None;
            }
        }
        None
    }

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

    /// Whether the fleet stops this member as soon as it is idle: one that drains, or that shall not stay.
    /// All else can wait for its next look.
    fn leaves_when_idle(&self, id: &InstanceId) -> bool {
        let at_once = match self.keep_alive {
            Some(keep_alive) => keep_alive == KeepAlive::For(Duration::ZERO),
            None => self.entry.spec.replicas.keep_alive == Some(Duration::ZERO),
        };
        at_once || self.gone || !self.entry.instances.iter().any(|m| m.id == *id)
    }

    fn load(&self, id: &InstanceId) -> u32 {
        self.uses.get(id).map_or(0, |used| used.in_flight)
    }
}
