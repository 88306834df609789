//! Tags, notes and versions of a model as they are changed.

use base::{ByteSize, Timestamp};
use spec::{Card, Format, Listed, Model, Name, Source, Version};

use super::*;

fn version(digest: &str) -> Version {
    serde_json::from_value(serde_json::json!({"digest": digest, "path": "/m", "size": 1, "format": "gguf", "architecture": "llama",
        "quantisation": "F16", "title": null, "parameters": 1, "context_length": 64, "layers": 1, "weights": 1, "kv_bytes_per_token": 1,
        "embedding_length": 1, "vocabulary": 1, "has_template": false}))
    .expect("a version")
}

/// With three versions, the newest first: c, b, a.
fn model() -> Model {
    let listed = |letter: &str| Listed {
        version: version(&format!("sha256:{}", letter.repeat(64))),
        note: String::new(),
        added_at: Timestamp::from_millis(1),
        added_by: "a test".to_owned(),
    };
    let versions: Vec<Listed> = ["c", "b", "a"].map(listed).into();
    assert_eq!((versions[0].version.format, versions[0].version.size), (Format::Gguf, ByteSize(1)));
    Model {
        name: Name::parse("m").expect("a name"),
        source: Source::Upload,
        card: Card::default(),
        tags: [(LATEST.to_owned(), digest("c"))].into(),
        latest_is_set: false,
        versions,
        deprecated_at: None,
        generation: 3,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(1),
    }
}

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

#[test]
fn a_tag_is_set_by_digest_by_its_first_digits_or_by_another_tag_and_tells_from_where_it_moved() {
    let (tagged, moved) = with_tag(&model(), "prod", &digest("a"), "me").expect("a tag");
    let moved = moved.expect("a move");
    assert_eq!((moved.from, moved.to, moved.cause.as_str()), (None, Some(digest("a")), "me"));
    let (tagged, moved) = with_tag(&tagged, "prod", "sha256:bbbbbbbbbbbb", "me").expect("a tag");
    assert_eq!(moved.expect("a move").from, Some(digest("a")));
    let (tagged, moved) = with_tag(&tagged, "prod", "latest", "me").expect("a tag");
    assert_eq!((tagged.tags["prod"].clone(), moved.expect("a move").from), (digest("c"), Some(digest("b"))));
    let (same, moved) = with_tag(&tagged, "prod", "latest", "me").expect("a tag");
    assert_eq!((same.tags, moved), (tagged.tags, None), "what stays has no story");
    for target in ["sha256:dddddddddddd", "sha256:bbb", "none"] {
        assert!(matches!(with_tag(&model(), "prod", target, "me"), Err(Error::NoVersion { .. })), "{target}");
    }
    assert!(matches!(with_tag(&model(), "a:b", "latest", "me"), Err(Error::Invalid(_))));
}

#[test]
fn a_latest_that_was_set_stays_until_it_is_taken_away() {
    let (held, _) = with_tag(&model(), LATEST, &digest("a"), "me").expect("a tag");
    assert!(held.latest_is_set);
    let (free, moved) = without_tag(&held, LATEST, "me").expect("automatic again");
    assert_eq!((free.latest_is_set, free.tags[LATEST].clone()), (false, digest("c")));
    assert_eq!(moved.expect("a move").to, Some(digest("c")));
    assert!(matches!(without_tag(&model(), "prod", "me"), Err(Error::NoVersion { .. })));
}

#[test]
fn a_version_that_a_tag_names_stays_and_latest_goes_on_to_the_next() {
    let (tagged, _) = with_tag(&model(), "prod", &digest("b"), "me").expect("a tag");
    let used = without_version(&tagged, &digest("b"), "me").expect_err("it is named");
    assert!(used.to_string().contains("the tag `prod`"), "{used}");
    let (less, moved) = without_version(&tagged, &digest("c"), "me").expect("only the automatic latest names it");
    assert_eq!((less.versions.len(), less.tags[LATEST].clone()), (2, digest("b")));
    assert_eq!(moved.expect("a move").from, Some(digest("c")));
    let (one, _) = without_version(&less, &digest("a"), "me").expect("nobody names it");
    assert!(matches!(without_version(&one, &digest("b"), "me"), Err(Error::VersionInUse { .. })));
    let (one, _) = without_tag(&one, "prod", "me").expect("no tag");
    assert!(matches!(without_version(&one, &digest("b"), "me"), Err(Error::LastVersion { .. })));
}

#[test]
fn a_deprecated_model_remembers_since_when() {
    let card = |deprecated: Option<&str>| Card { deprecated: deprecated.map(str::to_owned), ..Card::default() };
    let old = with_card(&model(), card(Some("use n"))).expect("a card");
    let since = old.deprecated_at.expect("a time");
    let again = with_card(&old, card(Some("use n, really"))).expect("a card");
    assert_eq!(again.deprecated_at, Some(since));
    assert_eq!(with_card(&again, card(None)).expect("a card").deprecated_at, None);
}

#[test]
fn a_note_is_of_one_version_and_has_an_end() {
    let noted = with_note(&model(), "sha256:aaaaaaaaaaaa", "the first").expect("a note");
    assert_eq!(noted.versions.iter().map(|listed| listed.note.as_str()).collect::<Vec<_>>(), ["", "", "the first"]);
    assert!(matches!(with_note(&model(), &digest("a"), &"x".repeat(5_000)), Err(Error::Invalid(_))));
    assert!(matches!(with_note(&model(), &digest("d"), "x"), Err(Error::NoVersion { .. })));
}
