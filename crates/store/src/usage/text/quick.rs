//! Reads a call's line where nothing in it is out of the ordinary.
//!
//! In: a line. Out: the call, if the line is as [`encode`](super::encode) writes it, has no escaped text, no negative and no
//! enormous number; else nothing, and JSON's own reader has to say what it is. Fails: never.

use std::borrow::Cow;

use base::Timestamp;
use spec::{Ending, Usage, Usd};

use super::{Read, plain};

/// Digits of a number that surely fits.
const DIGITS: usize = 19;

/// Reads a call.
pub(super) fn decode(line: &str) -> Option<Read<'_>> {
    let mut members = Members(line.strip_prefix('[')?.strip_suffix(']')?);
    // In the order in which they stand.
    Some(Usage {
        at: Timestamp::from_millis(i64::try_from(members.number()?).ok()?),
        request_id: members.text()?,
        token: if members.none() { None } else { Some(members.text()?) },
        project: if members.none() { None } else { Some(members.text()?) },
        model: members.text()?,
        deployment: if members.none() { None } else { Some(members.text()?) },
        instance: if members.none() { None } else { Some(members.text()?) },
        operation: members.text()?,
        status: members.number()?.try_into().ok()?,
        ending: members.ending()?,
        error: if members.none() { None } else { Some(members.text()?) },
        prompt_tokens: members.number()?,
        cached_tokens: members.number()?,
        completion_tokens: members.number()?,
        reasoning_tokens: members.number()?,
        estimated: u8::try_from(members.number()?).ok()? != 0,
        cost: Usd(members.number()?),
        duration_ms: members.number()?,
        first_byte_ms: if members.none() { None } else { Some(members.number()?) },
        wait_ms: members.number()?,
        retries: members.last()?.try_into().ok()?,
    })
}

/// What is left of a line.
struct Members<'a>(&'a str);

impl<'a> Members<'a> {
    /// The number that comes next; what is left begins behind it.
    fn digits(&mut self) -> Option<u64> {
        let (mut number, mut len) = (0_u64, 0);
        for byte in self.0.bytes() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // A number that is too long is given up below.
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            len += 1;
        }
        let odd = len == 0 || len > DIGITS || (len > 1 && self.0.starts_with('0'));
        self.0 = self.0.get(len..)?;
        (!odd).then_some(number)
    }

    fn number(&mut self) -> Option<u64> {
        let number = self.digits()?;
        self.0 = self.0.strip_prefix(',')?;
        Some(number)
    }

    fn last(mut self) -> Option<u64> {
        self.digits().filter(|_| self.0.is_empty())
    }

    fn none(&mut self) -> bool {
        let rest = self.0.strip_prefix("null,");
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn plain(&mut self) -> Option<&'a str> {
        let rest = self.0.strip_prefix('"')?;
        let (text, rest) = rest.split_at_checked(plain::end(rest.as_bytes()))?;
        self.0 = rest.strip_prefix("\",")?;
        Some(text)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.plain().map(Cow::Borrowed)
    }

    fn ending(&mut self) -> Option<Ending> {
        let word = self.plain()?;
        Ending::ALL.into_iter().find(|ending| ending.as_str() == word)
    }
}
