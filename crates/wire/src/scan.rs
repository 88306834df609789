//! What are the top-level members of this JSON object, and where do they lie?
//!
//! In: a body. Out: the spans of its members, in order, without a tree and without a copy. The
//! whole body is checked as JSON (RFC 8259): UTF-8, escapes, control characters, numbers of any size, nesting
//! of at most [`MAX_DEPTH`]. A `\u` escape needs four hexadecimal digits; whether two of them pair up is
//! looked at only where a text is decoded, so that an unpaired surrogate passes through untouched (as
//! serde_json does for a `RawValue`). Fails: with the byte and what was expected there. Holds: no
//! recursion, no more than [`MAX_MEMBERS`] spans.
//!
//! **Duplicate keys.** Reading takes the last one, as the parsers of llama.cpp, Python and Go do. A key may be
//! written with escapes (`"mod\u0065l"`); it is compared decoded, since that is what an engine compares.

mod cursor;
mod string;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use base::{Fault, Kind as FaultKind};
use cursor::Cursor;
pub use cursor::MAX_DEPTH;

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
pub struct Spans(Box<[Member]>);

impl Spans {
    /// Puts the spans back on the body that they were taken from.
    pub fn on<'a>(&'a self, text: &'a str) -> Scan<'a> {
        Scan { text, members: Cow::Borrowed(&self.0) }
    }
}

/// A JSON object and where its members lie.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    text: &'a str,
    members: Cow<'a, [Member]>,
}

/// Scans a body that must be one JSON object.
pub fn object(body: &[u8]) -> Result<Scan<'_>, Error> {
    let text = std::str::from_utf8(body).map_err(|bad| Error::at(body, bad.valid_up_to(), "valid UTF-8"))?;
    object_in(text)
}

/// Scans a text that must be one JSON object.
pub fn object_in(text: &str) -> Result<Scan<'_>, Error> {
    let mut cursor = Cursor::new(text);
    let mut members = Vec::new();
    cursor.enter(b'{', "`{` at the start of a JSON object")?;
    while let Some(key_span) = cursor.next_key(members.is_empty())? {
        if members.len() == MAX_MEMBERS {
            return Err(Error::at(text.as_bytes(), key_span.start, "no more than 4096 members"));
        }
        let (value_span, kind) = cursor.value()?;
        members.push(Member { key_span, value_span, kind });
    }
    cursor.end()?;
    Ok(Scan { text, members: Cow::Owned(members) })
}

/// The elements of a text that must be one JSON array, each with its kind.
pub fn array_in(text: &str) -> Result<Vec<(&str, Kind)>, Error> {
    let mut cursor = Cursor::new(text);
    let mut elements = Vec::new();
    cursor.enter(b'[', "`[` at the start of a JSON array")?;
    while cursor.next_element(elements.is_empty())? {
        let (span, kind) = cursor.value()?;
        elements.push((span.of(text), kind));
    }
    cursor.end()?;
    Ok(elements)
}

/// Checks a text as one JSON value of any kind and says which kind.
pub fn value_in(text: &str) -> Result<Kind, Error> {
    let mut cursor = Cursor::new(text);
    let (_, kind) = cursor.value()?;
    cursor.end()?;
    Ok(kind)
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
        self.text
    }
    /// All members in their order, duplicates included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }
    /// Keeps the spans and lets the text go.
    pub fn into_spans(self) -> Spans {
        Spans(self.members.into_owned().into_boxed_slice())
    }
    /// The value of a member as it is written.
    pub fn raw(&self, member: Member) -> &'a str {
        member.value_span.of(self.text)
    }
    /// The key of a member as it is written, with its quotes.
    pub fn raw_key(&self, member: Member) -> &'a str {
        member.key_span.of(self.text)
    }
    /// True when the member has this key, however it is written.
    pub fn is(&self, member: Member, key: &str) -> bool {
        decode(self.raw_key(member)).is_some_and(|name| name == key)
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
