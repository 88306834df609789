//! The right to one call, with what was set aside for it.
//!
//! In: an admission. Out: dropping it gives the place back, and the tokens and the money: all of
//! them, or what the settled use leaves. Fails: never. Holds: the locks of its holders, one after the other.

use std::sync::Arc;

use base::Timestamp;
use spec::prices::Tokens;
use spec::{Budget, Limits, Prices, Usd};
use tokio::time::Instant;

use crate::admit::{Ask, Found, refused, whose, worse_of};
use crate::caller::Caller;
use crate::error::Error;
use crate::holder::{Gate, terms};
use crate::meter::{Mark, Rates, Terms};
use crate::window::Amounts;

/// What a call really used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens in.
    pub input: u64,
    /// Tokens out, of all answers.
    pub output: u64,
    /// What it cost.
    pub cost: Usd,
    /// It came to its end, so that something is to be learned from its length.
    pub whole: bool,
}

/// The right to one call; gives itself back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit {
    caller: Arc<Caller>,
    gate: Arc<Gate>,
    marks: [Option<Mark>; 3],
    taken: Amounts,
    /// Of the tokens that were set aside, those in.
    input: u64,
    used: Used,
    since: Instant,
    rates: Rates,
    answers: u64,
    /// An answer of so many tokens was cut off by its bound.
    bound: u64,
}

impl Permit {
    pub(crate) fn new(ask: &Ask<'_>, taken: Amounts, marks: [Option<Mark>; 3], (since, rates): (Instant, Rates)) -> Self {
        Self {
            caller: Arc::clone(ask.caller),
            gate: Arc::clone(ask.gate),
            marks,
            taken,
            input: ask.input,
            used: Used::default(),
            since,
            rates,
            answers: ask.answers,
            bound: ask.max_tokens.map_or(u64::MAX, |each| each.saturating_mul(ask.answers)),
        }
    }

    /// Says what was really used; the last word before the drop counts. A permit that hears nothing
    /// has used nothing.
    pub fn settle(&mut self, used: Used) {
        self.used = used;
    }

    /// The tightest limits as they were when it was let in, for the `x-ratelimit` headers.
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// What was set aside: tokens in and out, and money.
    pub fn reserved(&self) -> (u64, Usd) {
        (self.taken.tokens, Usd(self.taken.usd))
    }

    /// The deployment that it counts with.
    pub fn deployment(&self) -> &str {
        &self.gate.name
    }

    /// The call goes to another deployment than the one it was let in for: it counts with that one from
    /// now on, at its prices, if there is room with that one, and for what it costs more with its token and its project.
    pub fn move_to(&mut self, gate: &Arc<Gate>, limits: &Limits, budget: &Budget, prices: &Prices) -> Result<(), Error> {
        const DEPLOYMENT: usize = 2;
        if Arc::ptr_eq(&self.gate, gate) {
            return Ok(());
        }
        let ((now, at), there) = ((Instant::now(), Timestamp::now()), Terms { limits, budget });
        let taken = Amounts { usd: self.cost(prices), ..self.taken };
        let change = (self.taken, taken);
        let project = self.caller.shared.as_ref().map(|shared| (shared, shared.project.load()));
        let mut held = [
            Some((self.caller.meter().lock(), self.caller.terms())),
            project.as_ref().map(|(shared, record)| (shared.meter.lock(), terms(record.as_deref()))),
        ];
        let mut counts = gate.meter.lock();
        counts.roll(at);
        let mut found: Found = counts.refusal(there, taken, now).map(|refusal| (DEPLOYMENT, refusal));
        for (which, (part, mark)) in held.iter_mut().zip(self.marks).enumerate() {
            if let (Some((counts, terms)), Some(mark)) = (part, mark) {
                counts.roll(at);
                found = worse_of(found, counts.dearer(mark, terms.budget, change).map(|refusal| (which, refusal)));
            }
        }
        if let Some((which, refusal)) = found {
            return Err(refused(whose(&self.caller, gate, which), refusal));
        }
        for (part, mark) in held.iter_mut().zip(self.marks) {
            if let (Some((counts, _)), Some(mark)) = (part, mark) {
                counts.exchange(mark, change);
            }
        }
        let mark = counts.take(there, taken);
        drop((held, counts));
        if let Some(mark) = self.marks[DEPLOYMENT].replace(mark) {
            self.gate.meter.lock().give_back(mark, (self.taken, Amounts::default()), (self.since, now));
        }
        (self.gate, self.taken) = (Arc::clone(gate), taken);
        Ok(())
    }

    /// What was set aside, in nano-USD of these prices.
    fn cost(&self, prices: &Prices) -> u64 {
        prices.cost(Tokens { input: self.input, cached: 0, output: self.taken.tokens.saturating_sub(self.input) }).0
    }

    /// Who may call.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn learn(&self) {
        let Used { output, whole, .. } = self.used;
        // How long an answer would have been that its bound cut off, nobody knows.
        if whole && self.answers > 0 && output < self.bound {
            self.gate.lately.note(output.div_ceil(self.answers));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.learn();
        let times = (self.since, Instant::now());
        let used = Amounts { tokens: self.used.input.saturating_add(self.used.output), usd: self.used.cost.0 };
        let meters = [Some(self.caller.meter()), self.caller.shared.as_ref().map(|shared| &shared.meter), Some(&self.gate.meter)];
        for (meter, mark) in meters.into_iter().zip(self.marks) {
            if let (Some(meter), Some(mark)) = (meter, mark) {
                meter.lock().give_back(mark, (self.taken, used), times);
            }
        }
    }
}
