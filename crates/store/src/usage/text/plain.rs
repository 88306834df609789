//! How far is a text one that JSON writes as it is?
//!
//! In: bytes. Out: the place of the first that is escaped or ends a text. Fails: never. Eight bytes at a time, as every call has
//! ten texts, which are written and read again. From: "Bit Twiddling Hacks" (Anderson), a zero byte within a word.

const WORD: usize = 8;
const ONES: u64 = u64::MAX / 0xff;
const HIGH: u64 = ONES << 7;

/// Where the first quote, backslash or control character stands; the length when there is none.
pub(super) fn end(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<WORD>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let odd = less(word, b' ') | less(word ^ (ONES * u64::from(b'"')), 1) | less(word ^ (ONES * u64::from(b'\\')), 1);
        if odd != 0 {
            return number * WORD + odd.trailing_zeros() as usize / WORD;
        }
    }
    let odd = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    words.len() * WORD + rest.iter().position(odd).unwrap_or(rest.len())
}

/// The high bits of bytes that are less than `than`, at most 128. Only the lowest is sure: above it, a borrow may set others.
fn less(word: u64, than: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(than)) & !word & HIGH
}
