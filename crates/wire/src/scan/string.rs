//! Where does this JSON string end?
//!
//! In: bytes after the opening quote. Out: the offset of the next byte that cannot simply be passed: the closing quote,
//! a control character, a backslash that begins no whole escape, or the end. Prompts and pictures are long strings, so this is
//! where a large body is spent: 64 bytes at a time where the machine has AVX2, 8 where it has not. Fails: never.
//! From: "Bit Twiddling Hacks" (which byte of a word is less than n); simdjson (which bytes are escaped, without a
//! branch for each backslash; which are of a set, by their two halves). Flipping the second bit puts the quote below
//! the space and nothing else there, so that quotes and control characters are found by one comparison.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const WORD: usize = size_of::<u64>();
/// Below it lie the control characters, which JSON wants escaped.
const FIRST_PLAIN: u8 = 0x20;
/// Most strings are keys, names and short words; they are not worth a jump to the wide registers.
const SHORT: usize = 3 * 16;
const HEX_DIGITS: usize = 4;

/// The offset, from `at` on, of the first byte that cannot be passed; the length if all can. `non_ascii` is not 0 afterwards if
/// there was a byte that is not ASCII.
#[inline]
pub(super) fn pass(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    let stop = near(bytes, at, non_ascii);
    if bytes.get(stop) == Some(&b'"') { stop } else { far(bytes, stop, non_ascii) }
}

/// As far as a short string goes, and no further than up to the first backslash.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn near(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    match pulp::core_arch::x86::Sse2::try_new() {
        Some(simd) => wide::near(simd, bytes, at, non_ascii),
        None => at,
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn near(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    plain_until(bytes.get(..(at + SHORT).min(bytes.len())).unwrap_or_default(), at, non_ascii)
}

/// The whole way.
#[cfg(target_arch = "x86_64")]
pub(super) fn far(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    match pulp::x86::V3::try_new() {
        Some(simd) => simd.vectorize(wide::Pass { simd, bytes, at, non_ascii }),
        None => by_words(bytes, at, non_ascii),
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn far(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    by_words(bytes, at, non_ascii)
}

/// The same, eight bytes at a time.
fn by_words(bytes: &[u8], mut at: usize, non_ascii: &mut u32) -> usize {
    loop {
        at = plain_until(bytes, at, non_ascii);
        match escape(bytes, at) {
            Some(length) => at += length,
            None => return at,
        }
    }
}

/// The length of the whole escape that begins here, if one does.
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..)? {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [b'\\', b'u', digits @ ..] if digits.get(..HEX_DIGITS)?.iter().all(u8::is_ascii_hexdigit) => Some(2 + HEX_DIGITS),
        _ => None,
    }
}

/// Bytes of `word` that are a quote, a backslash or below 0x20 have their high bit set; the lowest such bit is exact.
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let control = word.wrapping_sub(ONES * u64::from(FIRST_PLAIN)) & !word;
    (control | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGHS
}

/// The offset, from `at` on, of the first byte that ends a run of plain string content; the length if none does.
fn plain_until(bytes: &[u8], at: usize, non_ascii: &mut u32) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<WORD>();
    let mut seen = 0;
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        seen |= word;
        let hits = special(word);
        if hits != 0 {
            *non_ascii |= u32::from(seen & HIGHS != 0);
            return at + n * WORD + hits.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().take_while(|&&byte| byte >= FIRST_PLAIN && byte != b'"' && byte != b'\\').count();
    *non_ascii |= u32::from(seen & HIGHS != 0 || !tail.is_ascii());
    at + words.len() * WORD + plain
}

#[cfg(target_arch = "x86_64")]
mod wide;
