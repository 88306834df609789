//! One step past a number or a word.
//!
//! In: a cursor at its first byte. Out: the cursor behind it. Fails: with what was expected. Holds: nothing. A number at the
//! end of a text of which more will come is not at its end yet.

use super::{Cursor, Step};

impl Cursor<'_> {
    /// Passes a number.
    pub(super) fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.more && self.at == self.bytes.len() {
            return Err(self.wrong("the end of a number"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong("a digit")) }
    }

    /// Passes `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &'static str) -> Step {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        if self.more && word.as_bytes().starts_with(rest) {
            self.at = self.bytes.len();
        }
        Err(self.wrong("true, false or null"))
    }
}
