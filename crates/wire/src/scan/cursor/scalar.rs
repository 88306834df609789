//! One step past a number or a word.
//!
//! In: the place of its first byte. Out: the place behind it. Fails: with what was expected. Holds: nothing. A number at the
//! end of a text of which more will come is not at its end yet.

#![expect(clippy::inline_always, reason = "as in the module above")]

use super::{Cursor, Step};

impl Cursor<'_> {
    /// The place behind a number.
    #[inline(always)]
    pub(super) fn number(&mut self, mut at: usize) -> Step<usize> {
        if self.byte(at) == Some(b'-') {
            at += 1;
        }
        at = if self.byte(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if matches!(self.byte(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(self.byte(at), Some(b'+' | b'-')) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        if self.more && at == self.bytes.len() {
            return Err(self.wrong(at, "the end of a number"));
        }
        Ok(at)
    }

    #[inline(always)]
    fn digits(&mut self, at: usize) -> Step<usize> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => Err(self.wrong(at, "a digit")),
            digits => Ok(at + digits),
        }
    }

    /// The place behind `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, at: usize, word: &'static str) -> Step<usize> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            return Ok(at + word.len());
        }
        let comes = self.more && word.as_bytes().starts_with(rest);
        Err(self.wrong(if comes { self.bytes.len() } else { at }, "true, false or null"))
    }
}
