//! What people change of a model: its card, its tags, its notes, and which versions it has.
//!
//! In: a model, and a change. Out: the model as it is then, and which tags moved. Pure but for the time. Fails: on a tag or a
//! version that is not there, on words that are too long. Whoever stores it checks that nobody was faster.

use base::Timestamp;
use serde_json::{Value, json};
use spec::{Card, Invalid, LATEST, Model, TagMove, tag_problem};

use crate::error::Error;
use crate::models::version_of;

const LONGEST_NOTE: usize = 4 << 10;
/// More could not be told apart by people.
const MOST_TAGS: usize = 256;

/// Says something else of the model.
pub fn with_card(before: &Model, card: Card) -> Result<Model, Error> {
    card.check()?;
    let mut model = touched(before);
    set_card(&mut model, card);
    Ok(model)
}

/// A card with what a merge patch (RFC 7396) changes of it.
pub(crate) fn patched(card: &Card, patch: &Value) -> Result<Card, Error> {
    let mut document = json!(card);
    spec::merge(&mut document, patch.clone());
    let hint = "read the model again, and say what is to change of it";
    let card: Card = serde_json::from_value(document).map_err(|error| Invalid::one("card", error.to_string(), hint))?;
    card.check()?;
    Ok(card)
}

pub(crate) fn set_card(model: &mut Model, card: Card) {
    model.deprecated_at = card.deprecated.as_ref().map(|_| model.deprecated_at.unwrap_or_else(Timestamp::now));
    model.card = card;
}

/// Lets a tag point to a version: a tag, a digest, or its first digits. `latest` stays there from now on.
pub fn with_tag(before: &Model, tag: &str, target: &str, by: &str) -> Result<(Model, Option<TagMove>), Error> {
    tag_problem(tag).map_or(Ok(()), Err)?;
    let is_digest = target.starts_with("sha256:") || target.starts_with('@');
    let found = if is_digest { version_of(before, &format!("@{}", target.trim_start_matches('@'))) } else { before.tagged(target) };
    let known = || before.tags.keys().cloned().chain(before.versions.iter().map(|listed| format!("@{}", listed.version.digest))).collect();
    let digest =
        &found.ok_or_else(|| Error::NoVersion { name: before.name.clone(), tag: target.to_owned(), known: known() })?.version.digest;
    if !before.tags.contains_key(tag) && before.tags.len() >= MOST_TAGS {
        let what = format!("the model `{}` has {MOST_TAGS} tags already", before.name);
        return Err(Invalid::one("tag", what, "take one away first").into());
    }
    let mut model = touched(before);
    model.latest_is_set |= tag == LATEST;
    let moved = point(&mut model, tag, Some(digest), by);
    Ok((model, moved))
}

/// Takes a tag away. `latest` means the newest version again.
pub fn without_tag(before: &Model, tag: &str, by: &str) -> Result<(Model, Option<TagMove>), Error> {
    let mut model = touched(before);
    if tag == LATEST {
        model.latest_is_set = false;
        let newest = model.versions.first().map(|listed| listed.version.digest.clone());
        let moved = point(&mut model, LATEST, newest.as_deref(), by);
        return Ok((model, moved));
    }
    if !before.tags.contains_key(tag) {
        let known = before.tags.keys().cloned().collect();
        return Err(Error::NoVersion { name: before.name.clone(), tag: tag.to_owned(), known });
    }
    let moved = point(&mut model, tag, None, by);
    Ok((model, moved))
}

/// Says something else of a version.
pub fn with_note(before: &Model, digest: &str, note: &str) -> Result<Model, Error> {
    check_note(note)?;
    let digest = found(before, digest)?;
    let mut model = touched(before);
    for listed in model.versions.iter_mut().filter(|listed| listed.version.digest == digest) {
        note.clone_into(&mut listed.note);
    }
    Ok(model)
}

/// Forgets a version that no tag points to; of the automatic `latest` the next one takes its place.
pub fn without_version(before: &Model, digest: &str, by: &str) -> Result<(Model, Option<TagMove>), Error> {
    let digest = found(before, digest)?;
    let is_automatic = |tag: &String| tag == LATEST && !before.latest_is_set;
    let tags: Vec<String> = before
        .tags
        .iter()
        .filter(|(tag, tagged)| **tagged == digest && !is_automatic(tag))
        .map(|(tag, _)| format!("the tag `{tag}`"))
        .collect();
    if !tags.is_empty() {
        return Err(Error::VersionInUse { name: before.name.clone(), digest, users: tags });
    }
    if before.versions.len() == 1 {
        return Err(Error::LastVersion { name: before.name.clone(), digest });
    }
    let mut model = touched(before);
    model.versions.retain(|listed| listed.version.digest != digest);
    let newest = model.versions.first().map(|listed| listed.version.digest.clone());
    let moved = if model.latest_is_set { None } else { point(&mut model, LATEST, newest.as_deref(), by) };
    Ok((model, moved))
}

/// The whole digest of a version, by it or by its first digits.
pub fn found(model: &Model, digest: &str) -> Result<String, Error> {
    let digits = digest.trim_start_matches('@');
    let listed = version_of(model, &format!("@{digits}"));
    let known = || model.versions.iter().map(|listed| listed.version.digest.clone()).collect();
    let missing = || Error::NoVersion { name: model.name.clone(), tag: format!("@{digits}"), known: known() };
    Ok(listed.ok_or_else(missing)?.version.digest.clone())
}

pub(crate) fn check_note(note: &str) -> Result<(), Error> {
    if note.len() <= LONGEST_NOTE {
        return Ok(());
    }
    Err(Invalid::one("note", format!("{} bytes are more than {LONGEST_NOTE}", note.len()), "put the rest behind a link").into())
}

fn touched(before: &Model) -> Model {
    Model { updated_at: Timestamp::now(), ..before.clone() }
}

/// Sets, moves or takes away a tag; tells what changed, if anything did.
pub(crate) fn point(model: &mut Model, tag: &str, to: Option<&str>, by: &str) -> Option<TagMove> {
    let from = match to {
        Some(to) => model.tags.insert(tag.to_owned(), to.to_owned()),
        None => model.tags.remove(tag),
    };
    let to = to.map(str::to_owned);
    (from != to).then(|| TagMove { tag: tag.to_owned(), from, to, at: Timestamp::now(), cause: by.to_owned() })
}

#[cfg(test)]
mod tests;
