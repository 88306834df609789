//! Which member has lately read a prompt that began like this one?
//!
//! In: prompts, cut into blocks whose hashes are chained, so that a block stands for all before it; and who
//! served them. Out: the members that know most of a prompt. Holds: one table of a fixed size; what is oldest in a
//! bucket makes room, so it never grows. From: the prefix trees of `SGLang`'s router, as a hash chain.

use crate::dice::hash_from;

/// Bytes of a prompt that make a block: about sixty tokens.
const BLOCK: usize = 256;
/// Blocks of a prompt that are looked at: its first 32 KiB.
const MOST_BLOCKS: usize = 128;
/// Bytes that the table of one deployment may take.
pub(crate) const MOST_BYTES: usize = 4 << 20;
/// Places of a bucket: one cache line.
const WAYS: usize = 4;
/// Members that are remembered for a block.
const KNOWN: usize = 2;
/// Members that are told for a prompt.
const TOLD: usize = 4;

/// A prompt as a chain of hashes.
#[derive(Debug)]
pub(crate) struct Chain {
    hashes: [u64; MOST_BLOCKS],
    len: usize,
}

impl Chain {
    /// Of the prompt's whole blocks.
    pub(crate) fn of(prompt: &[u8]) -> Self {
        let (mut hashes, mut len, mut last) = ([0; MOST_BLOCKS], 0, 0);
        for (place, block) in hashes.iter_mut().zip(prompt.chunks_exact(BLOCK)) {
            last = hash_from(last, block) | 1; // 0 is an empty place
            *place = last;
            len += 1;
        }
        Self { hashes, len }
    }
    fn blocks(&self) -> &[u64] {
        self.hashes.get(..self.len).unwrap_or_default()
    }
}

/// A place of the table: the block, and in one word when it was last used and who read it last. Two bare words, so
/// that a new table is pages of zeroes that the system hands out as they are touched.
type Place = [u64; 2];

/// Who knows how much of a prompt, most first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    told: [(u16, u16); TOLD],
}

impl Known {
    /// The members, those that know most first.
    pub(crate) fn members(&self) -> impl Iterator<Item = u16> + '_ {
        self.told.iter().filter(|(_, depth)| *depth > 0).map(|(who, _)| *who)
    }

    fn saw(&mut self, who: u16, depth: u16) {
        let known = self.told.iter_mut().find(|(other, old)| *other == who && *old > 0);
        match known {
            Some(place) => place.1 = depth,
            None => {
                if let Some(least) = self.told.iter_mut().min_by_key(|(_, old)| *old) {
                    *least = (who, depth);
                }
            }
        }
    }
}

/// The table; it takes its memory with the first prompt.
#[derive(Debug)]
pub(crate) struct Memory {
    places: Vec<Place>,
    most: usize,
    now: u32,
}

impl Memory {
    /// One that never takes more than so many bytes.
    pub(crate) fn new(most_bytes: usize) -> Self {
        let buckets = most_bytes / (size_of::<Place>() * WAYS);
        let buckets = if buckets == 0 { 0 } else { 1 << buckets.ilog2() };
        Self { places: Vec::new(), most: buckets * WAYS, now: 0 }
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place>()
    }

    /// Who knows at least half of this prompt.
    pub(crate) fn recall(&self, chain: &Chain) -> Known {
        let (mut known, mut depth) = (Known::default(), 0);
        for block in chain.blocks() {
            let bucket = self.bucket(*block).and_then(|at| self.places.get(at..at + WAYS)).unwrap_or_default();
            let Some(place) = bucket.iter().find(|place| place[0] == *block) else { break };
            depth += 1;
            for who in readers(place).iter().rev().filter(|who| **who > 0) {
                known.saw(who - 1, depth);
            }
        }
        // What everybody begins with says little about where a call belongs.
        let least = chain.len.div_ceil(2);
        for told in &mut known.told {
            if usize::from(told.1) < least {
                *told = (0, 0);
            }
        }
        known.told.sort_by_key(|(_, depth)| std::cmp::Reverse(*depth));
        known
    }

    /// This member has read this prompt.
    pub(crate) fn learn(&mut self, chain: &Chain, who: u16) {
        if self.places.is_empty() && chain.len > 0 {
            self.places = vec![[0; 2]; self.most];
        }
        self.now = self.now.wrapping_add(1);
        let now = self.now;
        for block in chain.blocks() {
            let Some(bucket) = self.bucket(*block).and_then(|at| self.places.get_mut(at..at + WAYS)) else { return };
            let rank = |place: &Place| match place[0] {
                same if same == *block => (2, 0),
                0 => (1, 0),
                _ => (0, now.wrapping_sub(used(place))),
            };
            let Some(place) = bucket.iter_mut().max_by_key(|place| rank(place)) else { return };
            let [last, before] = if place[0] == *block { readers(place) } else { [0; KNOWN] };
            let who = who.saturating_add(1);
            let other = if last == who { before } else { last };
            *place = [*block, u64::from(now) << 32 | u64::from(other) << 16 | u64::from(who)];
        }
    }

    fn bucket(&self, block: u64) -> Option<usize> {
        let buckets = self.places.len() / WAYS;
        let mask = u64::try_from(buckets.checked_sub(1)?).unwrap_or(0);
        usize::try_from((block >> 1) & mask).ok().map(|bucket| bucket * WAYS)
    }
}

/// The latest first; each a number plus one, 0 for nobody.
#[expect(clippy::cast_possible_truncation, reason = "each takes its own bits")]
fn readers(place: &Place) -> [u16; KNOWN] {
    [place[1] as u16, (place[1] >> 16) as u16]
}

fn used(place: &Place) -> u32 {
    u32::try_from(place[1] >> 32).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
