//! What are the top-level members of this JSON object, and where do they lie?
//!
//! In: a body. Out: the spans of its members, in order, without a tree and without a copy. The
//! whole body is checked as JSON (RFC 8259): UTF-8, escapes, control characters, numbers of any size, nesting
//! of at most [`MAX_DEPTH`]. A `\u` escape needs four hexadecimal digits; whether two of them pair up is
//! looked at only where a text is decoded, so that an unpaired surrogate passes through untouched (as
//! serde_json does for a `RawValue`). Fails: with the byte and what was expected there. Holds: no
//! recursion, no more than [`MAX_MEMBERS`] spans of members, and the spans of long strings, so that whoever looks into a
//! value does not read a picture again ([`Scan::inside`], [`Scan::each`], [`Scan::rows`]). A body may be scanned while it comes
//! ([`Reader`]); of one of which little is wanted no spans are kept ([`pick`]).
//!
//! **Duplicate keys.** Reading takes the last one, as the parsers of llama.cpp, Python and Go do. A key may be
//! written with escapes (`"mod\u0065l"`); it is compared decoded, since that is what an engine compares.

mod cursor;
mod list;
mod reader;
mod string;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use base::{Fault, Kind as FaultKind};
use cursor::Cursor;
pub use cursor::MAX_DEPTH;
use list::TOO_MANY;
pub use reader::Reader;

/// The most members that the scanned object may have.
pub const MAX_MEMBERS: usize = 4096;

/// The six kinds of JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `{..}`
    Object,
    /// `[..]`
    Array,
    /// `".."`
    String,
    /// A number of any size.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// With its article, for a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

/// A range of bytes in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// These bytes of the text; empty if the text is another one.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
    /// How many bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }
    /// True for none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One member of the scanned object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key_span: Span,
    /// The value without the space around it.
    pub value_span: Span,
    /// What the value is.
    pub kind: Kind,
    /// The key has no escape: it is written as it is read.
    plain: bool,
}

impl Member {
    fn new(key: Key, value_span: Span, kind: Kind) -> Self {
        Self { key_span: key.span, value_span, kind, plain: key.plain }
    }
    fn key(self) -> Key {
        Key { span: self.key_span, plain: self.plain }
    }
    /// The value as it is written in the body that the member was found in.
    pub fn raw(self, body: &[u8]) -> &str {
        text_of(body, self.value_span)
    }
    /// The value in that body, if it is a whole number from 0 up; `16.0` and `1e3` are whole.
    pub fn u64(self, body: &[u8]) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        whole(body.get(self.value_span.start..self.value_span.end)?)
    }
}

/// A key with its quotes.
#[derive(Debug, Clone, Copy)]
struct Key {
    span: Span,
    /// It has no escape.
    plain: bool,
}

/// The members of a body without the body: what a caller keeps beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    members: Vec<Member>,
    long: Vec<Span>,
}

impl Spans {
    /// Puts the spans back on the body that they were taken from.
    pub fn on<'a>(&'a self, body: &'a [u8]) -> Scan<'a> {
        let whole = Span { start: 0, end: body.len() };
        Scan { bytes: body, whole, members: Cow::Borrowed(&self.members), long: Cow::Borrowed(&self.long) }
    }
}

/// A JSON object and where its members lie.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    whole: Span,
    members: Cow<'a, [Member]>,
    long: Cow<'a, [Span]>,
}

/// What most bodies have no more of: room for so many members is made at once.
const MEMBERS: usize = 12;

/// Scans a body that must be one JSON object.
pub fn object(body: &[u8]) -> Result<Scan<'_>, Error> {
    let (mut cursor, mut members) = (Cursor::new(body), Vec::with_capacity(MEMBERS));
    whole_object(&mut cursor, |member| members.push(member))?;
    let whole = Span { start: 0, end: body.len() };
    Ok(Scan { bytes: body, whole, members: Cow::Owned(members), long: Cow::Owned(cursor.long) })
}

/// Scans a text that must be one JSON object.
pub fn object_in(text: &str) -> Result<Scan<'_>, Error> {
    object(text.as_bytes())
}

/// Scans a body that must be one JSON object, for its last members with these names.
pub fn pick<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[Option<Member>; N], Error> {
    let mut found = [None; N];
    whole_object(&mut Cursor::once(body), |member| list::note(body, member, &names, &mut found))?;
    Ok(found)
}

/// Hands over the members of a body that must be one JSON object and nothing else.
#[inline]
fn whole_object(cursor: &mut Cursor<'_>, take: impl FnMut(Member)) -> Result<(), Error> {
    let outcome = list::members(cursor, MAX_MEMBERS, take).and_then(|()| cursor.end());
    let outcome = outcome.map_err(|expected| cursor.error(expected));
    if cursor.non_ascii != 0 {
        // A failure further on is only told when all before it is sound.
        let to = outcome.as_ref().err().map_or(usize::MAX, |error| error.at).min(cursor.bytes.len());
        check_utf8(cursor.bytes, (0, to), outcome.is_err())?;
    }
    outcome
}

/// Up to where these bytes are UTF-8, if what follows may be a character of which `more` comes.
fn check_utf8(bytes: &[u8], (from, to): (usize, usize), more: bool) -> Result<usize, Error> {
    let Err(bad) = simdutf8::compat::from_utf8(bytes.get(from..to).unwrap_or_default()) else { return Ok(to) };
    let sound_to = from + bad.valid_up_to();
    if more && bad.error_len().is_none() { Ok(sound_to) } else { Err(Error::at(bytes, sound_to, "valid UTF-8")) }
}

/// The elements of a text that must be one JSON array, each with its kind.
pub fn array_in(text: &str) -> Result<Vec<(&str, Kind)>, Error> {
    let (mut cursor, mut all) = (Cursor::once(text.as_bytes()), Vec::new());
    let outcome = list::elements(&mut cursor, |span, kind| all.push((span.of(text), kind))).and_then(|()| cursor.end());
    outcome.map(|()| all).map_err(|expected| cursor.error(expected))
}

/// Checks a text as one JSON value of any kind and says which kind.
pub fn value_in(text: &str) -> Result<Kind, Error> {
    let mut cursor = Cursor::once(text.as_bytes());
    let kind = cursor.value().and_then(|(_, kind)| cursor.end().map(|()| kind));
    kind.map_err(|expected| cursor.error(expected))
}

/// What lies here of bytes that are known to be UTF-8; nothing if they are not.
fn text_of(bytes: &[u8], span: Span) -> &str {
    std::str::from_utf8(bytes.get(span.start..span.end).unwrap_or_default()).unwrap_or_default()
}

/// A string without its quotes, a list without its brackets: what lies between the first and the last byte.
pub(crate) fn inside(value: &str) -> &str {
    value.get(1..value.len().saturating_sub(1)).unwrap_or_default()
}

/// The text that a JSON string (with its quotes) stands for; `None` if a surrogate is unpaired.
pub fn decode(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

impl<'a> Scan<'a> {
    /// The text that was scanned.
    pub fn text(&self) -> &'a str {
        text_of(self.bytes, self.whole)
    }
    /// The bytes that the spans count in.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
    /// Where in them the object lies.
    pub(crate) fn whole(&self) -> Span {
        self.whole
    }
    /// All members in their order, duplicates included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
    /// Keeps the spans and lets the text go.
    pub fn into_spans(self) -> Spans {
        Spans { members: self.members.into_owned(), long: self.long.into_owned() }
    }
    /// The value of a member as it is written.
    pub fn raw(&self, member: Member) -> &'a str {
        member.raw(self.bytes)
    }
    /// The key of a member as it is written, with its quotes.
    pub fn raw_key(&self, member: Member) -> &'a str {
        text_of(self.bytes, member.key_span)
    }
    /// The text of a value that lies here, as it is written.
    pub fn at(&self, span: Span) -> &'a str {
        text_of(self.bytes, span)
    }
    /// The first bytes of a text that lies here, about so many of them.
    pub fn start_of(&self, span: Span, most: usize) -> &'a str {
        let bytes = self.bytes.get(span.start..span.end.min(span.start.saturating_add(most))).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(cut) => text_of(bytes, Span { start: 0, end: cut.valid_up_to() }),
        }
    }
    /// The object that lies here, as one of this scan's values; its spans count in the same text.
    pub fn inside(&self, span: Span) -> Result<Scan<'_>, Error> {
        let (mut cursor, mut members) = (self.cursor(span), Vec::new());
        let outcome = list::members(&mut cursor, MAX_MEMBERS, |member| members.push(member));
        outcome.map_err(|expected| cursor.error(expected))?;
        Ok(Scan { bytes: self.bytes, whole: span, members: Cow::Owned(members), long: Cow::Borrowed(&self.long) })
    }
    /// Hands over the elements of the array that lies here, as one of this scan's values.
    pub fn each(&self, span: Span, take: impl FnMut(Span, Kind)) -> Result<(), Error> {
        let mut cursor = self.cursor(span);
        list::elements(&mut cursor, take).map_err(|expected| cursor.error(expected))
    }
    /// Hands over, of each element of the array that lies here, the last members with these names; of one that is no object,
    /// none. The array is passed once and nothing is set aside.
    pub fn rows<const N: usize>(&self, span: Span, names: [&str; N], take: impl FnMut([Option<Member>; N])) -> Result<(), Error> {
        let mut cursor = self.cursor(span);
        list::rows(&mut cursor, &names, take).map_err(|expected| cursor.error(expected))
    }
    fn cursor(&self, span: Span) -> Cursor<'_> {
        Cursor::within(self.bytes, span.start, &self.long)
    }
    /// True when the member has this key, however it is written.
    pub fn is(&self, member: Member, key: &str) -> bool {
        list::is(self.bytes, member, key)
    }
    /// The last members with these keys, in one pass.
    pub fn pick<const N: usize>(&self, keys: [&str; N]) -> [Option<Member>; N] {
        let mut found = [None; N];
        for member in &*self.members {
            list::note(self.bytes, *member, &keys, &mut found);
        }
        found
    }
    /// The last member with this key.
    pub fn get(&self, key: &str) -> Option<Member> {
        self.members.iter().rev().copied().find(|member| self.is(*member, key))
    }
    /// The value with this key as it is written.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.get(key).map(|member| self.raw(member))
    }
    /// The text of a string member.
    pub fn str(&self, key: &str) -> Option<Cow<'a, str>> {
        let member = self.get(key).filter(|member| member.kind == Kind::String)?;
        decode(self.raw(member))
    }
    /// The value of a boolean member.
    pub fn bool(&self, key: &str) -> Option<bool> {
        let member = self.get(key).filter(|member| member.kind == Kind::Bool)?;
        Some(self.raw(member) == "true")
    }
    /// The value of a member that is a whole number from 0 up; `16.0` and `1e3` are whole.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.get(key)?.u64(self.bytes)
    }
    /// True when the member is there and is `null`.
    pub fn is_null(&self, key: &str) -> bool {
        self.get(key).is_some_and(|member| member.kind == Kind::Null)
    }
    /// The members of an object member.
    pub fn object(&self, key: &str) -> Option<Scan<'a>> {
        object_in(self.value(key)?).ok()
    }
}

/// A JSON number as a whole number, if it is one and fits.
fn whole(number: &[u8]) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: above it an f64 no longer holds every integer
    const SURE: usize = 19; // so many digits fit, whatever they are
    if number.len() <= SURE && number.iter().all(u8::is_ascii_digit) {
        return Some(number.iter().fold(0, |n, digit| 10 * n + u64::from(digit - b'0')));
    }
    let number = std::str::from_utf8(number).unwrap_or_default();
    if let Ok(n) = number.parse() {
        return Some(n);
    }
    let real: f64 = number.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be whole, positive and small enough")]
    let n = (real.fract() == 0.0 && (0.0..=EXACT).contains(&real)).then_some(real as u64);
    n
}

/// The body is not the JSON that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: expected {expected}, found {found}")]
pub struct Error {
    /// The byte, counted from 0.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
    /// What stands there.
    pub found: Found,
}

/// The byte at which a scan gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found(Option<u8>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("the end of the body"),
            Some(byte) if byte.is_ascii_graphic() => write!(f, "`{}`", char::from(byte)),
            Some(byte) => write!(f, "byte 0x{byte:02x}"),
        }
    }
}

impl Error {
    fn at(body: &[u8], at: usize, expected: &'static str) -> Self {
        Self { at, expected, found: Found(body.get(at).copied()) }
    }
}

impl Fault for Error {
    fn kind(&self) -> FaultKind {
        FaultKind::Invalid
    }
    fn hint(&self) -> Option<String> {
        Some("send one JSON object, encoded as UTF-8".to_owned())
    }
}
