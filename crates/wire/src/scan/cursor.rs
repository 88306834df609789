//! One step after another through a JSON text.
//!
//! In: a text, or as much of it as has come, and a place in it. Out: the place after the next token or value. Holds:
//! the open brackets as bits of one integer, so that depth costs no memory and no recursion; where the long strings
//! lie, so that nobody reads them twice. Fails: with the byte and what was expected there; a failure at the end of a
//! text of which more will come only means that it has to come. The place moves only past what is complete, so that one
//! can go on from there.

#![expect(clippy::inline_always, reason = "a token is a few instructions; a call and the hand-over of its outcome are as many")]

mod scalar;
mod text;

use super::{Error, Key, Kind, Span};

/// How deep arrays and objects may nest, the outermost included.
pub const MAX_DEPTH: u32 = 128;

/// Where a string of at least so many bytes ends is kept.
pub(super) const LONG: usize = 512;

/// What was expected, where it failed; where that was stands in [`Cursor::failed`].
pub(super) type Step<T = ()> = Result<T, &'static str>;

/// A place in a text.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// This is not the whole text yet.
    pub(super) more: bool,
    /// Not 0 when a byte that is not ASCII has been passed.
    pub(super) non_ascii: u32,
    /// Strings of so many bytes and more that were passed.
    pub(super) long: Vec<Span>,
    long_from: usize,
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
    kind: Kind,
    place: Place,
}

/// Where in it.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It stands next.
    First,
    /// It is known of what kind it is; it, or one of the values in it, stands next.
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
        Self { open: Open::default(), start: 0, kind: Kind::Null, place: Place::First }
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
        Self { bytes, at: 0, more: false, non_ascii: 0, long: Vec::new(), long_from: LONG, known: &[], failed: 0 }
    }

    /// Where nobody will look into a value: the long strings are not kept.
    pub(super) fn once(bytes: &'a [u8]) -> Self {
        Self { long_from: usize::MAX, ..Self::new(bytes) }
    }

    /// At another place of a text whose long strings are known.
    pub(super) fn within(bytes: &'a [u8], at: usize, known: &'a [Span]) -> Self {
        let known = known.get(known.partition_point(|span| span.start < at)..).unwrap_or_default();
        Self { at, known, ..Self::once(bytes) }
    }

    /// Steps into the outermost bracket.
    #[inline]
    pub(super) fn enter(&mut self, bracket: u8, expected: &'static str) -> Step {
        let (at, byte) = self.solid(self.at);
        if byte != bracket {
            return Err(self.wrong(at, expected));
        }
        self.at = at + 1;
        Ok(())
    }

    /// True when an object begins next.
    #[inline]
    pub(super) fn is_before_object(&self) -> bool {
        self.solid(self.at).1 == b'{'
    }

    /// The next key of the outermost object, its colon passed; `None` after the closing brace.
    #[inline(always)]
    pub(super) fn next_key(&mut self, first: bool) -> Step<Option<Key>> {
        let (mut at, byte) = self.solid(self.at);
        match byte {
            b'}' => {
                self.at = at + 1;
                return Ok(None);
            }
            _ if first => {}
            b',' => at += 1,
            _ => return Err(self.wrong(at, "`,` or `}` after a member")),
        }
        let (key, next) = self.key(at)?;
        self.at = next;
        Ok(Some(key))
    }

    /// True when another element of the outermost array follows; passes the closing bracket otherwise.
    #[inline(always)]
    pub(super) fn next_element(&mut self, first: bool) -> Step<bool> {
        let (at, byte) = self.solid(self.at);
        let follows = match byte {
            b']' => false,
            _ if first => return Ok(true),
            b',' => true,
            _ => return Err(self.wrong(at, "`,` or `]` after an element")),
        };
        self.at = at + 1;
        Ok(follows)
    }

    /// Passes one value and whatever is inside it.
    pub(super) fn value(&mut self) -> Step<(Span, Kind)> {
        self.run(&mut Walk::new())
    }

    /// Goes on with a value. After a failure at the end of what has come, one can go on from there.
    pub(super) fn walk(&mut self, walk: &mut Walk) -> Step<(Span, Kind)> {
        self.run(walk)
    }

    #[inline(always)]
    fn run(&mut self, walk: &mut Walk) -> Step<(Span, Kind)> {
        let mut is_next = match walk.place {
            Place::First => self.first(walk)?,
            Place::Before => true,
            Place::String(start) => self.string(walk, start).map(|()| false)?,
            Place::After => false,
        };
        loop {
            if is_next {
                self.begin(walk)?;
            }
            if walk.open.depth == 0 {
                return Ok((Span { start: walk.start, end: self.at }, walk.kind));
            }
            is_next = self.go_on(walk)?;
        }
    }

    /// Only space may follow.
    pub(super) fn end(&mut self) -> Step {
        (self.at, _) = self.solid(self.at);
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong(self.at, "nothing after the JSON value")) }
    }

    /// Looks what kind of value it is; false when it has been passed at once, as most are: strings.
    #[inline(always)]
    fn first(&mut self, walk: &mut Walk) -> Step<bool> {
        let (at, byte) = self.solid(self.at);
        walk.kind = match byte {
            b'"' => {
                (walk.kind, walk.start) = (Kind::String, at);
                (self.at, walk.place) = (at + 1, Place::String(at));
                return self.string(walk, at).map(|()| false);
            }
            b'-' | b'0'..=b'9' => Kind::Number,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return Err(self.wrong(at, "a JSON value")),
        };
        (self.at, walk.start, walk.place) = (at, at, Place::Before);
        Ok(true)
    }

    /// Passes opening brackets, and what comes first in them: a string, a number, a word, or nothing.
    #[inline(always)]
    fn begin(&mut self, walk: &mut Walk) -> Step {
        loop {
            let (at, byte) = self.solid(self.at);
            let end = match byte {
                b'"' => {
                    (self.at, walk.place) = (at + 1, Place::String(at));
                    return self.string(walk, at);
                }
                b'{' | b'[' => {
                    if self.bracket(at, walk, byte == b'{')? {
                        continue;
                    }
                    return Ok(());
                }
                b'-' | b'0'..=b'9' => self.number(at),
                b't' => self.word(at, "true"),
                b'f' => self.word(at, "false"),
                b'n' => self.word(at, "null"),
                _ => Err(self.wrong(at, "a JSON value")),
            }?;
            (self.at, walk.place) = (end, Place::After);
            return Ok(());
        }
    }

    /// After a value inside a bracket: up to the next value, which is told, or past the closing bracket.
    #[inline(always)]
    fn go_on(&mut self, walk: &mut Walk) -> Step<bool> {
        let in_object = walk.open.in_object();
        if !in_object {
            self.integers();
        }
        let (at, byte) = self.solid(self.at);
        match (byte, in_object) {
            (b',', true) => {
                let (_, next) = self.key(at + 1)?;
                (self.at, walk.place) = (next, Place::Before);
            }
            (b',', false) => (self.at, walk.place) = (at + 1, Place::Before),
            (b'}', true) | (b']', false) => {
                self.at = at + 1;
                walk.open.pop();
                return Ok(false);
            }
            (_, true) => return Err(self.wrong(at, "`,` or `}` after a member")),
            (_, false) => return Err(self.wrong(at, "`,` or `]` after an element")),
        }
        Ok(true)
    }

    /// Passes `,123,45` up to what follows: lists of token ids are long, and this is all that is in them.
    #[inline]
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

    /// Passes an opening bracket; false when nothing is in it.
    #[inline(always)]
    fn bracket(&mut self, at: usize, walk: &mut Walk, object: bool) -> Step<bool> {
        if walk.open.depth + 1 >= MAX_DEPTH {
            return Err(self.wrong(at, "no more than 128 levels of nesting"));
        }
        let (inside, byte) = self.solid(at + 1);
        if byte == if object { b'}' } else { b']' } {
            (self.at, walk.place) = (inside + 1, Place::After);
            return Ok(false);
        }
        let next = if object {
            self.key(inside)?.1
        } else if inside == self.bytes.len() {
            return Err(self.wrong(inside, "a JSON value"));
        } else {
            inside
        };
        walk.open.push(object);
        (self.at, walk.place) = (next, Place::Before);
        Ok(true)
    }

    /// The next byte that is no space, and its place; 0, which may stand nowhere, at the end.
    #[inline(always)]
    fn solid(&self, at: usize) -> (usize, u8) {
        match self.byte(at) {
            Some(byte) if byte > b' ' => (at, byte),
            _ => self.after_space(at),
        }
    }

    #[inline(never)]
    fn after_space(&self, mut at: usize) -> (usize, u8) {
        loop {
            match self.byte(at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                other => return (at, other.unwrap_or(0)),
            }
        }
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    #[cold]
    pub(super) fn wrong(&mut self, at: usize, expected: &'static str) -> &'static str {
        self.failed = at;
        expected
    }

    /// The failure as it is told.
    pub(super) fn error(&self, expected: &'static str) -> Error {
        Error::at(self.bytes, self.failed, expected)
    }
}
