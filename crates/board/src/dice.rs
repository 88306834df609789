//! Small random numbers for choosing, and one way to mix bits.
//!
//! In: a seed. Out: numbers that are good enough to spread calls, and no secret. From: Steele, Lea and
//! Flood, "Fast splittable pseudorandom number generators" (`SplitMix64`).

/// The odd constant of the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A cheap source of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded by the system, once for each lane.
    pub(crate) fn new() -> Self {
        Self(u64::from_le_bytes(base::id::random_bytes()))
    }
    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }
    /// A number below `end`, 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.roll()) * (end as u128);
        usize::try_from(wide >> 64).unwrap_or(0) // always below `end`
    }
}

/// Spreads every bit of `x` over all of the result.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A hash of text that is the same on every machine.
pub(crate) fn hash(text: &[u8]) -> u64 {
    hash_from(STEP, text)
}

/// The same, going on from an earlier hash: eight bytes at a time.
pub(crate) fn hash_from(seed: u64, text: &[u8]) -> u64 {
    let words = text.chunks_exact(8);
    let rest = words.remainder();
    let mut state = seed ^ (text.len() as u64).wrapping_mul(STEP);
    for word in words {
        state = fold(state, u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(fold(state, u64::from_le_bytes(last)))
}

/// One multiplication to 128 bits whose halves are laid over each other. From: Wang Yi, wyhash.
fn fold(state: u64, word: u64) -> u64 {
    let wide = u128::from(state ^ STEP) * u128::from(word ^ 0xE703_7ED1_A0B4_28DB);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ high ^ word.rotate_left(32)
}
