//! What lies in the object or array that begins here?
//!
//! In: a cursor before it. Out: its members or elements, one after another, to whoever takes them; of an array of objects, the
//! members with certain names. Fails: as the cursor does. Holds: nothing, so that a large one costs no memory.

use std::borrow::Cow;

use super::cursor::{Cursor, Step};
use super::{Key, Kind, Member, Span, decode, text_of};

/// Said of an object with more members than are wanted.
pub(super) const TOO_MANY: &str = "no more than 4096 members";

/// Hands over the members of an object that has no more than so many of them.
pub(super) fn members(cursor: &mut Cursor<'_>, most: usize, mut take: impl FnMut(Member)) -> Step {
    cursor.enter(b'{', "`{` at the start of a JSON object")?;
    let mut count = 0;
    while let Some(key) = cursor.next_key(count == 0)? {
        if count == most {
            return Err(cursor.wrong(key.span.start, TOO_MANY));
        }
        let (value_span, kind) = cursor.value()?;
        take(Member::new(key, value_span, kind));
        count += 1;
    }
    Ok(())
}

/// Hands over the elements of an array.
pub(super) fn elements(cursor: &mut Cursor<'_>, mut take: impl FnMut(Span, Kind)) -> Step {
    cursor.enter(b'[', "`[` at the start of a JSON array")?;
    let mut first = true;
    while cursor.next_element(first)? {
        first = false;
        let (span, kind) = cursor.value()?;
        take(span, kind);
    }
    Ok(())
}

/// Hands over, of each element of an array, the last members with these names; of one that is no object, none.
pub(super) fn rows<const N: usize>(cursor: &mut Cursor<'_>, names: &[&str; N], mut take: impl FnMut([Option<Member>; N])) -> Step {
    let bytes = cursor.bytes;
    cursor.enter(b'[', "`[` at the start of a JSON array")?;
    let mut first = true;
    while cursor.next_element(first)? {
        first = false;
        let mut found = [None; N];
        if cursor.is_before_object() {
            members(cursor, usize::MAX, |member| note(bytes, member, names, &mut found))?;
        } else {
            cursor.value()?;
        }
        take(found);
    }
    Ok(())
}

/// Keeps the member if it has one of these names.
#[inline]
pub(super) fn note<const N: usize>(bytes: &[u8], member: Member, names: &[&str; N], found: &mut [Option<Member>; N]) {
    let Some(written) = name(bytes, member) else { return };
    for (name, found) in names.iter().zip(found) {
        if *written == *name.as_bytes() {
            *found = Some(member);
        }
    }
}

/// True when the member has this name, however it is written.
#[inline]
pub(super) fn is(bytes: &[u8], member: Member, wanted: &str) -> bool {
    name(bytes, member).is_some_and(|name| *name == *wanted.as_bytes())
}

/// The name of a member; none if its key stands for no text.
#[inline]
fn name(bytes: &[u8], member: Member) -> Option<Cow<'_, [u8]>> {
    let Key { span, plain } = member.key();
    if plain { bytes.get(span.start + 1..span.end - 1).map(Cow::Borrowed) } else { decoded(bytes, span) }
}

#[cold]
fn decoded(bytes: &[u8], span: Span) -> Option<Cow<'_, [u8]>> {
    Some(match decode(text_of(bytes, span))? {
        Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
        Cow::Owned(name) => Cow::Owned(name.into_bytes()),
    })
}
