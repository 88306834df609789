//! Who has to leave so that something else fits.
//!
//! In: the bytes that are missing, and who could go. Out: the cheapest set that gives them back, or
//! none if even all together would not. Pure. The cost of a victim is the time that loading it
//! again takes; among equals the one that was used longest ago goes first.

use base::{ByteSize, Timestamp};
use spec::InstanceId;

/// Somebody who could go: idle, not pinned, not needed by a minimum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: InstanceId,
    /// What it gives back.
    pub memory: ByteSize,
    /// What loading it again costs.
    pub reload_ms: u64,
    /// When it was last of use.
    pub last_used: Timestamp,
}

/// Up to so many candidates every set is tried.
const EXACT: usize = 14;

/// The cheapest set that gives back `missing`; none when there is no such set.
pub fn evict(missing: ByteSize, candidates: &[Candidate]) -> Option<Vec<InstanceId>> {
    let mut order: Vec<&Candidate> = candidates.iter().filter(|c| c.memory > ByteSize(0)).collect();
    order.sort_by(|a, b| a.last_used.cmp(&b.last_used).then_with(|| a.id.cmp(&b.id)));
    if order.iter().map(|c| c.memory).sum::<ByteSize>() < missing {
        return None;
    }
    let chosen = if order.len() <= EXACT { exact(missing, &order) } else { greedy(missing, order) };
    Some(chosen.into_iter().map(|c| c.id.clone()).collect())
}

/// Tries every set. Ties go to the set whose members were used longest ago, then to the smaller one.
fn exact<'a>(missing: ByteSize, order: &[&'a Candidate]) -> Vec<&'a Candidate> {
    let members = |set: u32| order.iter().enumerate().filter(move |(i, _)| set & (1 << i) != 0).map(|(_, c)| *c);
    let price = |set: u32| {
        let newest = members(set).map(|c| c.last_used).max();
        (members(set).map(|c| c.reload_ms).sum::<u64>(), newest, set.count_ones())
    };
    let enough = |set: &u32| members(*set).map(|c| c.memory).sum::<ByteSize>() >= missing;
    let best = (1..1_u32 << order.len()).filter(enough).min_by_key(|set| price(*set));
    best.map_or_else(Vec::new, |set| members(set).collect())
}

/// Takes by cost for each byte until it is enough, then puts back whoever was not needed.
fn greedy(missing: ByteSize, mut order: Vec<&Candidate>) -> Vec<&Candidate> {
    order.sort_by(|a, b| (u128::from(a.reload_ms) * u128::from(b.memory.0)).cmp(&(u128::from(b.reload_ms) * u128::from(a.memory.0))));
    let mut chosen: Vec<&Candidate> = Vec::new();
    let mut given = ByteSize(0);
    for candidate in order {
        if given >= missing {
            break;
        }
        given += candidate.memory;
        chosen.push(candidate);
    }
    chosen.sort_by_key(|c| std::cmp::Reverse(c.reload_ms));
    chosen.retain(|c| {
        let spare = given.saturating_sub(c.memory) >= missing;
        if spare {
            given = given - c.memory;
        }
        !spare
    });
    chosen
}
