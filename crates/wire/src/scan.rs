//! What are the top-level members of this JSON object, and where do they lie?
//!
//! In: a body. Out: the spans of its members, in order, without a tree and without a copy. The
//! whole body is checked as JSON (RFC 8259): UTF-8, escapes, control characters, numbers of any size, nesting
//! of at most [`MAX_DEPTH`]. A `\u` escape needs four hexadecimal digits; whether two of them pair up is
//! looked at only where a text is decoded, so that an unpaired surrogate passes through untouched (as
//! serde_json does for a `RawValue`). Fails: with the byte and what was expected there. Holds: no
//! recursion, no more than [`MAX_MEMBERS`] spans of members, and the spans of long strings, so that whoever looks into a
//! value does not read a picture again ([`Scan::inside`], [`Scan::elements`]). A body may be scanned while it comes
//! ([`Reader`]).
//!
//! **Duplicate keys.** Reading takes the last one, as the parsers of llama.cpp, Python and Go do. A key may be
//! written with escapes (`"mod\u0065l"`); it is compared decoded, since that is what an engine compares.

mod cursor;
mod reader;
mod string;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use base::{Fault, Kind as FaultKind};
pub use cursor::MAX_DEPTH;
use cursor::{Cursor, Step};
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
    /// The same of bytes that are known to be UTF-8 there; empty if they are not.
    fn in_bytes(self, bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes.get(self.start..self.end).unwrap_or_default()).unwrap_or_default()
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
}

/// The members of a body without the body: what a caller keeps beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    members: Box<[Member]>,
    long: Box<[Span]>,
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

/// Scans a body that must be one JSON object.
pub fn object(body: &[u8]) -> Result<Scan<'_>, Error> {
    let Spans { members, long } = Reader::default().finish(body)?;
    let whole = Span { start: 0, end: body.len() };
    Ok(Scan { bytes: body, whole, members: Cow::Owned(members.into()), long: Cow::Owned(long.into()) })
}

/// Scans a text that must be one JSON object.
pub fn object_in(text: &str) -> Result<Scan<'_>, Error> {
    let mut cursor = Cursor::new(text.as_bytes());
    let members = members(&mut cursor).and_then(|members| cursor.end().map(|()| members));
    let members = members.map_err(|expected| cursor.error(expected))?;
    let whole = Span { start: 0, end: text.len() };
    Ok(Scan { bytes: text.as_bytes(), whole, members: Cow::Owned(members), long: Cow::Owned(cursor.long) })
}

fn members(cursor: &mut Cursor<'_>) -> Step<Vec<Member>> {
    let mut members = Vec::new();
    cursor.enter(b'{', "`{` at the start of a JSON object")?;
    while let Some(key_span) = cursor.next_key(members.is_empty())? {
        if members.len() == MAX_MEMBERS {
            cursor.at = key_span.start;
            return Err(cursor.wrong("no more than 4096 members"));
        }
        let (value_span, kind) = cursor.value()?;
        members.push(Member { key_span, value_span, kind });
    }
    Ok(members)
}

/// The elements of a text that must be one JSON array, each with its kind.
pub fn array_in(text: &str) -> Result<Vec<(&str, Kind)>, Error> {
    let mut cursor = Cursor::new(text.as_bytes());
    let elements = elements(&mut cursor).and_then(|elements| cursor.end().map(|()| elements));
    let elements = elements.map_err(|expected| cursor.error(expected))?;
    Ok(elements.into_iter().map(|(span, kind)| (span.of(text), kind)).collect())
}

fn elements(cursor: &mut Cursor<'_>) -> Step<Vec<(Span, Kind)>> {
    let mut elements = Vec::new();
    cursor.enter(b'[', "`[` at the start of a JSON array")?;
    while cursor.next_element(elements.is_empty())? {
        elements.push(cursor.value()?);
    }
    Ok(elements)
}

/// Checks a text as one JSON value of any kind and says which kind.
pub fn value_in(text: &str) -> Result<Kind, Error> {
    let mut cursor = Cursor::new(text.as_bytes());
    let kind = cursor.value().and_then(|(_, kind)| cursor.end().map(|()| kind));
    kind.map_err(|expected| cursor.error(expected))
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
        self.whole.in_bytes(self.bytes)
    }
    /// The bytes that the spans count in.
    pub(crate) fn bytes(&self) -> &'a [u8] {
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
        Spans { members: self.members.into_owned().into(), long: self.long.into_owned().into() }
    }
    /// The value of a member as it is written.
    pub fn raw(&self, member: Member) -> &'a str {
        member.value_span.in_bytes(self.bytes)
    }
    /// The key of a member as it is written, with its quotes.
    pub fn raw_key(&self, member: Member) -> &'a str {
        member.key_span.in_bytes(self.bytes)
    }
    /// The text of a value that lies here, as it is written.
    pub fn at(&self, span: Span) -> &'a str {
        span.in_bytes(self.bytes)
    }
    /// The first bytes of a text that lies here, about so many of them.
    pub fn start_of(&self, span: Span, most: usize) -> &'a str {
        let bytes = self.bytes.get(span.start..span.end.min(span.start.saturating_add(most))).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(cut) => Span { start: 0, end: cut.valid_up_to() }.in_bytes(bytes),
        }
    }
    /// The object that lies here, as one of this scan's values; its spans count in the same text.
    pub fn inside(&self, span: Span) -> Result<Scan<'_>, Error> {
        let mut cursor = Cursor::within(self.bytes, span.start, &self.long);
        let members = members(&mut cursor).map_err(|expected| cursor.error(expected))?;
        Ok(Scan { bytes: self.bytes, whole: span, members: Cow::Owned(members), long: Cow::Borrowed(&self.long) })
    }
    /// The elements of the array that lies here, as one of this scan's values, each with its kind.
    pub fn elements(&self, span: Span) -> Result<Vec<(Span, Kind)>, Error> {
        let mut cursor = Cursor::within(self.bytes, span.start, &self.long);
        elements(&mut cursor).map_err(|expected| cursor.error(expected))
    }
    /// True when the member has this key, however it is written.
    pub fn is(&self, member: Member, key: &str) -> bool {
        let written = self.bytes.get(member.key_span.start + 1..member.key_span.end.saturating_sub(1)).unwrap_or_default();
        written == key.as_bytes() || (written.contains(&b'\\') && decode(self.raw_key(member)).is_some_and(|name| name == key))
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
        let member = self.get(key).filter(|member| member.kind == Kind::Number)?;
        whole(self.raw(member))
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
fn whole(number: &str) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: above it an f64 no longer holds every integer
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
