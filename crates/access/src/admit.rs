//! May this call be made now?
//!
//! In: who calls which deployment, and what the call will take. Out: a [`Permit`]: the call has been
//! counted with its token, its project and its deployment, with all of them or with none. Fails: with
//! the limit that takes longest to pass, and whose it is. Holds: the locks of those holders together,
//! always in the order token, project, deployment, so that no two admissions wait for each other;
//! for a few hundred nanoseconds, and nothing is allocated.
//!
//! **What the answer takes** is what the client allows it (`max_tokens`). A client who does not say
//! gets what most answers of this deployment have lately taken, and no more than the tightest limit
//! as a whole allows: a guess never makes an ask impossible. Before there was any answer it gets a
//! quarter of what is left, so that the first callers come in together and cannot all be wrong about
//! the same tokens.

use std::sync::{Arc, MutexGuard};

use base::Timestamp;
use spec::prices::Tokens;
use spec::{Budget, Limits, Period, Prices};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::error::Error;
use crate::holder::{Gate, terms};
use crate::meter::{Counts, Rates, Refusal, Terms};
use crate::permit::Permit;
use crate::window::Amounts;
use crate::words::Whose;

/// Of what is left, the part that an answer gets when nobody knows how long it will be.
const FIRST_SHARE: u64 = 4;
const MILLION: u128 = 1_000_000;

/// A call that wants to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whose.
    pub caller: &'a Arc<Caller>,
    /// To which deployment.
    pub gate: &'a Arc<Gate>,
    /// What that deployment may be used for at a time.
    pub limits: &'a Limits,
    /// And within an hour, a day, a month.
    pub budget: &'a Budget,
    /// What it costs.
    pub prices: &'a Prices,
    /// Tokens in.
    pub input: u64,
    /// Answers that are asked for; none where nothing is generated.
    pub answers: u64,
    /// Tokens that each of them may have, if the client says so.
    pub max_tokens: Option<u64>,
    /// Tokens that each of them can have at most, if that is known.
    pub context: Option<u64>,
}

type Held<'a> = [Option<(MutexGuard<'a, Counts>, Terms<'a>)>; 3];

/// Lets it in, or says what is in the way.
pub(crate) fn admit(ask: &Ask<'_>) -> Result<Permit, Error> {
    let (now, at) = (Instant::now(), Timestamp::now());
    let caller = ask.caller;
    let project = caller.shared.as_ref().map(|shared| (shared, shared.project.load()));
    let mut held: Held<'_> = [
        Some((caller.meter().lock(), caller.terms())),
        project.as_ref().map(|(shared, record)| (shared.meter.lock(), terms(record.as_deref()))),
        Some((ask.gate.meter.lock(), Terms { limits: ask.limits, budget: ask.budget })),
    ];
    for (counts, _) in held.iter_mut().flatten() {
        counts.roll(at);
    }
    let asked = ask.amounts(&mut held, now);
    let refusals = held.iter_mut().enumerate().map(|(which, part)| {
        let (counts, terms) = part.as_mut()?;
        Some((which, counts.refusal(*terms, asked, now)?))
    });
    if let Some((which, refusal)) = refusals.fold(None, worse_of) {
        drop(held);
        return Err(refused(whose(caller, ask.gate, which), refusal));
    }
    let mut rates = Rates::default();
    let marks = held.map(|part| {
        let (mut counts, terms) = part?;
        let mark = counts.take(terms, asked);
        rates = rates.tighter(counts.rates(terms, now));
        Some(mark)
    });
    Ok(Permit::new(ask, asked, marks, (now, rates)))
}

/// What is in the way, with the place of its holder.
pub(crate) type Found = Option<(usize, Refusal)>;

/// Of two, the one that the caller has to know.
pub(crate) fn worse_of(one: Found, two: Found) -> Found {
    match (one, two) {
        (Some(one), Some(two)) => Some(if two.1.weight() > one.1.weight() { two } else { one }),
        (one, two) => one.or(two),
    }
}

/// The holder at this place: token, project, deployment.
pub(crate) fn whose(caller: &Caller, gate: &Gate, which: usize) -> Whose {
    match (which, &caller.shared) {
        (0, _) => Whose::Token,
        (1, Some(shared)) => Whose::Project(shared.name.to_string()),
        _ => Whose::Deployment(gate.name.to_string()),
    }
}

/// A refusal in words.
pub(crate) fn refused(whose: Whose, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Limited { what, asked, limit, wait } => Error::Limited { what, whose, asked, limit, retry_after: wait },
        Refusal::Never { what, asked, limit } => Error::NeverFits { what, whose, asked, limit },
        Refusal::Budget(quota) => Error::Budget { whose, quota: Box::new(quota) },
    }
}

impl Ask<'_> {
    /// What is set aside.
    fn amounts(&self, held: &mut Held<'_>, now: Instant) -> Amounts {
        let output = match self.max_tokens {
            Some(each) => self.at_most(each),
            None if self.answers == 0 => 0,
            None => match self.gate.lately.likely() {
                Some(each) => self.at_most(each).min(self.whole_room(held)),
                None => self.first_share(held, now),
            },
        };
        Amounts { tokens: self.input.saturating_add(output), usd: self.cost(output) }
    }

    fn at_most(&self, each: u64) -> u64 {
        self.context.map_or(each, |context| each.min(context)).saturating_mul(self.answers)
    }

    fn cost(&self, output: u64) -> u64 {
        self.prices.cost(Tokens { input: self.input, cached: 0, output }).0
    }

    /// Tokens out for which the limits would have room if nothing were used of them.
    fn whole_room(&self, held: &Held<'_>) -> u64 {
        let all = held.iter().flatten().flat_map(|(_, terms)| {
            let budgets = Period::ALL.into_iter().flat_map(|period| {
                [terms.budget.tokens(period).map(|limit| self.by_tokens(limit)), terms.budget.usd(period).map(|limit| self.by_usd(limit.0))]
            });
            budgets.flatten().chain(terms.limits.tokens_per_minute.map(|limit| self.by_tokens(limit)))
        });
        all.min().unwrap_or(u64::MAX)
    }

    /// A share of the tokens out for which there is room now; nothing where nothing is limited.
    fn first_share(&self, held: &mut Held<'_>, now: Instant) -> u64 {
        let mut room: Option<u64> = None;
        for (counts, terms) in held.iter_mut().flatten() {
            let (tokens, usd) = counts.left(*terms, now);
            let both = tokens.map(|left| self.by_tokens(left)).into_iter().chain(usd.map(|left| self.by_usd(left)));
            room = room.into_iter().chain(both).min();
        }
        let share = room.map_or(0, |room| room / FIRST_SHARE);
        share.min(self.at_most(u64::MAX))
    }

    /// Tokens out beside the tokens in.
    fn by_tokens(&self, left: u64) -> u64 {
        left.saturating_sub(self.input)
    }

    /// Tokens out that the money pays for beside the tokens in.
    fn by_usd(&self, left: u64) -> u64 {
        let left = u128::from(left.saturating_sub(self.cost(0)));
        let price = u128::from(self.prices.output_per_million.0);
        (left * MILLION).checked_div(price).map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
