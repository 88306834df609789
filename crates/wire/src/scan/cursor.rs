//! One step after another through a JSON text.
//!
//! In: a text and a place in it. Out: the place after the next token or value. Holds: the open
//! brackets as bits of one integer, so that depth costs no memory and no recursion. Fails: with the
//! byte and what was expected there.

use super::string::plain_until;
use super::{Error, Kind, Span};

/// How deep arrays and objects may nest, the outermost included.
pub const MAX_DEPTH: u32 = 128;

const HEX_DIGITS: usize = 4;

/// A place in a text.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The brackets that are open inside the value being skipped: a bit each, 1 for an object.
#[derive(Default)]
struct Open {
    bits: u128,
    depth: u32,
}

impl Open {
    fn push(&mut self, object: bool) {
        self.bits = (self.bits << 1) | u128::from(object);
        self.depth += 1;
    }
    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
    }
    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0 }
    }

    /// Steps into the outermost bracket.
    pub(super) fn enter(&mut self, bracket: u8, expected: &'static str) -> Result<(), Error> {
        self.white();
        self.take(bracket, expected)
    }

    /// The next key of the outermost object, its colon passed; `None` after the closing brace.
    pub(super) fn next_key(&mut self, first: bool) -> Result<Option<Span>, Error> {
        self.white();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                Ok(None)
            }
            _ if first => self.key().map(Some),
            Some(b',') => {
                self.at += 1;
                self.white();
                self.key().map(Some)
            }
            _ => Err(self.wrong("`,` or `}` after a member")),
        }
    }

    /// True when another element of the outermost array follows; passes the closing bracket otherwise.
    pub(super) fn next_element(&mut self, first: bool) -> Result<bool, Error> {
        self.white();
        match self.peek() {
            Some(b']') if first => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.wrong("`,` or `]` after an element")),
        }
    }

    /// Passes one value and whatever is inside it.
    pub(super) fn value(&mut self) -> Result<(Span, Kind), Error> {
        self.white();
        let start = self.at;
        let mut open = Open::default();
        let (kind, mut inside) = self.begin(&mut open)?;
        loop {
            if !inside {
                if open.depth == 0 {
                    return Ok((Span { start, end: self.at }, kind));
                }
                if !self.go_on(&mut open)? {
                    continue;
                }
            }
            inside = self.begin(&mut open)?.1;
        }
    }

    /// Only space may follow.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.white();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("nothing after the JSON value")) }
    }

    /// Passes a scalar or an empty bracket; `true` when it stepped into a bracket whose first value stands next.
    fn begin(&mut self, open: &mut Open) -> Result<(Kind, bool), Error> {
        match self.peek() {
            Some(b'"') => self.string().map(|()| (Kind::String, false)),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| (Kind::Number, false)),
            Some(b'{') => self.bracket(open, true).map(|inside| (Kind::Object, inside)),
            Some(b'[') => self.bracket(open, false).map(|inside| (Kind::Array, inside)),
            Some(b't') => self.word("true").map(|()| (Kind::Bool, false)),
            Some(b'f') => self.word("false").map(|()| (Kind::Bool, false)),
            Some(b'n') => self.word("null").map(|()| (Kind::Null, false)),
            _ => Err(self.wrong("a JSON value")),
        }
    }

    /// After a value inside a bracket: `true` when another value stands next, `false` when the bracket is closed.
    fn go_on(&mut self, open: &mut Open) -> Result<bool, Error> {
        if !open.in_object() {
            self.integers();
        }
        self.white();
        match (self.peek(), open.in_object()) {
            (Some(b','), in_object) => {
                self.at += 1;
                self.white();
                if in_object {
                    self.key()?;
                    self.white();
                }
                Ok(true)
            }
            (Some(b'}'), true) | (Some(b']'), false) => {
                self.at += 1;
                open.pop();
                Ok(false)
            }
            (_, true) => Err(self.wrong("`,` or `}` after a member")),
            (_, false) => Err(self.wrong("`,` or `]` after an element")),
        }
    }

    /// Passes `,123,45` up to what follows: lists of token ids are long, and this is all that is in them.
    fn integers(&mut self) {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        while let [b',', b'1'..=b'9', digits @ ..] = rest {
            let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            match digits.get(length..) {
                Some(after @ [b',' | b']', ..]) => rest = after,
                _ => break,
            }
        }
        self.at = self.bytes.len() - rest.len();
    }

    fn bracket(&mut self, open: &mut Open, object: bool) -> Result<bool, Error> {
        if open.depth + 1 >= MAX_DEPTH {
            return Err(self.wrong("no more than 128 levels of nesting"));
        }
        self.at += 1;
        self.white();
        if self.peek() == Some(if object { b'}' } else { b']' }) {
            self.at += 1;
            return Ok(false);
        }
        open.push(object);
        if object {
            self.key()?;
            self.white();
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<Span, Error> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in double quotes"));
        }
        self.string()?;
        let end = self.at;
        self.white();
        self.take(b':', "`:` after a key")?;
        Ok(Span { start, end })
    }

    fn string(&mut self) -> Result<(), Error> {
        self.at += 1;
        loop {
            self.at = plain_until(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.wrong("an escape such as \\n in place of a control character")),
                None => return Err(self.wrong("a closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Error> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                for _ in 0..HEX_DIGITS {
                    self.at += 1;
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.wrong("four hexadecimal digits after \\u"));
                    }
                }
                self.at += 1;
            }
            _ => return Err(self.wrong("an escape: one of \" \\ / b f n r t u")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Error> {
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
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong("a digit")) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong("true, false or null"))
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Error> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(expected))
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self, expected: &'static str) -> Error {
        Error::at(self.bytes, self.at, expected)
    }
}
