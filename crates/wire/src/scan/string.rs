//! Where does this JSON string end?
//!
//! In: bytes after the opening quote. Out: the offset of the next byte that is not plain: a quote, a backslash or a control
//! character. Eight bytes at a time, since prompts and pictures are long strings. Fails: never.
//! From: "Bit Twiddling Hacks" (which byte of a word is less than n).

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const WORD: usize = size_of::<u64>();
/// Below it lie the control characters, which JSON wants escaped.
const FIRST_PLAIN: u8 = 0x20;

/// Bytes of `word` that are a quote, a backslash or below 0x20 have their high bit set; the lowest such bit is exact.
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let control = word.wrapping_sub(ONES * u64::from(FIRST_PLAIN)) & !word;
    (control | (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGHS
}

/// The offset, from `at` on, of the first byte that ends a run of plain string content; the length if none does.
pub(super) fn plain_until(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<WORD>();
    for (n, word) in words.iter().enumerate() {
        let hits = special(u64::from_le_bytes(*word));
        if hits != 0 {
            return at + n * WORD + hits.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().take_while(|&&byte| byte >= FIRST_PLAIN && byte != b'"' && byte != b'\\').count();
    at + words.len() * WORD + plain
}
