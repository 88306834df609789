//! How is a body scanned while it is still coming?
//!
//! In: the bytes that have come so far, again and again, each time more of them. Out: the [`Spans`] of all. What has been
//! passed is not looked at again, so each byte is scanned while it is still in the processor's cache and a large body is
//! ready when its last byte is. Fails: as soon as it is sure that this is no JSON object. Holds: no bytes.

use super::cursor::{Cursor, Step, Walk};
use super::{Error, Key, MAX_MEMBERS, Member, Span, Spans, TOO_MANY};

/// A token of more than this that is not complete is left until all has come, so that it is not begun again for each piece.
const MOST_AGAIN: usize = 4096;

/// A scan in progress.
#[derive(Debug, Default)]
pub struct Reader {
    at: usize,
    place: Place,
    members: Vec<Member>,
    long: Vec<Span>,
    /// Up to here the bytes are known to be UTF-8, if some are not ASCII.
    utf8_to: usize,
    non_ascii: bool,
    waits: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    Key,
    Value(Key, Walk),
    End,
}

impl Reader {
    /// Scans on: `bytes` is all that has come so far.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.waits {
            return Ok(());
        }
        self.scan(bytes, true)
    }

    /// Bytes in long strings so far: nobody has to look at them again.
    pub fn in_long_strings(&self) -> usize {
        self.long.iter().map(|span| span.len()).sum()
    }

    /// Scans the rest: `bytes` is all there is.
    pub fn finish(mut self, bytes: &[u8]) -> Result<Spans, Error> {
        self.scan(bytes, false)?;
        Ok(Spans { members: self.members, long: self.long })
    }

    fn scan(&mut self, bytes: &[u8], more: bool) -> Result<(), Error> {
        let mut cursor = Cursor::new(bytes);
        (cursor.at, cursor.more) = (self.at, more);
        cursor.long = std::mem::take(&mut self.long);
        let outcome = self.run(&mut cursor).map_err(|expected| cursor.error(expected));
        self.long = std::mem::take(&mut cursor.long);
        let (from, to, non_ascii) = (std::mem::replace(&mut self.at, cursor.at), cursor.at, cursor.non_ascii != 0);
        if non_ascii && !std::mem::replace(&mut self.non_ascii, true) {
            self.utf8_to = from;
        }
        match outcome {
            // A failure further on is only told when all before it is sound.
            Err(error) if more && error.at >= bytes.len() => {
                self.waits = bytes.len() - to > MOST_AGAIN;
                self.check_utf8(bytes, to, more)
            }
            Err(error) => self.check_utf8(bytes, error.at.min(bytes.len()), true).and(Err(error)),
            Ok(()) => self.check_utf8(bytes, to, more),
        }
    }

    fn run(&mut self, cursor: &mut Cursor<'_>) -> Step {
        while !matches!(self.place, Place::End) {
            self.step(cursor)?;
        }
        cursor.end()
    }

    fn step(&mut self, cursor: &mut Cursor<'_>) -> Step {
        self.place = match &mut self.place {
            Place::Start => {
                cursor.enter(b'{', "`{` at the start of a JSON object")?;
                Place::Key
            }
            Place::Key => match cursor.next_key(self.members.is_empty())? {
                Some(key) if self.members.len() == MAX_MEMBERS => return Err(cursor.wrong(key.span.start, TOO_MANY)),
                Some(key) => Place::Value(key, Walk::new()),
                None => Place::End,
            },
            Place::Value(key, walk) => {
                let (value_span, kind) = cursor.walk(walk)?;
                self.members.push(Member::new(*key, value_span, kind));
                Place::Key
            }
            Place::End => Place::End,
        };
        Ok(())
    }

    /// Up to `to` all is UTF-8; a character that is cut there by the end of what has come may be completed later.
    fn check_utf8(&mut self, bytes: &[u8], to: usize, more: bool) -> Result<(), Error> {
        if !self.non_ascii || to <= self.utf8_to {
            return Ok(());
        }
        self.utf8_to = super::check_utf8(bytes, (self.utf8_to, to), more)?;
        Ok(())
    }
}
