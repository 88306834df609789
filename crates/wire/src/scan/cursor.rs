//! One step after another through a JSON text.
//!
//! In: a text, or as much of it as has come, and a place in it. Out: the place after the next token or value. Holds:
//! the open brackets as bits of one integer, so that depth costs no memory and no recursion; where the long strings
//! lie, so that nobody reads them twice. Fails: with the byte and what was expected there; a failure at the end of a
//! text of which more will come only means that it has to come.

mod scalar;

use super::{Error, Kind, Span, string};

/// How deep arrays and objects may nest, the outermost included.
pub const MAX_DEPTH: u32 = 128;

/// Where a string of at least so many bytes ends is kept.
pub(super) const LONG: usize = 4096;
const HEX_DIGITS: usize = 4;

/// What was expected, where it failed; where that was stands in [`Cursor::failed`].
pub(super) type Step<T = ()> = Result<T, &'static str>;

/// A place in a text.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// This is not the whole text yet.
    pub(super) more: bool,
    /// A byte that is not ASCII has been passed.
    pub(super) non_ascii: bool,
    /// Long strings that were passed.
    pub(super) long: Vec<Span>,
    /// Long strings that somebody has passed before.
    known: &'a [Span],
    /// Where the last failure was.
    failed: usize,
}

/// A value that is being passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    open: Open,
    start: usize,
    kind: Option<Kind>,
    place: Place,
}

/// Where in it.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// A value stands next.
    Before,
    /// Inside a string that begins here.
    String(usize),
    /// A value has just been passed.
    After,
}

/// The brackets that are open inside the value being skipped: a bit each, 1 for an object.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    bits: u128,
    depth: u32,
}

impl Walk {
    /// Before a value.
    pub(super) fn new() -> Self {
        Self { open: Open::default(), start: 0, kind: None, place: Place::Before }
    }
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
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, more: false, non_ascii: false, long: Vec::new(), known: &[], failed: 0 }
    }

    /// At another place of a text whose long strings are known.
    pub(super) fn within(bytes: &'a [u8], at: usize, known: &'a [Span]) -> Self {
        let known = known.get(known.partition_point(|span| span.start < at)..).unwrap_or_default();
        Self { at, known, ..Self::new(bytes) }
    }

    /// Steps into the outermost bracket.
    pub(super) fn enter(&mut self, bracket: u8, expected: &'static str) -> Step {
        self.white();
        self.take(bracket, expected)
    }

    /// The next key of the outermost object, its colon passed; `None` after the closing brace.
    pub(super) fn next_key(&mut self, first: bool) -> Step<Option<Span>> {
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
    pub(super) fn next_element(&mut self, first: bool) -> Step<bool> {
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
    pub(super) fn value(&mut self) -> Step<(Span, Kind)> {
        self.walk(&mut Walk::new())
    }

    /// Goes on with a value. After a failure at the end of what has come, place and walk are such that one can go on from there.
    pub(super) fn walk(&mut self, walk: &mut Walk) -> Step<(Span, Kind)> {
        let mut before = None;
        loop {
            if self.more {
                before = Some((*walk, self.at));
            }
            match self.step(walk) {
                Ok(true) => return Ok((Span { start: walk.start, end: self.at }, walk.kind.unwrap_or(Kind::Null))),
                Ok(false) => {}
                Err(error) => {
                    if !matches!(walk.place, Place::String(_))
                        && let Some(before) = before
                    {
                        (*walk, self.at) = before;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// One step through a value; `true` when it has been passed.
    #[inline]
    fn step(&mut self, walk: &mut Walk) -> Step<bool> {
        match walk.place {
            Place::Before => {
                if walk.kind.is_none() {
                    self.white();
                    walk.start = self.at;
                }
                let kind = self.begin(walk)?;
                walk.kind.get_or_insert(kind);
            }
            Place::String(start) => {
                self.string_rest(start)?;
                walk.place = Place::After;
            }
            Place::After if walk.open.depth == 0 => return Ok(true),
            Place::After => self.go_on(walk)?,
        }
        Ok(matches!(walk.place, Place::After) && walk.open.depth == 0)
    }

    /// Only space may follow.
    pub(super) fn end(&mut self) -> Step {
        self.white();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("nothing after the JSON value")) }
    }

    /// Passes a scalar or an opening bracket.
    #[inline]
    fn begin(&mut self, walk: &mut Walk) -> Step<Kind> {
        let kind = match self.peek() {
            Some(b'"') => {
                walk.kind.get_or_insert(Kind::String);
                let start = self.at;
                self.at += 1;
                walk.place = Place::String(start);
                self.string_rest(start)?;
                Kind::String
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number)?,
            Some(b'{') => return self.bracket(walk, true).map(|()| Kind::Object),
            Some(b'[') => return self.bracket(walk, false).map(|()| Kind::Array),
            Some(b't') => self.word("true").map(|()| Kind::Bool)?,
            Some(b'f') => self.word("false").map(|()| Kind::Bool)?,
            Some(b'n') => self.word("null").map(|()| Kind::Null)?,
            _ => return Err(self.wrong("a JSON value")),
        };
        walk.place = Place::After;
        Ok(kind)
    }

    /// After a value inside a bracket: up to the next value, or past the closing bracket.
    #[inline]
    fn go_on(&mut self, walk: &mut Walk) -> Step {
        let in_object = walk.open.in_object();
        if !in_object {
            self.integers();
        }
        self.white();
        match (self.peek(), in_object) {
            (Some(b','), _) => {
                self.at += 1;
                self.white();
                if in_object {
                    self.key()?;
                    self.white();
                }
                walk.place = Place::Before;
            }
            (Some(b'}'), true) | (Some(b']'), false) => {
                self.at += 1;
                walk.open.pop();
            }
            (_, true) => return Err(self.wrong("`,` or `}` after a member")),
            (_, false) => return Err(self.wrong("`,` or `]` after an element")),
        }
        Ok(())
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

    fn bracket(&mut self, walk: &mut Walk, object: bool) -> Step {
        if walk.open.depth + 1 >= MAX_DEPTH {
            return Err(self.wrong("no more than 128 levels of nesting"));
        }
        self.at += 1;
        self.white();
        if self.peek() == Some(if object { b'}' } else { b']' }) {
            self.at += 1;
            walk.place = Place::After;
            return Ok(());
        }
        if self.peek().is_none() {
            return Err(self.wrong(if object { "a key in double quotes" } else { "a JSON value" }));
        }
        walk.open.push(object);
        if object {
            self.key()?;
            self.white();
        }
        walk.place = Place::Before;
        Ok(())
    }

    #[inline]
    fn key(&mut self) -> Step<Span> {
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

    #[inline]
    fn string(&mut self) -> Step {
        let start = self.at;
        self.at += 1;
        self.string_rest(start)
    }

    /// Up to the end of a string that begins at `start`.
    #[inline]
    fn string_rest(&mut self, start: usize) -> Step {
        if !self.known.is_empty() && self.is_known(start) {
            return Ok(());
        }
        self.at = string::pass(self.bytes, self.at, &mut self.non_ascii);
        if self.peek() != Some(b'"') {
            return self.not_a_string();
        }
        self.at += 1;
        if self.at - start >= LONG {
            self.long.push(Span { start, end: self.at });
        }
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

    #[cold]
    fn not_a_string(&mut self) -> Step {
        match self.peek() {
            // It does not begin a whole escape: this says what is wrong with it, or comes to the end of what is here.
            Some(b'\\') => {
                let slash = self.at;
                let outcome = self.escape();
                self.at = slash;
                outcome
            }
            Some(_) => Err(self.wrong("an escape such as \\n in place of a control character")),
            None => Err(self.wrong("a closing quote")),
        }
    }

    fn escape(&mut self) -> Step {
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

    #[inline]
    fn take(&mut self, byte: u8, expected: &'static str) -> Step {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(expected))
    }

    #[inline]
    fn white(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[cold]
    pub(super) fn wrong(&mut self, expected: &'static str) -> &'static str {
        self.failed = self.at;
        expected
    }

    /// The failure as it is told.
    pub(super) fn error(&self, expected: &'static str) -> Error {
        Error::at(self.bytes, self.failed, expected)
    }
}
