//! The members of one deployment: who runs how many calls, who is passed over, who takes the next one.
//!
//! In: the members as they are published, calls that come and go, how they fared. Out: slots. Fails: when every
//! slot is taken, or only members are left that the caller has tried. Holds: nothing; its lane locks it.

use std::sync::Arc;

use base::Timestamp;
use spec::InstanceId;
use tokio::time::Instant;

use crate::MemberUse;
use crate::dice::{Dice, hash};
use crate::health::{Outcome, Ticket, Verdict, Ward};
use crate::pick::{self, By, Candidate, Leaning};
use crate::split::{Side, Turns};
use crate::table::{Entry, Member};

/// The members, those that leave included as long as calls run on them.
#[derive(Debug)]
pub(crate) struct Seats {
    list: Vec<Seat>,
    in_flight: u32,
    last_used: Option<Timestamp>,
    ward: Ward,
    dice: Dice,
    next: u32,
    hits: u64,
    turns: Turns,
    /// How a call fares matters though there is nobody beside it.
    watches: bool,
}

#[derive(Debug)]
struct Seat {
    number: u32,
    hash: u64,
    member: Arc<Member>,
    /// It is published.
    serves: bool,
    in_flight: u32,
    last_used: Option<Timestamp>,
    calls: u64,
    failures: u64,
}

/// Whom a caller does not want.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avoid<'a> {
    pub(crate) ids: &'a [InstanceId],
    /// They will do when nobody else serves.
    pub(crate) unless_alone: bool,
}

/// A slot.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) number: u32,
    pub(crate) member: Arc<Member>,
    /// This call tries a member that was passed over.
    pub(crate) trial: bool,
    /// Since when it runs, where there are others and it matters how it fares.
    pub(crate) watched: Option<(Instant, Ticket)>,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    Full,
    NobodyElse,
}

/// What a member's number is to the prefix memory.
pub(crate) fn tag(number: u32) -> u16 {
    u16::try_from(number % u32::from(u16::MAX)).unwrap_or(0)
}

impl Seats {
    pub(crate) fn new() -> Self {
        let (list, ward, turns) = (Vec::new(), Ward::default(), Turns::default());
        Self { list, in_flight: 0, last_used: None, ward, dice: Dice::new(), next: 0, hits: 0, turns, watches: false }
    }

    /// These members are published now.
    pub(crate) fn renew(&mut self, members: &[Arc<Member>], most_ejected: u32) {
        for seat in &mut self.list {
            seat.serves = false;
        }
        for member in members {
            if let Some(seat) = self.list.iter_mut().find(|seat| seat.member.id == member.id) {
                (seat.serves, seat.member) = (true, Arc::clone(member));
                continue;
            }
            let (number, hash) = (self.next, hash(member.id.as_str().as_bytes()));
            self.next = self.next.wrapping_add(1);
            let member = Arc::clone(member);
            self.list.push(Seat { number, hash, member, serves: true, in_flight: 0, last_used: None, calls: 0, failures: 0 });
        }
        self.list.retain(|seat| seat.serves || seat.in_flight > 0);
        let Self { list, ward, .. } = self;
        ward.keep(|number| list.iter().any(|seat| seat.serves && seat.number == number));
        for seat in list.iter().filter(|seat| seat.serves) {
            // Revisions may be of different speed; a member is compared with its own.
            ward.add(seat.number, seat.member.revision);
        }
        ward.set_most(most_ejected);
    }

    /// How its calls are shared between revisions, and whether their times are wanted.
    pub(crate) fn share(&mut self, entry: &Entry) {
        self.turns.set(entry.split);
        self.watches = entry.spec.replicas.target.first_token.is_some();
    }

    /// A slot for a caller; with `most` calls running there is none.
    pub(crate) fn take(&mut self, avoid: Avoid<'_>, leaning: &Leaning, most: Option<u32>) -> Result<Taken, NoSlot> {
        if most.is_some_and(|most| self.in_flight >= most) {
            return Err(NoSlot::Full);
        }
        if let [seat] = self.list.as_slice() {
            let is_free = seat.is_free();
            return match avoid.ids.contains(&seat.member.id) && !avoid.unless_alone {
                true if seat.serves => Err(NoSlot::NobodyElse),
                _ if is_free => Ok(self.occupy(0, false)),
                _ => Err(NoSlot::Full),
            };
        }
        if let Some(at) = self.due(avoid) {
            return Ok(self.occupy(at, true));
        }
        let side = self.side(avoid);
        let Self { list, ward, dice, turns, .. } = self;
        let split = turns.split();
        let is_open = |seat: &Seat| seat.is_free() && ward.is_in(seat.number) && side.has(seat.member.revision, split);
        let open = list.iter().enumerate().filter(|(_, seat)| is_open(seat)).map(Seat::candidate);
        let others = open.clone().filter(|one| !avoids(avoid, list, one.at));
        if let Some(one) = pick::lean(others.clone(), leaning) {
            self.hits += 1;
            return Ok(self.occupy(one.at, false));
        }
        if let Some(one) = pick::draw(&others, By::Load, dice) {
            return Ok(self.occupy(one.at, false));
        }
        let serving = |seat: &&Seat| seat.serves && ward.is_in(seat.number);
        match list.iter().filter(serving).all(|seat| avoid.ids.contains(&seat.member.id)) && !avoid.ids.is_empty() {
            true if avoid.unless_alone => {
                let one = pick::draw(&open, By::Load, dice).ok_or(NoSlot::Full)?;
                Ok(self.occupy(one.at, false))
            }
            true if list.iter().any(|seat| seat.serves) => Err(NoSlot::NobodyElse),
            _ => Err(NoSlot::Full),
        }
    }

    /// The revision that takes the next call, where there are two.
    fn side(&self, avoid: Avoid<'_>) -> Side {
        let split = self.turns.split();
        let any = |side: Side, is: fn(&Seat) -> bool| {
            let of = |(at, seat): (usize, &Seat)| side.has(seat.member.revision, split) && is(seat) && !avoids(avoid, &self.list, at);
            self.list.iter().enumerate().any(|(at, seat)| self.ward.is_in(seat.number) && of((at, seat)))
        };
        self.turns.next(|side| any(side, |seat| seat.serves), |side| any(side, Seat::is_free))
    }

    /// One that was passed over, whose time has come, and which this call may try.
    fn due(&self, avoid: Avoid<'_>) -> Option<usize> {
        if self.ward.out() == 0 {
            return None;
        }
        let at = |number: u32| self.list.iter().position(|seat| seat.number == number);
        let may = |number: u32| at(number).is_some_and(|at| self.list[at].is_free() && !avoids(avoid, &self.list, at));
        at(self.ward.due(Instant::now(), may)?)
    }

    fn occupy(&mut self, at: usize, trial: bool) -> Taken {
        let watched = (self.list.len() > 1 || self.watches).then(Instant::now);
        let seat = &mut self.list[at];
        self.turns.took(seat.member.revision);
        seat.in_flight += 1;
        seat.last_used = Some(Timestamp::steady());
        self.last_used = seat.last_used;
        self.in_flight += 1;
        if trial {
            self.ward.begin_trial(seat.number);
        }
        let watched = watched.map(|now| (now, self.ward.sent(seat.number, now)));
        Taken { number: seat.number, member: Arc::clone(&seat.member), trial, watched }
    }

    /// The slot is free again; true when its member has nothing more to do, with whether it is leaving.
    pub(crate) fn give_back(&mut self, number: u32) -> Option<bool> {
        let now = Some(Timestamp::steady());
        self.last_used = now;
        let at = self.list.iter().position(|seat| seat.number == number)?;
        let seat = &mut self.list[at];
        seat.in_flight = seat.in_flight.saturating_sub(1);
        seat.last_used = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        let (idle, leaves) = (seat.in_flight == 0, !seat.serves);
        if idle && leaves {
            self.list.remove(at);
        }
        idle.then_some(leaves)
    }

    /// How a call fared.
    pub(crate) fn note(&mut self, number: u32, outcome: Outcome, (trial, ticket): (bool, Option<Ticket>)) -> Verdict {
        let failed = matches!(outcome, Outcome::Failed(_));
        if let Some(seat) = self.list.iter_mut().find(|seat| seat.number == number) {
            seat.calls += u64::from(ticket.is_some() && !matches!(outcome, Outcome::Left(_)));
            seat.failures += u64::from(failed);
        }
        if let Some(ticket) = ticket {
            self.ward.heard(number, ticket);
        }
        if self.list.len() < 2 && (failed || !self.watches) {
            return Verdict::Spared; // there is nobody else
        }
        self.ward.note(number, outcome, trial, Instant::now())
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }
    pub(crate) fn last_used(&self) -> Option<Timestamp> {
        self.last_used
    }
    /// More than one serves, so there is something to choose.
    pub(crate) fn are_several(&self) -> bool {
        self.list.iter().filter(|seat| seat.serves).nth(1).is_some()
    }
    /// Slots of those that take calls.
    pub(crate) fn room(&self) -> u32 {
        let in_service = self.list.iter().filter(|seat| seat.serves && self.ward.is_in(seat.number));
        in_service.fold(0, |sum, seat| sum.saturating_add(seat.member.slots))
    }
    pub(crate) fn ejected(&self) -> u32 {
        u32::try_from(self.ward.out()).unwrap_or(u32::MAX)
    }
    pub(crate) fn ejections(&self) -> u64 {
        self.ward.ejections
    }
    pub(crate) fn hits(&self) -> u64 {
        self.hits
    }
    pub(crate) fn use_of(&self, id: &InstanceId) -> MemberUse {
        let seat = self.list.iter().find(|seat| seat.member.id == *id);
        seat.map_or_else(MemberUse::default, |seat| MemberUse {
            in_flight: seat.in_flight,
            last_used: seat.last_used,
            ejected: seat.serves && !self.ward.is_in(seat.number),
            calls: seat.calls,
            failures: seat.failures,
            first_token: self.ward.first_token(seat.number),
        })
    }
}

fn avoids(avoid: Avoid<'_>, list: &[Seat], at: usize) -> bool {
    !avoid.ids.is_empty() && list.get(at).is_some_and(|seat| avoid.ids.contains(&seat.member.id))
}

impl Seat {
    fn is_free(&self) -> bool {
        self.serves && self.in_flight < self.member.slots
    }
    fn candidate((at, seat): (usize, &Self)) -> Candidate {
        Candidate { at, tag: tag(seat.number), hash: seat.hash, busy: seat.in_flight, room: seat.member.slots, weight: 1 }
    }
}
