//! The same question, 64 bytes at a time with AVX2.
//!
//! In: bytes inside a string. Out: as in the module above. Holds: whether the last byte of the block before was a backslash
//! that escapes the first one of the next.

#![expect(clippy::inline_always, reason = "an instruction of AVX2 is one only inside the function that was compiled for it")]

use core::arch::x86_64::{__m128i, __m256i};

use pulp::NullaryFnOnce;
use pulp::core_arch::x86::Sse2;
use pulp::x86::V3;

use super::{FIRST_PLAIN, SHORT, by_words, escape};

const BLOCK: usize = 64;
/// Turns the quote into 0x20 and the space into 0x22; no other byte gets to 0x20 or below from above.
const FLIP: u8 = 2;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// Which second halves go with a first half, for the letters that may follow a backslash: `" \\ / b f n r t`.
const LOW_HALF: [u8; 16] = [0, 0, 0b1101, 0, 0b1000, 0, 0b0100, 0, 0, 0, 0, 0, 0b0010, 0, 0b0100, 0b0001];
const HIGH_HALF: [u8; 16] = [0, 0, 0b0001, 0, 0, 0b0010, 0b0100, 0b1000, 0, 0, 0, 0, 0, 0, 0, 0];

/// The start of a string with the registers that every machine of this kind has, 16 bytes at a time.
#[inline]
pub(super) fn near(simd: Sse2, bytes: &[u8], mut at: usize, non_ascii: &mut u32) -> usize {
    let all = |byte: u8| simd._mm_set1_epi8(byte.cast_signed());
    let last = at + SHORT;
    while at < last
        && let Some(part) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>)
    {
        let x: __m128i = pulp::cast(*part);
        let flipped = simd._mm_xor_si128(x, all(FLIP));
        let low = simd._mm_cmpeq_epi8(simd._mm_min_epu8(flipped, all(FIRST_PLAIN)), flipped);
        let hits = simd._mm_movemask_epi8(simd._mm_or_si128(low, simd._mm_cmpeq_epi8(x, all(b'\\'))));
        *non_ascii |= simd._mm_movemask_epi8(x).cast_unsigned();
        if hits != 0 {
            return at + hits.trailing_zeros() as usize;
        }
        at += 16;
    }
    at
}

/// Passes a string.
pub(super) struct Pass<'a, 'b> {
    pub(super) simd: V3,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) non_ascii: &'b mut u32,
}

impl NullaryFnOnce for Pass<'_, '_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { simd, bytes, mut at, non_ascii } = self;
        let eye = Eye::new(simd);
        let (mut ascii, mut carry) = (true, 0);
        while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
            let halves: [__m256i; 2] = pulp::cast(*block);
            let (low, high) = (eye.look(halves[0], ascii), eye.look(halves[1], ascii));
            if carry == 0 && eye.is_plain([low, high]) {
                at += BLOCK;
                continue;
            }
            // The bytes before these. The last before the block escapes its first one only if it is not escaped itself.
            if let Some(before) = at.checked_sub(1).and_then(|at| bytes.get(at..)?.first_chunk::<BLOCK>())
                && (before[0] == b'\\') == (carry == 1)
            {
                let before: [__m256i; 2] = pulp::cast(*before);
                if eye.is_prose([low, high], halves, before) {
                    carry = u64::from(block[BLOCK - 1] == b'\\');
                    at += BLOCK;
                    continue;
                }
            }
            let (stops, slashes) = (eye.bits(low.stops, high.stops), eye.bits(low.slashes, high.slashes));
            let escaped = escaped(slashes, &mut carry);
            let wrong = escaped & !eye.bits(eye.may_be_escaped(halves[0]), eye.may_be_escaped(halves[1]));
            let stop = (stops & !escaped) | wrong;
            if stop == 0 {
                at += BLOCK;
                continue;
            }
            let first = stop.trailing_zeros();
            at += first as usize;
            carry = 0;
            if wrong >> first & 1 == 1 {
                match escape(bytes, at - 1) {
                    Some(length) => at += length - 1,
                    None => return at - 1,
                }
            } else if bytes.get(at).is_some_and(|byte| !byte.is_ascii()) {
                (ascii, *non_ascii) = (false, 1);
            } else {
                return at;
            }
        }
        // A backslash at the end of the last block is looked at again.
        by_words(bytes, at - usize::from(carry == 1), non_ascii)
    }
}

/// The bytes that a backslash stands before, itself not escaped.
#[inline(always)]
fn escaped(slashes: u64, carry: &mut u64) -> u64 {
    let slashes = slashes & !*carry;
    let follows = slashes << 1 | *carry;
    let odd_starts = slashes & !EVEN & !follows;
    let (even_runs, over) = odd_starts.overflowing_add(slashes);
    *carry = u64::from(over);
    (EVEN ^ (even_runs << 1)) & follows
}

/// What is looked for, in registers.
struct Eye {
    simd: V3,
    slash: __m256i,
    quote: __m256i,
    line_end: __m256i,
    flip: __m256i,
    last: __m256i,
    after: __m256i,
    low_half: __m256i,
    high_half: __m256i,
    half: __m256i,
    zero: __m256i,
}

impl Eye {
    #[inline(always)]
    fn new(simd: V3) -> Self {
        let all = |byte: u8| simd.avx._mm256_set1_epi8(byte.cast_signed());
        let twice = |table: [u8; 16]| pulp::cast::<[[u8; 16]; 2], __m256i>([table, table]);
        Self {
            simd,
            slash: all(b'\\'),
            quote: all(b'"'),
            line_end: all(b'n'),
            flip: all(FLIP),
            last: all(FIRST_PLAIN),
            after: all(FIRST_PLAIN + 1),
            low_half: twice(LOW_HALF),
            high_half: twice(HIGH_HALF),
            half: all(0x0F),
            zero: all(0),
        }
    }

    /// Marks quotes and control characters, and, as long as all is ASCII, bytes that are not (and so are negative).
    #[inline(always)]
    fn look(&self, x: __m256i, ascii: bool) -> Seen {
        let Self { simd, .. } = *self;
        let flipped = simd.avx2._mm256_xor_si256(x, self.flip);
        let stops = if ascii {
            simd.avx2._mm256_cmpgt_epi8(self.after, flipped)
        } else {
            simd.avx2._mm256_cmpeq_epi8(simd.avx2._mm256_min_epu8(flipped, self.last), flipped)
        };
        Seen { stops, slashes: simd.avx2._mm256_cmpeq_epi8(x, self.slash) }
    }

    #[inline(always)]
    fn is_plain(&self, [low, high]: [Seen; 2]) -> bool {
        let Self { simd, .. } = *self;
        let or = |a, b| simd.avx2._mm256_or_si256(a, b);
        let any = or(or(low.stops, low.slashes), or(high.stops, high.slashes));
        simd.avx._mm256_testz_si256(any, any) != 0
    }

    /// True when nothing stops and what is escaped is a line end or a quote, as nearly always. A second backslash is neither,
    /// so that no backslash here is escaped itself.
    #[inline(always)]
    fn is_prose(&self, [low, high]: [Seen; 2], x: [__m256i; 2], before: [__m256i; 2]) -> bool {
        let (low, high) = (self.is_odd(low, x[0], before[0]), self.is_odd(high, x[1], before[1]));
        let Self { simd, .. } = *self;
        let any = simd.avx2._mm256_or_si256(low, high);
        simd.avx._mm256_testz_si256(any, any) != 0
    }

    #[inline(always)]
    fn is_odd(&self, seen: Seen, x: __m256i, before: __m256i) -> __m256i {
        let Self { simd, .. } = *self;
        let escaped = simd.avx2._mm256_cmpeq_epi8(before, self.slash);
        let usual = simd.avx2._mm256_or_si256(simd.avx2._mm256_cmpeq_epi8(x, self.line_end), simd.avx2._mm256_cmpeq_epi8(x, self.quote));
        simd.avx2._mm256_or_si256(simd.avx2._mm256_andnot_si256(usual, escaped), simd.avx2._mm256_andnot_si256(escaped, seen.stops))
    }

    #[inline(always)]
    fn may_be_escaped(&self, x: __m256i) -> __m256i {
        let Self { simd, .. } = *self;
        let low = simd.avx2._mm256_shuffle_epi8(self.low_half, x);
        let high = simd.avx2._mm256_and_si256(simd.avx2._mm256_srli_epi16::<4>(x), self.half);
        let both = simd.avx2._mm256_and_si256(low, simd.avx2._mm256_shuffle_epi8(self.high_half, high));
        simd.avx2._mm256_cmpgt_epi8(both, self.zero)
    }

    #[inline(always)]
    fn bits(&self, low: __m256i, high: __m256i) -> u64 {
        let bits = |x| u64::from(self.simd.avx2._mm256_movemask_epi8(x).cast_unsigned());
        bits(low) | bits(high) << 32
    }
}

/// What was found in half a block: all ones where it is.
#[derive(Clone, Copy)]
struct Seen {
    stops: __m256i,
    slashes: __m256i,
}
