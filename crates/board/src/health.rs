//! Who of several members is passed over for now, and who gets another chance.
//!
//! In: how calls fared: when the first token came, or what went wrong. Out: for each member whether it takes
//! calls. A member that fails again and again, or whose first tokens come far later than those of the
//! others, is out for a time that doubles and has jitter; then exactly one call tries it, and brings it back
//! or not. Never more than a share of the members is out, so never the only one. Holds: no lock and
//! reads no clock. From: Envoy's outlier detection; the half-open state of Nygard's circuit breaker.

use std::time::Duration;

use base::Backoff;
use tokio::time::Instant;

mod times;

use times::{ENOUGH, Times};

/// Why a call failed on a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It cannot be connected to.
    Unreachable,
    /// The connection broke.
    Broken,
    /// It did not begin to answer in time, or fell silent.
    Late,
    /// It answered that it failed.
    Error,
    /// It answered that it has too much to do, perhaps for how long.
    Busy(Option<Duration>),
}

/// How a call fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The first token came after this time.
    Began(Duration),
    /// It answered in one piece, which says nothing of how fast it begins.
    Answered,
    /// It failed.
    Failed(Failure),
    /// The caller went after this time, before anything came.
    Left(Duration),
}

/// What a judgement came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing changes.
    Stays,
    /// It is out.
    Out,
    /// It is back.
    Back,
    /// It should go, but too many are out.
    Spared,
}

/// So many failures in a row send a member out; one that cannot be reached counts double.
const ROW: u32 = 3;
/// Half of so many calls failed: out, even if some succeed in between.
const WINDOW: u32 = 20;
/// Slow is: so many times as long as the others, and longer by at least [`FLOOR`].
const SLOW: u32 = 3;
const FLOOR: Duration = Duration::from_millis(10);
/// The first time out, and the longest.
const OUT: Backoff = Backoff { first: Duration::from_secs(5), most: Duration::from_mins(5) };
/// A member that says for how long it is busy is believed up to this.
const MOST_BUSY: Duration = Duration::from_mins(1);
/// Who has been back for so long begins anew.
const CALM: Duration = Duration::from_mins(5);

/// The members of a lane, or the targets of a route.
#[derive(Debug, Default)]
pub(crate) struct Ward {
    members: Vec<Member>,
    /// Members that do not take calls.
    out: usize,
    /// At most so many percent may be out.
    most: u32,
    /// How often a member was sent out.
    pub(crate) ejections: u64,
}

/// Where a member keeps that a call waits; not all are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(Option<usize>);

#[derive(Debug)]
struct Member {
    number: u32,
    /// Only members of one kin can be compared by their times.
    kin: u64,
    state: State,
    row: u32,
    /// The latest outcomes, a bit for each failure.
    outcomes: u32,
    seen: u32,
    times: Times,
    /// A few calls of those that wait for their first token, and since when.
    waits: [Option<Instant>; ENOUGH],
    /// Times out, one after the other without a calm time between.
    turns: u32,
    back_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    In,
    Out { until: Instant, slow: bool },
    Trying { slow: bool },
}

impl Ward {
    /// At most so many percent may be out.
    pub(crate) fn set_most(&mut self, percent: u32) {
        self.most = percent;
        self.bring_back_surplus();
    }

    /// A new member, unless it is known already.
    pub(crate) fn add(&mut self, number: u32, kin: u64) {
        if self.members.iter().any(|member| member.number == number) {
            return;
        }
        let (state, times, waits) = (State::In, Times::default(), [None; ENOUGH]);
        self.members.push(Member { number, kin, state, row: 0, outcomes: 0, seen: 0, times, waits, turns: 0, back_at: None });
    }

    /// Forgets members that are gone.
    pub(crate) fn keep(&mut self, stays: impl Fn(u32) -> bool) {
        self.members.retain(|member| stays(member.number));
        self.out = self.members.iter().filter(|member| member.state != State::In).count();
        self.bring_back_surplus();
    }

    /// Whether it takes calls as all others do.
    pub(crate) fn is_in(&self, number: u32) -> bool {
        self.out == 0 || self.members.iter().any(|member| member.number == number && member.state == State::In)
    }

    /// How long its first tokens usually take lately, once there were enough of them.
    pub(crate) fn first_token(&self, number: u32) -> Option<Duration> {
        self.members.iter().find(|member| member.number == number)?.times.typical()
    }

    /// Members that are out or tried.
    pub(crate) fn out(&self) -> usize {
        self.out
    }

    /// A member whose time is over and whom `may` lets be tried.
    pub(crate) fn due(&self, now: Instant, may: impl Fn(u32) -> bool) -> Option<u32> {
        let over = |member: &&Member| matches!(member.state, State::Out { until, .. } if until <= now);
        self.members.iter().filter(over).map(|member| member.number).find(|number| may(*number))
    }

    /// One call tries it.
    pub(crate) fn begin_trial(&mut self, number: u32) {
        if let Some(member) = self.member(number)
            && let State::Out { slow, .. } = member.state
        {
            member.state = State::Trying { slow };
        }
    }

    /// The call that tried it went without an answer: the next one may try.
    pub(crate) fn end_trial(&mut self, number: u32, now: Instant) {
        if let Some(member) = self.member(number)
            && let State::Trying { slow } = member.state
        {
            member.state = State::Out { until: now, slow };
        }
    }

    /// A call has been sent to it. Its ticket comes back with its first word.
    pub(crate) fn sent(&mut self, number: u32, now: Instant) -> Ticket {
        let place = self.member(number).and_then(|member| member.waits.iter_mut().enumerate().find(|(_, place)| place.is_none()));
        Ticket(place.map(|(at, place)| {
            *place = Some(now);
            at
        }))
    }

    /// The first word of a call that was [sent](Self::sent).
    pub(crate) fn heard(&mut self, number: u32, ticket: Ticket) {
        if let Some(member) = self.member(number)
            && let Some(place) = ticket.0.and_then(|at| member.waits.get_mut(at))
        {
            *place = None;
        }
    }

    /// Notes how a call fared; `tried` when it was the one that tried the member.
    pub(crate) fn note(&mut self, number: u32, outcome: Outcome, tried: bool, now: Instant) -> Verdict {
        if let Outcome::Began(after) = outcome {
            self.look_for_stuck(after, now);
        }
        let Some(at) = self.members.iter().position(|member| member.number == number) else { return Verdict::Stays };
        match self.members[at].state {
            State::Trying { slow } if tried => self.tried(at, outcome, slow, now),
            State::In => self.lived(at, outcome, now),
            // Begun before it was sent out: that has been judged.
            State::Out { .. } | State::Trying { .. } => Verdict::Stays,
        }
    }

    fn lived(&mut self, at: usize, outcome: Outcome, now: Instant) -> Verdict {
        match outcome {
            Outcome::Began(after) => {
                self.members[at].began(after);
                let typical = self.members[at].times.typical();
                if typical.is_some_and(|typical| self.is_slow(at, typical)) { self.send_out(at, true, None, now) } else { Verdict::Stays }
            }
            Outcome::Answered => {
                self.members[at].went_well();
                Verdict::Stays
            }
            // Whoever left was kept waiting for at least so long; only a long wait says anything.
            Outcome::Left(after) if self.is_slow(at, after) => self.lived(at, Outcome::Began(after), now),
            Outcome::Left(_) => Verdict::Stays,
            Outcome::Failed(failure) => {
                let busy = if let Failure::Busy(time) = failure { time } else { None };
                if self.members[at].failed(failure) || busy.is_some() { self.send_out(at, false, busy, now) } else { Verdict::Stays }
            }
        }
    }

    /// A member with several calls that have waited far longer than others take is slow, though none of them has
    /// come to an end yet. `after` is how long one of the others just took.
    fn look_for_stuck(&mut self, after: Duration, now: Instant) {
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let latest = member.waits.iter().try_fold(None, |latest, wait| wait.map(|since| latest.max(Some(since)))).flatten();
            let waited = latest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            if member.state == State::In && waited >= after.saturating_mul(SLOW) && self.is_slow(at, waited) {
                self.send_out(at, true, None, now);
            }
        }
    }

    fn tried(&mut self, at: usize, outcome: Outcome, slow: bool, now: Instant) -> Verdict {
        match outcome {
            Outcome::Began(after) if !slow || !self.is_slow(at, after) => {
                self.bring_back(at, Some(now));
                self.members[at].times.push(after);
                Verdict::Back
            }
            Outcome::Answered => {
                self.bring_back(at, Some(now));
                Verdict::Back
            }
            Outcome::Left(after) if !slow || !self.is_slow(at, after) => {
                self.members[at].state = State::Out { until: now, slow };
                Verdict::Stays
            }
            Outcome::Failed(Failure::Busy(time)) => self.send_out(at, false, time, now),
            Outcome::Failed(_) => self.send_out(at, false, None, now),
            Outcome::Began(_) | Outcome::Left(_) => self.send_out(at, true, None, now),
        }
    }

    /// Whether a first token after this time is far later than those of the others.
    fn is_slow(&self, at: usize, after: Duration) -> bool {
        let kin = self.members[at].kin;
        let others = self.members.iter().enumerate().filter(|(i, other)| *i != at && other.kin == kin && other.state == State::In);
        let usual = times::median(others.filter_map(|(_, other)| other.times.typical()));
        usual.is_some_and(|usual| after >= usual.saturating_mul(SLOW) && after >= usual.saturating_add(FLOOR))
    }

    fn send_out(&mut self, at: usize, slow: bool, busy: Option<Duration>, now: Instant) -> Verdict {
        let was_in = self.members[at].state == State::In;
        if was_in && self.out >= self.most_out() {
            return Verdict::Spared;
        }
        self.out += usize::from(was_in);
        self.ejections += 1;
        let member = &mut self.members[at];
        let wait = if let Some(time) = busy {
            time.min(MOST_BUSY) // it said so itself, and is no worse for it
        } else {
            let calm = member.back_at.is_some_and(|back| now.saturating_duration_since(back) >= CALM);
            member.turns = if calm { 1 } else { member.turns.saturating_add(1) };
            OUT.wait(member.turns)
        };
        member.state = State::Out { until: now + wait, slow };
        Verdict::Out
    }

    fn bring_back(&mut self, at: usize, now: Option<Instant>) {
        self.out = self.out.saturating_sub(1);
        let member = &mut self.members[at];
        (member.state, member.row, member.outcomes, member.seen) = (State::In, 0, 0, 0);
        member.times = Times::default();
        member.back_at = now;
    }

    /// Too many are out for those that there are now: who would come back first comes back now.
    fn bring_back_surplus(&mut self) {
        while self.out > self.most_out() {
            let due = |member: &Member| match member.state {
                State::In => None,
                State::Out { until, .. } => Some((1, Some(until))),
                State::Trying { .. } => Some((0, None)),
            };
            let first = self.members.iter().enumerate().filter_map(|(at, member)| Some((due(member)?, at))).min();
            let Some((_, at)) = first else { return };
            self.bring_back(at, None);
        }
    }

    fn most_out(&self) -> usize {
        const WHOLE: usize = 100;
        let most = usize::try_from(self.most).unwrap_or(0).min(WHOLE);
        (self.members.len() * most / WHOLE).min(self.members.len().saturating_sub(1))
    }

    fn member(&mut self, number: u32) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.number == number)
    }
}

impl Member {
    fn began(&mut self, after: Duration) {
        self.went_well();
        self.times.push(after);
    }

    fn went_well(&mut self) {
        self.row = 0;
        self.saw(0);
    }

    /// True when that was one too many.
    fn failed(&mut self, failure: Failure) -> bool {
        self.row += if failure == Failure::Unreachable { 2 } else { 1 };
        self.saw(1);
        let lately = (self.outcomes & ((1 << WINDOW) - 1)).count_ones();
        self.row >= ROW || (self.seen >= WINDOW && lately * 2 >= WINDOW)
    }

    fn saw(&mut self, failure: u32) {
        self.outcomes = (self.outcomes << 1) | failure;
        self.seen = self.seen.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
