//! How is a member of a body changed without touching any other byte?
//!
//! In: a body, its [`Scan`], a few [`Edit`]s. Out: the new body as segments, of which all but the
//! patches are slices of the old one: a body of 16 MiB is not copied. Fails: never.
//!
//! A member that is set is replaced where it stands; if it stands there more than once, every one is
//! replaced, so that it does not matter which of them an engine reads. One that is absent is added after the
//! last member. A removed one leaves with its comma, every time it occurs. Of two edits of one key the later one
//! counts.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::scan::{Member, Scan, Span};

/// One change at the top level of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// The member has this value afterwards.
    Set {
        /// The key, not quoted.
        key: &'a str,
        /// The value, as JSON.
        value_json: Cow<'a, str>,
    },
    /// The member is gone afterwards.
    Remove {
        /// The key, not quoted.
        key: &'a str,
    },
}

impl<'a> Edit<'a> {
    /// Sets a member to JSON that the caller has at hand, such as `true`.
    pub fn raw(key: &'a str, value_json: impl Into<Cow<'a, str>>) -> Self {
        Self::Set { key, value_json: value_json.into() }
    }
    /// Sets a member to a string.
    pub fn text(key: &'a str, value: &str) -> Self {
        Self::Set { key, value_json: Cow::Owned(quote(value)) }
    }
    /// Takes a member out.
    pub fn remove(key: &'a str) -> Self {
        Self::Remove { key }
    }

    fn key(&self) -> &'a str {
        match self {
            Self::Set { key, .. } | Self::Remove { key } => key,
        }
    }

    /// Bytes that it may add.
    fn room(&self) -> usize {
        match self {
            Self::Set { key, value_json } => key.len() + value_json.len() + "\"\":,".len(),
            Self::Remove { .. } => 0,
        }
    }
}

/// A text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) { ["\"", text, "\""].concat() } else { serde_json::Value::from(text).to_string() }
}

/// The edited body as segments in their order; without edits the body itself.
pub fn apply(body: &Bytes, scan: &Scan<'_>, edits: &[Edit<'_>]) -> Vec<Bytes> {
    let mut segments = Vec::with_capacity(2 * edits.len() + 1);
    let mut put = String::new();
    let mut kept: Option<Span> = None; // the last segment, where it is of the body
    weave(scan, edits, &mut |part| match part {
        Part::Put(text) => put.push_str(text),
        Part::Keep(mut span) => {
            if !put.is_empty() {
                segments.push(Bytes::from(std::mem::take(&mut put)));
            } else if let Some(before) = kept.filter(|before| before.end == span.start) {
                segments.pop();
                span.start = before.start;
            }
            segments.push(body.slice(span.start..span.end));
            kept = Some(span);
        }
    });
    if !put.is_empty() {
        segments.push(Bytes::from(put));
    }
    segments
}

/// The edited body in one piece.
pub fn apply_to_bytes(body: &Bytes, scan: &Scan<'_>, edits: &[Edit<'_>]) -> Bytes {
    if edits.is_empty() {
        return body.clone();
    }
    let mut joined = BytesMut::with_capacity(body.len() + edits.iter().map(Edit::room).sum::<usize>());
    weave(scan, edits, &mut |part| match part {
        Part::Put(text) => joined.put_slice(text.as_bytes()),
        Part::Keep(span) => joined.put_slice(body.get(span.start..span.end).unwrap_or_default()),
    });
    joined.freeze()
}

/// The edited text of a small object, such as one event of a stream.
pub fn apply_to_text(scan: &Scan<'_>, edits: &[Edit<'_>]) -> String {
    let mut edited = String::with_capacity(scan.whole().len() + edits.iter().map(Edit::room).sum::<usize>());
    weave(scan, edits, &mut |part| match part {
        Part::Put(text) => edited.push_str(text),
        Part::Keep(span) => edited.push_str(scan.at(span)),
    });
    edited
}

/// A part of the edited object.
enum Part<'a> {
    /// What lies here stays.
    Keep(Span),
    /// This comes.
    Put(&'a str),
}

/// The edited object, part by part.
fn weave(scan: &Scan<'_>, edits: &[Edit<'_>], emit: &mut impl FnMut(Part<'_>)) {
    let (members, whole) = (scan.members(), scan.whole());
    let last_kept = last_kept(scan, edits);
    let mut at = whole.start;
    let mut keep_to = |emit: &mut dyn FnMut(Part<'_>), to: usize, from: usize| {
        if to > at {
            emit(Part::Keep(Span { start: at, end: to }));
        }
        at = at.max(from);
    };
    for (n, member) in members.iter().enumerate() {
        match fate(scan, edits, *member) {
            Some(Edit::Set { value_json, .. }) => {
                keep_to(emit, member.value_span.start, member.value_span.end);
                emit(Part::Put(value_json));
            }
            // Before a member that stays: up to the next key, so that this member's comma goes with it.
            Some(Edit::Remove { .. }) if last_kept.is_some_and(|kept| n < kept) => {
                let next = members.get(n + 1).map_or(member.value_span.end, |next| next.key_span.start);
                keep_to(emit, member.key_span.start, next);
            }
            _ => {}
        }
    }
    if let Some(tail) = tail(scan, last_kept) {
        keep_to(emit, tail.start, tail.end);
        add(scan, edits, last_kept.is_some(), emit);
    }
    keep_to(emit, whole.end, whole.end);
}

/// What becomes of a member.
fn fate<'e, 'a>(scan: &Scan<'_>, edits: &'e [Edit<'a>], member: Member) -> Option<&'e Edit<'a>> {
    edits.iter().rev().find(|edit| scan.is(member, edit.key()))
}

/// The last member that stays.
fn last_kept(scan: &Scan<'_>, edits: &[Edit<'_>]) -> Option<usize> {
    let members = scan.members();
    if edits.iter().any(|edit| matches!(edit, Edit::Remove { .. })) {
        members.iter().rposition(|member| !matches!(fate(scan, edits, *member), Some(Edit::Remove { .. })))
    } else {
        members.len().checked_sub(1)
    }
}

/// The end of the object: members removed after the last that stays; here others are added.
fn tail(scan: &Scan<'_>, last_kept: Option<usize>) -> Option<Span> {
    let members = scan.members();
    let first_key = members.first().map(|member| member.key_span.start);
    let start = match last_kept.and_then(|kept| members.get(kept)) {
        Some(kept) => kept.value_span.end,
        None => first_key.or_else(|| brace(scan).map(|brace| brace + 1))?,
    };
    Some(Span { start, end: members.last().map_or(start, |member| member.value_span.end) })
}

/// Members that were set and are not there yet.
fn add(scan: &Scan<'_>, edits: &[Edit<'_>], mut comma: bool, emit: &mut impl FnMut(Part<'_>)) {
    for (n, edit) in edits.iter().enumerate() {
        let later = edits.iter().skip(n + 1).any(|other| other.key() == edit.key());
        if let Edit::Set { key, value_json } = edit
            && !later
            && scan.get(key).is_none()
        {
            emit(Part::Put(if std::mem::replace(&mut comma, true) { "," } else { "" }));
            emit(Part::Put(&quote(key)));
            emit(Part::Put(":"));
            emit(Part::Put(value_json));
        }
    }
}

fn brace(scan: &Scan<'_>) -> Option<usize> {
    let from = scan.whole().start;
    memchr::memchr(b'{', scan.bytes().get(from..)?).map(|at| from + at)
}
