//! One step past a key or a string.
//!
//! In: the place of its quote, or where in it one has come to. Out: the place behind it. Fails: with what is wrong with it.
//! Holds: nothing; notes where a long string lies.

#![expect(clippy::inline_always, reason = "as in the module above")]

use super::super::{Key, string};
use super::{Cursor, Place, Span, Step, Walk};

const HEX_DIGITS: usize = 4;

impl Cursor<'_> {
    /// The key that stands here, and the place after its colon.
    #[inline(always)]
    pub(super) fn key(&mut self, at: usize) -> Step<(Key, usize)> {
        let (start, byte) = self.solid(at);
        if byte != b'"' {
            return Err(self.wrong(start, "a key in double quotes"));
        }
        let mut stop = string::near(self.bytes, start + 1, &mut self.non_ascii);
        let mut plain = true;
        if self.byte(stop) != Some(b'"') {
            (stop, plain) = self.odd_key(start, stop)?;
        }
        let end = stop + 1;
        let (colon, byte) = self.solid(end);
        if byte != b':' {
            return Err(self.wrong(colon, "`:` after a key"));
        }
        Ok((Key { span: Span { start, end }, plain }, colon + 1))
    }

    /// A key that is long or has an escape: where it ends, and whether it has none.
    #[cold]
    fn odd_key(&mut self, start: usize, at: usize) -> Step<(usize, bool)> {
        let stop = string::far(self.bytes, at, &mut self.non_ascii);
        if self.byte(stop) != Some(b'"') {
            return Err(self.not_a_string(stop));
        }
        Ok((stop, memchr::memchr(b'\\', self.bytes.get(start..stop).unwrap_or_default()).is_none()))
    }

    /// Up to the end of a string that begins at `start`; so far it may have been passed already.
    #[inline(always)]
    pub(super) fn string(&mut self, walk: &mut Walk, start: usize) -> Step {
        if self.known.is_empty() || !self.is_known(start) {
            let stop = string::pass(self.bytes, self.at, &mut self.non_ascii);
            if self.byte(stop) != Some(b'"') {
                self.at = stop;
                return Err(self.not_a_string(stop));
            }
            self.at = stop + 1;
            if self.at - start >= self.long_from {
                self.long.push(Span { start, end: self.at });
            }
        }
        walk.place = Place::After;
        Ok(())
    }

    /// Passes a string whose end is known.
    fn is_known(&mut self, start: usize) -> bool {
        while let [known, rest @ ..] = self.known
            && known.start <= start
        {
            self.known = rest;
            if known.start == start {
                self.at = known.end;
                return true;
            }
        }
        false
    }

    /// What is wrong with a string that cannot be passed from here on.
    #[cold]
    fn not_a_string(&mut self, at: usize) -> &'static str {
        match self.byte(at) {
            // It does not begin a whole escape: this says what is wrong with it, or comes to the end of what is here.
            Some(b'\\') => self.not_an_escape(at + 1),
            Some(_) => self.wrong(at, "an escape such as \\n in place of a control character"),
            None => self.wrong(at, "a closing quote"),
        }
    }

    fn not_an_escape(&mut self, letter: usize) -> &'static str {
        if self.byte(letter) != Some(b'u') {
            return self.wrong(letter, "an escape: one of \" \\ / b f n r t u");
        }
        let digits = self.bytes.iter().skip(letter + 1).take(HEX_DIGITS).take_while(|byte| byte.is_ascii_hexdigit()).count();
        self.wrong(letter + 1 + digits, "four hexadecimal digits after \\u")
    }
}
