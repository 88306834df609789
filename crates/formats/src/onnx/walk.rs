//! One field of a protobuf message after the other, without keeping any.
//!
//! In: a reader that can seek. Out: fields; of those with a length only where they end, so that the caller goes into them, reads
//! them as text, or skips them. Fails: on a field that reaches beyond its message, on a number without an end, on more fields or
//! more bytes of names than are looked at.

use std::io::{Read, Seek};

/// A field, by its number.
#[derive(Debug)]
pub(super) enum Field {
    /// A number.
    Number(u64, u64),
    /// Something with a length, and where it ends.
    Bytes(u64, u64),
}

/// Where it is.
pub(super) struct Walk<R> {
    reader: R,
    at: u64,
    fields_left: u64,
    text_left: u64,
}

const LONGEST_TEXT: u64 = 4_096;
const MOST_BITS: u32 = 64;

impl<R: Read + Seek> Walk<R> {
    pub(super) fn new(reader: R, most_fields: u64, most_text: u64) -> Self {
        Self { reader, at: 0, fields_left: most_fields, text_left: most_text }
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next field of the message that ends there; none at its end.
    pub(super) fn next(&mut self, end: u64) -> Result<Option<Field>, String> {
        loop {
            if self.at >= end {
                return Ok(None);
            }
            self.fields_left = self.fields_left.checked_sub(1).ok_or("it has more fields than are looked at")?;
            let tag = self.number(end)?;
            let number = tag >> 3;
            match tag & 7 {
                _ if number == 0 => return Err(format!("a field without a number at byte {}", self.at)),
                0 => return Ok(Some(Field::Number(number, self.number(end)?))),
                1 => self.go_to(self.at + 8, end)?,
                2 => {
                    let length = self.number(end)?;
                    let stop = self.at.checked_add(length).filter(|stop| *stop <= end);
                    let stop = stop.ok_or_else(|| format!("a field of {length} bytes at byte {} reaches beyond its message", self.at))?;
                    return Ok(Some(Field::Bytes(number, stop)));
                }
                5 => self.go_to(self.at + 4, end)?,
                kind => return Err(format!("a field of the unknown kind {kind} at byte {}", self.at)),
            }
        }
    }

    /// Leaves it unread.
    pub(super) fn skip(&mut self, field: &Field) -> Result<(), String> {
        match field {
            Field::Number(..) => Ok(()),
            Field::Bytes(_, end) => self.go_to(*end, *end),
        }
    }

    /// All up to there as text.
    pub(super) fn text(&mut self, end: u64) -> Result<String, String> {
        let length = end.saturating_sub(self.at);
        if length > LONGEST_TEXT {
            return Err(format!("a name of {length} bytes at byte {}", self.at));
        }
        self.text_left = self.text_left.checked_sub(length).ok_or("it has more bytes of names than are looked at")?;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        self.at += read as u64;
        if read as u64 != length {
            return Err(format!("it ends at byte {}", self.at));
        }
        String::from_utf8(bytes).map_err(|_not_text| format!("a name before byte {} is not UTF-8", self.at))
    }

    /// A number of up to ten bytes, seven bits each.
    pub(super) fn number(&mut self, end: u64) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..MOST_BITS).step_by(7) {
            if self.at >= end {
                return Err(format!("a number at byte {} reaches beyond its message", self.at));
            }
            let mut one = [0];
            self.reader.read_exact(&mut one).map_err(|_end| format!("it ends at byte {}", self.at))?;
            self.at += 1;
            let [byte] = one;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(format!("a number without an end at byte {}", self.at))
    }

    fn go_to(&mut self, to: u64, end: u64) -> Result<(), String> {
        if to > end {
            return Err(format!("a field at byte {} reaches beyond its message", self.at));
        }
        let step = i64::try_from(to - self.at).map_err(|_too_far| "it is larger than any file".to_owned())?;
        self.reader.seek_relative(step).map_err(|error| error.to_string())?;
        self.at = to;
        Ok(())
    }
}
