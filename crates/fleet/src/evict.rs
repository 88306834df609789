//! Who has to leave so that something else fits.
//!
//! In: the bytes that are missing of each device, and who could go. Out: the cheapest set that gives them
//! all back, or none if even all together would not. Pure. From: branch and bound for covering problems; the
//! bound is what the missing bytes of one device would cost if parts of victims could be taken. Few
//! candidates are searched to the end; of many, a branch that cannot save half a percent is left, and
//! the search stops after so many steps, so that a turn stays short.

use base::{ByteSize, Timestamp};
use spec::InstanceId;

/// Somebody who could go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: InstanceId,
    /// What it gives back, by device.
    pub gives: Vec<(usize, ByteSize)>,
    /// What its leaving costs: the time that loading it again takes, and more if that is likely to be soon.
    pub cost: u64,
    /// When it was last of use.
    pub last_used: Timestamp,
}

/// Who leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victims {
    /// They.
    pub ids: Vec<InstanceId>,
    /// What that costs.
    pub cost: u64,
}

/// Up to so many candidates are searched to the end.
const EXACT: usize = 14;
/// Of more, so many steps.
const STEPS: usize = 20_000;
/// And so many looks at a candidate, whichever comes first.
const LOOKS: usize = 150_000;
/// And no deeper than this.
const DEEPEST: usize = 1_000;
/// A branch is left when it cannot save one part in so many.
const WORTHWHILE: u64 = 200;

/// The cheapest set that gives back what is missing of each device; none when there is no such set.
pub fn evict(missing: &[(usize, ByteSize)], candidates: &[Candidate]) -> Option<Victims> {
    let missing: Vec<(usize, u64)> = missing.iter().filter(|(_, bytes)| bytes.0 > 0).map(|(at, bytes)| (*at, bytes.0)).collect();
    let mut search = Search::new(&missing, candidates)?;
    search.greedy();
    search.go(0, search.missing.clone(), Price::default());
    let best = search.best?;
    let ids = best.members.iter().filter_map(|member| Some(search.order.get(*member)?.candidate.id.clone())).collect();
    Some(Victims { ids, cost: best.price.cost })
}

/// A candidate as the search sees it: only what is missing counts of what it gives.
struct Victim<'a> {
    candidate: &'a Candidate,
    gives: Vec<u64>,
}

/// What a set costs. Among equals the one whose members were used longest ago, then the smaller one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    cost: u64,
    newest: Timestamp,
    members: usize,
}

struct Best {
    price: Price,
    members: Vec<usize>,
}

struct Search<'a> {
    /// Cheapest for what it gives first.
    order: Vec<Victim<'a>>,
    missing: Vec<u64>,
    /// For each device, the candidates by their cost for each byte of it.
    by_device: Vec<Vec<usize>>,
    /// What those from here on give together.
    rest: Vec<Vec<u64>>,
    chosen: Vec<usize>,
    best: Option<Best>,
    steps: usize,
    looks: usize,
    exact: bool,
}

impl Price {
    fn with(self, candidate: &Candidate) -> Self {
        Self { cost: self.cost.saturating_add(candidate.cost), newest: self.newest.max(candidate.last_used), members: self.members + 1 }
    }
}

impl<'a> Search<'a> {
    fn new(missing: &[(usize, u64)], candidates: &'a [Candidate]) -> Option<Self> {
        let of = |candidate: &Candidate, (at, short): &(usize, u64)| {
            let gives = candidate.gives.iter().filter(|(there, _)| there == at).map(|(_, bytes)| bytes.0).sum::<u64>();
            gives.min(*short)
        };
        let victims =
            candidates.iter().map(|candidate| Victim { candidate, gives: missing.iter().map(|one| of(candidate, one)).collect() });
        let mut order: Vec<Victim<'a>> = victims.filter(|victim| victim.gives.iter().any(|bytes| *bytes > 0)).collect();
        order.sort_by(|a, b| {
            let (one, other) = (worth(a, missing), worth(b, missing));
            other.total_cmp(&one).then(a.candidate.last_used.cmp(&b.candidate.last_used)).then_with(|| a.candidate.id.cmp(&b.candidate.id))
        });
        let missing: Vec<u64> = missing.iter().map(|(_, bytes)| *bytes).collect();
        let rest = rests(&order, missing.len());
        let is_enough = rest.first().is_some_and(|all| all.iter().zip(&missing).all(|(all, short)| all >= short));
        let by_device = (0..missing.len()).map(|device| cheapest_of(&order, device)).collect();
        let exact = order.len() <= EXACT;
        let search = Self { order, missing, by_device, rest, chosen: Vec::new(), best: None, steps: 0, looks: 0, exact };
        is_enough.then_some(search)
    }

    /// A good set to begin with: by what each gives for its cost, and then without those that are not needed.
    fn greedy(&mut self) {
        let mut short = self.missing.clone();
        let mut members: Vec<usize> = Vec::new();
        for (at, victim) in self.order.iter().enumerate() {
            if short.iter().all(|short| *short == 0) {
                break;
            }
            if victim.gives.iter().zip(&short).any(|(gives, short)| *gives > 0 && *short > 0) {
                less(&mut short, &victim.gives);
                members.push(at);
            }
        }
        let mut by_cost = members.clone();
        by_cost.sort_by_key(|at| std::cmp::Reverse(self.order.get(*at).map_or(0, |victim| victim.candidate.cost)));
        for spare in by_cost {
            let others = || members.iter().filter(|at| **at != spare).filter_map(|at| self.order.get(*at));
            let given = |device: usize| others().filter_map(|victim| victim.gives.get(device)).sum::<u64>();
            if self.missing.iter().enumerate().all(|(device, short)| given(device) >= *short) {
                members.retain(|at| *at != spare);
            }
        }
        let price =
            members.iter().filter_map(|at| self.order.get(*at)).fold(Price::default(), |price, victim| price.with(victim.candidate));
        self.best = Some(Best { price, members });
    }

    /// Decides on the candidate at this place: with it, then without it.
    fn go(&mut self, at: usize, short: Vec<u64>, price: Price) {
        if short.iter().all(|short| *short == 0) {
            if self.best.as_ref().is_none_or(|best| price < best.price) {
                self.best = Some(Best { price, members: self.chosen.clone() });
            }
            return;
        }
        self.steps += 1;
        let is_over = !self.exact && (self.steps > STEPS || self.looks > LOOKS || at >= DEEPEST);
        let is_enough = self.rest.get(at).is_some_and(|rest| rest.iter().zip(&short).all(|(rest, short)| rest >= short));
        if is_over || !is_enough || self.is_hopeless(at, &short, price) {
            return;
        }
        let Some(victim) = self.order.get(at) else { return };
        if victim.gives.iter().zip(&short).any(|(gives, short)| *gives > 0 && *short > 0) {
            let mut left = short.clone();
            less(&mut left, &victim.gives);
            let with = price.with(victim.candidate);
            self.chosen.push(at);
            self.go(at + 1, left, with);
            self.chosen.pop();
        }
        self.go(at + 1, short, price);
    }

    /// Even with parts of victims this branch would not be worth it.
    fn is_hopeless(&mut self, at: usize, short: &[u64], price: Price) -> bool {
        let Some(most) = self.best.as_ref().map(|best| best.price.cost) else { return false };
        let most = if self.exact { most.saturating_add(1) } else { most - most / WORTHWHILE };
        let mut looks = 0;
        let bound = short.iter().enumerate().map(|(device, short)| self.at_least(at, device, *short, &mut looks)).max().unwrap_or(0);
        self.looks += looks;
        price.cost.saturating_add(bound) >= most
    }

    /// What so many bytes of one device cost at least.
    fn at_least(&self, at: usize, device: usize, short: u64, looks: &mut usize) -> u64 {
        let (mut short, mut cost) = (short, 0_u64);
        for index in self.by_device.get(device).into_iter().flatten() {
            *looks += 1;
            if *index < at {
                continue; // decided above
            }
            let Some(victim) = self.order.get(*index) else { continue };
            let gives = victim.gives.get(device).copied().unwrap_or(0);
            if gives >= short {
                let part = u128::from(victim.candidate.cost) * u128::from(short) / u128::from(gives.max(1));
                return cost.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
            }
            (short, cost) = (short - gives, cost.saturating_add(victim.candidate.cost));
        }
        cost
    }
}

#[expect(clippy::cast_precision_loss, reason = "only an order in which to try")]
fn worth(victim: &Victim<'_>, missing: &[(usize, u64)]) -> f64 {
    let shares = victim.gives.iter().zip(missing).map(|(gives, (_, short))| *gives as f64 / (*short).max(1) as f64);
    shares.sum::<f64>() / victim.candidate.cost.max(1) as f64
}

fn rests(order: &[Victim<'_>], devices: usize) -> Vec<Vec<u64>> {
    let mut rests: Vec<Vec<u64>> = vec![vec![0; devices]];
    for victim in order.iter().rev() {
        let sum = rests.last().map(|rest| rest.iter().zip(&victim.gives).map(|(rest, gives)| rest.saturating_add(*gives)).collect());
        rests.extend(sum);
    }
    rests.reverse();
    rests
}

fn cheapest_of(order: &[Victim<'_>], device: usize) -> Vec<usize> {
    let gives = |at: &usize| order.get(*at).and_then(|victim| victim.gives.get(device)).copied().unwrap_or(0);
    let cost = |at: &usize| order.get(*at).map_or(0, |victim| victim.candidate.cost);
    let mut all: Vec<usize> = (0..order.len()).filter(|at| gives(at) > 0).collect();
    all.sort_by(|a, b| (u128::from(cost(a)) * u128::from(gives(b))).cmp(&(u128::from(cost(b)) * u128::from(gives(a)))));
    all
}

fn less(short: &mut [u64], gives: &[u64]) {
    for (short, gives) in short.iter_mut().zip(gives) {
        *short = short.saturating_sub(*gives);
    }
}
