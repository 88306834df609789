//! A public name whose calls several deployments share.
//!
//! In: a caller. Out: a slot of one of the targets, or a place in its line, with a guest's place in those of the others. Fails: when
//! no target serves, by the error that says most. Targets that fail, or are far slower than others of the same model, are passed over as
//! members of a deployment are. Holds: one short lock over who is passed over; each lane has its own.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spec::{Affinity, Dialect, Name, RouteRecord};
use tokio::time::Instant;

use crate::affinity::Hint;
use crate::dice::hash;
use crate::lane::{Asked, Caller, Glance, Lane};
use crate::pick::{self, By, Candidate, Leaning};
use crate::seats::{Avoid, tag};
use crate::standing::Waits;
use crate::table::{Entry, State};
use crate::{Count, Error};

mod kept;

use kept::{Kept, kin};
pub(crate) use kept::{Share, Toward};

/// Which engines will do: those that serve the kind of call.
pub(crate) type Serves = fn(&Dialect) -> bool;

/// The targets of a route fit into one word, a bit for each.
const MOST_TARGETS: usize = u64::BITS as usize;

/// A route as it is published.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) record: Arc<RouteRecord>,
    targets: Vec<Target>,
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Target {
    lane: Arc<Lane>,
    number: u32,
    hash: u64,
    weight: u32,
}

/// Those of the targets that may take the call now.
struct Open {
    all: [Option<Candidate>; MOST_TARGETS],
}

impl Open {
    fn iter(&self) -> impl Iterator<Item = Candidate> + Clone + '_ {
        self.all.iter().flatten().copied()
    }
}

impl Desk {
    /// The route over the lanes of its targets; targets that are not there are left out.
    pub(crate) fn new(record: Arc<RouteRecord>, lane_of: impl Fn(&Name) -> Option<(Arc<Lane>, Arc<Entry>)>, before: Option<&Self>) -> Self {
        let kept = before.map_or_else(Arc::default, |before| Arc::clone(&before.kept));
        let there = record.spec.targets.iter().filter(|target| target.weight > 0).take(MOST_TARGETS);
        let there: Vec<_> = there.filter_map(|target| Some((target, lane_of(&target.deployment)?))).collect();
        let mut inner = kept.lock();
        let numbers = inner.renew(there.iter().map(|(target, (_, entry))| (&target.deployment, kin(entry))));
        drop(inner);
        let targets = there.into_iter().zip(numbers).map(|((target, (lane, _)), number)| {
            let hash = hash(target.deployment.as_str().as_bytes());
            Target { lane, number, hash, weight: target.weight }
        });
        Self { targets: targets.collect(), record, kept }
    }

    /// What keeps calls together on its targets, or on the members of one of them.
    pub(crate) fn affinity(&self) -> Affinity {
        let strength = |affinity: &Affinity| *affinity as u8;
        let below = self.targets.iter().map(|target| target.lane.affinity());
        let all = below.chain([self.own_affinity()]);
        all.filter(|one| *one != Affinity::None).max_by_key(strength).unwrap_or(Affinity::None)
    }

    fn own_affinity(&self) -> Affinity {
        if self.targets.len() > 1 { self.record.spec.affinity } else { Affinity::None }
    }

    /// The fallbacks of its targets, for a route that has none of its own.
    pub(crate) fn fallback(&self) -> Vec<Name> {
        if !self.record.spec.fallback.is_empty() {
            return self.record.spec.fallback.clone();
        }
        self.targets.iter().flat_map(|target| target.lane.glance().entry.spec.fallback.clone()).collect()
    }

    /// How each of its targets stands.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Arc<Entry>> + '_ {
        self.targets.iter().map(|target| target.lane.glance().entry)
    }

    /// The target that the call will probably go to, by its place, and how it stands.
    pub(crate) fn aim(&self, serves: Serves, hint: &Hint<'_>, ruled_out: &[Name]) -> Option<(usize, Arc<Entry>)> {
        let out = self.places(ruled_out);
        let leaning = self.kept.sticky.lean(&hint.within(self.own_affinity()), &mut None);
        let at = self.pick(serves, out, &leaning).or_else(|| self.shortest_line(serves, out)).or_else(|| {
            let served = |(at, target): (usize, &Target)| out & (1 << at) == 0 && serves(&target.lane.glance().entry.dialect);
            self.targets.iter().enumerate().position(served)
        })?;
        Some((at, self.targets.get(at)?.lane.glance().entry))
    }

    /// The places of these deployments, a bit for each.
    fn places(&self, of: &[Name]) -> u64 {
        if of.is_empty() {
            return 0;
        }
        let there = self.targets.iter().enumerate().filter(|(_, target)| of.contains(&target.lane.glance().entry.name));
        there.fold(0, |places, (at, _)| places | 1 << at)
    }

    /// A slot of a target, or a place in a line; `aim` is where it would like to go.
    pub(crate) fn ask(&self, caller: &Caller<'_>, serves: Serves, aim: Option<usize>) -> Result<Asked, Error> {
        let first = Caller { avoid: Avoid { unless_alone: false, ..caller.avoid }, ..*caller };
        let asked = match self.ask_each(&first, serves, aim) {
            Err(Error::NobodyElse(_)) if caller.avoid.unless_alone => self.ask_each(caller, serves, None),
            asked => asked,
        };
        match asked? {
            Asked::Waits(waits) if !waits.wakes() => Ok(Asked::Waits(self.stand_by(waits, caller, serves))),
            asked => Ok(asked), // the share of a cold target begins with its start, which somebody has to wait for
        }
    }

    /// Whoever waits for one target takes a slot of another that comes free first.
    fn stand_by(&self, waits: Waits, caller: &Caller<'_>, serves: Serves) -> Waits {
        let out = self.out_for(caller);
        let is_new = |entry: &Entry| entry.instances.is_empty() || entry.instances.iter().any(|one| !caller.avoid.ids.contains(&one.id));
        let others: Vec<&Target> = {
            let inner = self.kept.lock();
            let may = |(at, target): &(usize, &Target)| {
                let Glance { entry, gone, .. } = target.lane.glance();
                let is_there = out & (1 << at) == 0 && !gone && !matches!(entry.state, State::Down(_)) && inner.ward.is_in(target.number);
                is_there && serves(&entry.dialect) && is_new(&entry) && !Arc::ptr_eq(&target.lane, waits.lane())
            };
            self.targets.iter().enumerate().filter(may).map(|(_, target)| target).collect()
        };
        let guest = |target: &Target| Lane::stand_by(&target.lane, caller.avoid.ids).through(self.toward(target.number));
        waits.beside(others.into_iter().map(guest).collect())
    }

    /// The places of those that this caller does not go to.
    fn out_for(&self, caller: &Caller<'_>) -> u64 {
        self.places(caller.ruled_out) | self.places(caller.tried)
    }

    fn ask_each(&self, caller: &Caller<'_>, serves: Serves, aim: Option<usize>) -> Result<Asked, Error> {
        let (mut tried, mut said) = (self.out_for(caller), None);
        if let Some(at) = self.due(serves, tried) {
            match self.ask_one(at, caller, true) {
                Ok(asked) => return Ok(asked),
                Err(error) => said = Some(error),
            }
            tried |= 1 << at;
        }
        let mut aim = aim.filter(|at| self.candidate(*at, serves).is_some());
        let hint = caller.hint.within(if aim.is_some() { Affinity::None } else { self.own_affinity() });
        let leaning = self.kept.sticky.lean(&hint, &mut None);
        loop {
            let next = aim.take().filter(|at| tried & (1 << at) == 0).or_else(|| self.pick(serves, tried, &leaning));
            let Some(at) = next.or_else(|| self.shortest_line(serves, tried)) else { break };
            match self.ask_one(at, caller, false) {
                Ok(asked) => return Ok(asked),
                Err(Error::Closed) => return Err(Error::Closed),
                Err(error) => said = Some(telling(said, error)),
            }
            tried |= 1 << at;
        }
        let nobody = if caller.ruled_out.is_empty() { Error::NotFound } else { Error::NobodyElse };
        Err(said.or_else(|| self.down()).unwrap_or_else(|| nobody(self.record.spec.name.clone())))
    }

    /// Why nobody serves.
    fn down(&self) -> Option<Error> {
        self.targets.iter().find_map(|target| match target.lane.glance().entry.state {
            State::Down(ref reason) => Some(Error::Down { deployment: self.record.spec.name.clone(), reason: reason.clone() }),
            _ => None,
        })
    }

    fn ask_one(&self, at: usize, caller: &Caller<'_>, trial: bool) -> Result<Asked, Error> {
        let Some(target) = self.targets.get(at) else { return Err(Error::NotFound(self.record.spec.name.clone())) };
        // The route's own affinity has spoken; that of the deployment speaks for its members.
        let asked = Lane::ask(&target.lane, caller);
        let served = matches!(asked, Ok(Asked::Served(_)));
        if trial && !served {
            self.kept.lock().ward.end_trial(target.number, Instant::now());
        }
        if served {
            self.kept.sticky.learn_prompt(&caller.hint.within(self.own_affinity()), tag(target.number));
        }
        match asked? {
            Asked::Served(lease) => Ok(Asked::Served(lease.through(self.toward(target.number).share(trial)))),
            Asked::Waits(waits) => Ok(Asked::Waits(waits.through(self.toward(target.number)))),
        }
    }

    fn toward(&self, number: u32) -> Toward {
        Toward { kept: Arc::clone(&self.kept), number, several: self.targets.len() > 1 }
    }

    /// A target that was passed over, whose time has come; a trial of it begins.
    fn due(&self, serves: Serves, tried: u64) -> Option<usize> {
        let mut inner = self.kept.lock();
        if inner.ward.out() == 0 {
            return None;
        }
        let at = |number: u32| self.targets.iter().position(|target| target.number == number);
        let may = |at: usize| tried & (1 << at) == 0 && self.candidate(at, serves).is_some();
        let number = inner.ward.due(Instant::now(), |number| at(number).is_some_and(may))?;
        inner.ward.begin_trial(number);
        at(number)
    }

    /// One of those that have a slot free, or would begin to load.
    fn pick(&self, serves: Serves, tried: u64, leaning: &Leaning) -> Option<usize> {
        let mut inner = self.kept.lock();
        let mut open = Open { all: [None; MOST_TARGETS] };
        for (at, (place, target)) in open.all.iter_mut().zip(&self.targets).enumerate() {
            if tried & (1 << at) == 0 && inner.ward.is_in(target.number) {
                *place = self.candidate(at, serves);
            }
        }
        let leant = pick::lean(open.iter(), leaning);
        if leant.is_some() {
            self.kept.hits.fetch_add(1, Ordering::Relaxed);
        }
        leant.or_else(|| pick::draw(&open.iter(), By::Share, &mut inner.dice)).map(|one| one.at)
    }

    fn candidate(&self, at: usize, serves: Serves) -> Option<Candidate> {
        let target = self.targets.get(at)?;
        let seen = target.lane.glance();
        let (busy, room) = match seen.entry.state {
            State::Ready if seen.busy < seen.room => (seen.busy, seen.room),
            State::Cold if seen.waiting == 0 => (0, 1), // the first one wakes it
            _ => return None,
        };
        let is_open = !seen.gone && serves(&seen.entry.dialect);
        is_open.then_some(Candidate { at, tag: tag(target.number), hash: target.hash, busy, room, weight: target.weight })
    }

    /// Of those that are full or on their way up, the one whose line is shortest for its room.
    fn shortest_line(&self, serves: Serves, tried: u64) -> Option<usize> {
        let inner = self.kept.lock();
        let lines = self.targets.iter().enumerate().filter_map(|(at, target)| {
            let Glance { entry, gone, room, waiting, .. } = target.lane.glance();
            let may = tried & (1 << at) == 0 && !gone && serves(&entry.dialect) && !matches!(entry.state, State::Down(_));
            let waits = u64::try_from(waiting).unwrap_or(u64::MAX).saturating_mul(1 << u16::BITS) / u64::from(room.max(1));
            may.then_some(((!inner.ward.is_in(target.number), entry.state != State::Ready, waits, Reverse(target.weight)), at))
        });
        lines.min().map(|(_, at)| at)
    }

    pub(crate) fn count(&self) -> Count {
        let inner = self.kept.lock();
        let seen = self.targets.iter().map(|target| target.lane.glance());
        let (waiting, slots) = seen.fold((0, 0_u32), |(waiting, slots), g| (waiting + g.waiting, slots.saturating_add(g.room)));
        Count {
            name: self.record.spec.name.clone(),
            route: true,
            in_flight: self.kept.in_flight.load(Ordering::Relaxed),
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            slots,
            ejected: u32::try_from(inner.ward.out()).unwrap_or(u32::MAX),
            ejections: inner.ward.ejections,
            affinity_hits: self.kept.hits.load(Ordering::Relaxed),
        }
    }

    /// Whether this target is passed over now.
    pub(crate) fn is_ejected(&self, deployment: &Name) -> bool {
        let inner = self.kept.lock();
        inner.known.iter().any(|(name, _, number)| name == deployment && !inner.ward.is_in(*number))
    }
}

/// Of two errors the one that says more to the caller.
pub(crate) fn telling(before: Option<Error>, error: Error) -> Error {
    match before {
        Some(before) if rank(&before) <= rank(&error) => before,
        _ => error,
    }
}

/// Full says most: asking again will help.
fn rank(error: &Error) -> u8 {
    match error {
        Error::QueueFull { .. } | Error::QueueTimeout { .. } => 0,
        Error::Loading { .. } | Error::Closed => 1,
        Error::Down { .. } => 2,
        Error::NobodyElse(_) => 3,
        Error::NotFound(_) => 4,
    }
}
