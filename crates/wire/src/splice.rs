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
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::scan::{Member, Scan};

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
}

/// A text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The edited body as segments in their order; without edits the body itself.
pub fn apply(body: &Bytes, scan: &Scan<'_>, edits: &[Edit<'_>]) -> Vec<Bytes> {
    let patches = patches(scan, edits);
    let mut segments = Vec::with_capacity(2 * patches.len() + 1);
    let mut at = 0;
    for patch in patches {
        if patch.cut.start > at {
            segments.push(body.slice(at..patch.cut.start));
        }
        if !patch.put.is_empty() {
            segments.push(Bytes::from(patch.put));
        }
        at = patch.cut.end;
    }
    if at < body.len() {
        segments.push(body.slice(at..));
    }
    segments
}

/// The edited body in one piece.
pub fn apply_to_bytes(body: &Bytes, scan: &Scan<'_>, edits: &[Edit<'_>]) -> Bytes {
    let mut segments = apply(body, scan, edits);
    if segments.len() == 1
        && let Some(whole) = segments.pop()
    {
        return whole;
    }
    let mut joined = BytesMut::with_capacity(segments.iter().map(Bytes::len).sum());
    for segment in segments {
        joined.put(segment);
    }
    joined.freeze()
}

/// The edited text of a small object, such as one event of a stream.
pub fn apply_to_text(scan: &Scan<'_>, edits: &[Edit<'_>]) -> String {
    let text = scan.text();
    let mut edited = String::with_capacity(text.len() + edits.len() * 32);
    let mut at = 0;
    for patch in patches(scan, edits) {
        edited.push_str(text.get(at..patch.cut.start).unwrap_or_default());
        edited.push_str(&patch.put);
        at = patch.cut.end;
    }
    edited.push_str(text.get(at..).unwrap_or_default());
    edited
}

/// Bytes that go and bytes that come in their place.
struct Patch {
    cut: Range<usize>,
    put: String,
}

/// What becomes of the members, in order of place; no two overlap.
fn patches(scan: &Scan<'_>, edits: &[Edit<'_>]) -> Vec<Patch> {
    let members = scan.members();
    let fate = |member: &Member| edits.iter().rev().find(|edit| scan.is(*member, edit.key()));
    let fates: Vec<_> = members.iter().map(fate).collect();
    let last_kept = fates.iter().rposition(|fate| !matches!(fate, Some(Edit::Remove { .. })));
    let mut patches = Vec::new();
    for (n, (member, fate)) in members.iter().zip(&fates).enumerate() {
        match fate {
            Some(Edit::Set { value_json, .. }) => {
                patches.push(Patch { cut: member.value_span.start..member.value_span.end, put: value_json.to_string() });
            }
            // Before a member that stays: up to the next key, so that this member's comma goes with it.
            Some(Edit::Remove { .. }) if last_kept.is_some_and(|kept| n < kept) => {
                let next = members.get(n + 1).map_or(member.value_span.end, |next| next.key_span.start);
                patches.push(Patch { cut: member.key_span.start..next, put: String::new() });
            }
            _ => {}
        }
    }
    patches.extend(tail(scan, edits, last_kept));
    patches
}

/// The end of the object: members removed after the last that stays, and members added.
fn tail(scan: &Scan<'_>, edits: &[Edit<'_>], last_kept: Option<usize>) -> Option<Patch> {
    let members = scan.members();
    let first_key = members.first().map(|member| member.key_span.start);
    let start = match last_kept.and_then(|kept| members.get(kept)) {
        Some(kept) => kept.value_span.end,
        None => first_key.or_else(|| memchr::memchr(b'{', scan.text().as_bytes()).map(|brace| brace + 1))?,
    };
    let end = members.last().map_or(start, |member| member.value_span.end);
    let mut put = String::new();
    for (n, edit) in edits.iter().enumerate() {
        let later = edits.iter().skip(n + 1).any(|other| other.key() == edit.key());
        if let Edit::Set { key, value_json } = edit
            && !later
            && scan.get(key).is_none()
        {
            if last_kept.is_some() || !put.is_empty() {
                put.push(',');
            }
            put.push_str(&quote(key));
            put.push(':');
            put.push_str(value_json);
        }
    }
    (start < end || !put.is_empty()).then_some(Patch { cut: start..end, put })
}
