//! Do edits change what they name and nothing else?

use bytes::Bytes;
use proptest::prelude::*;

use super::{Edit, apply, apply_to_bytes, apply_to_text};
use crate::sample;
use crate::scan::{self, Scan};

fn edited(body: &'static str, edits: &[Edit<'_>]) -> String {
    let body = Bytes::from_static(body.as_bytes());
    let scan = scan::object(&body).unwrap();
    let joined = apply_to_bytes(&body, &scan, edits);
    assert_eq!(joined, apply_to_text(&scan, edits).as_bytes());
    String::from_utf8(joined.to_vec()).unwrap()
}

#[test]
fn a_member_is_replaced_where_it_stands() {
    let set = [Edit::text("model", "x\"y"), Edit::raw("stream", "true")];
    assert_eq!(edited(r#"{ "model" : "a" , "stream":false}"#, &set), r#"{ "model" : "x\"y" , "stream":true}"#);
}

#[test]
fn every_duplicate_is_replaced_so_that_no_parser_reads_the_old_one() {
    let set = [Edit::text("model", "b")];
    assert_eq!(edited(r#"{"model":"a","n":1,"mod\u0065l":"c"}"#, &set), r#"{"model":"b","n":1,"mod\u0065l":"b"}"#);
}

#[test]
fn an_absent_member_comes_last() {
    let set = [Edit::raw("stream", "true"), Edit::raw("n", "2")];
    assert_eq!(edited("{\"a\":1 }", &set), r#"{"a":1,"stream":true,"n":2 }"#);
    assert_eq!(edited(" { } ", &set), r#" {"stream":true,"n":2 } "#);
}

#[test]
fn a_removed_member_takes_its_comma_along() {
    let gone = [Edit::remove("b")];
    assert_eq!(edited(r#"{"a":1, "b":2, "c":3}"#, &gone), r#"{"a":1, "c":3}"#);
    assert_eq!(edited(r#"{"b":2, "c":3}"#, &gone), r#"{"c":3}"#);
    assert_eq!(edited(r#"{"a":1, "b":2 }"#, &gone), r#"{"a":1 }"#);
    assert_eq!(edited(r#"{ "b":2 }"#, &gone), "{  }");
    assert_eq!(edited(r#"{"b":1,"a":1,"b":2,"b":3}"#, &gone), r#"{"a":1}"#);
    assert_eq!(edited(r#"{"b":1}"#, &[Edit::remove("b"), Edit::raw("c", "2")]), r#"{"c":2}"#);
    assert_eq!(edited(r#"{"a":1,"b":1}"#, &[Edit::remove("b"), Edit::raw("c", "2")]), r#"{"a":1,"c":2}"#);
}

#[test]
fn of_two_edits_of_one_key_the_later_counts() {
    assert_eq!(edited(r#"{"a":1}"#, &[Edit::raw("a", "2"), Edit::raw("a", "3")]), r#"{"a":3}"#);
    assert_eq!(edited("{}", &[Edit::raw("a", "2"), Edit::raw("a", "3")]), r#"{"a":3}"#);
    assert_eq!(edited(r#"{"a":1}"#, &[Edit::raw("a", "2"), Edit::remove("a")]), "{}");
    assert_eq!(edited("{}", &[Edit::raw("a", "2"), Edit::remove("a")]), "{}");
}

#[test]
fn the_body_itself_is_not_copied() {
    let body = Bytes::from(format!(r#"{{"model":"a","prompt":"{}"}}"#, "x".repeat(1 << 20)));
    let scan = scan::object(&body).unwrap();
    let segments = apply(&body, &scan, &[Edit::text("model", "b")]);
    let sizes: Vec<usize> = segments.iter().map(Bytes::len).collect();
    assert_eq!(sizes, [9, 3, body.len() - 12]);
    assert_eq!(segments[2].as_ptr(), body[12..].as_ptr());
    assert_eq!(apply_to_bytes(&body, &scan, &[]).as_ptr(), body.as_ptr());
}

fn edits() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    let key = prop::sample::select(&["model", "stream", "stream_options", "", "other"][..]).prop_map(str::to_owned);
    prop::collection::vec((key, prop::option::of(sample::value())), 0..4)
}

fn as_edits(edits: &[(String, Option<String>)]) -> Vec<Edit<'_>> {
    edits.iter().map(|(key, value)| value.as_deref().map_or(Edit::remove(key), |value| Edit::raw(key, value))).collect()
}

/// The key that a piece's quoted key stands for; none if a surrogate in it is unpaired.
fn name(quoted: &str) -> Option<String> {
    serde_json::from_str(quoted).ok()
}

fn members(scan: &Scan<'_>) -> Vec<(Option<String>, String)> {
    scan.members().iter().map(|member| (name(scan.raw_key(*member)), scan.raw(*member).to_owned())).collect()
}

proptest! {
    #[test]
    fn without_edits_nothing_changes(object in sample::object()) {
        let body = Bytes::from(object.text());
        let scan = scan::object(&body).unwrap();
        prop_assert_eq!(apply_to_bytes(&body, &scan, &[]), body.clone());
    }

    #[test]
    fn setting_what_is_there_changes_its_values_and_no_other_byte(mut object in sample::object(), value in sample::value()) {
        let body = Bytes::from(object.text());
        let scan = scan::object(&body).unwrap();
        prop_assume!(scan.get("model").is_some());
        let after = apply_to_bytes(&body, &scan, &[Edit::raw("model", value.as_str())]);
        for piece in object.pieces.iter_mut().filter(|piece| name(&piece.key).as_deref() == Some("model")) {
            piece.value.clone_from(&value);
        }
        prop_assert_eq!(after, Bytes::from(object.text()));
    }

    #[test]
    fn any_edits_give_the_members_that_they_ask_for(object in sample::object(), edits in edits()) {
        let body = Bytes::from(object.text());
        let scan = scan::object(&body).unwrap();
        let after = apply_to_bytes(&body, &scan, &as_edits(&edits));
        let mut expected = members(&scan);
        let mut seen = std::collections::HashSet::new();
        for (key, value) in edits.iter().rev().filter(|(key, _)| seen.insert(key.clone())) {
            let is = |name: &Option<String>| name.as_deref() == Some(key);
            match value {
                None => expected.retain(|(name, _)| !is(name)),
                Some(value) => expected.iter_mut().filter(|(name, _)| is(name)).for_each(|(_, old)| old.clone_from(value)),
            }
        }
        let absent = |key: &str| scan.get(key).is_none();
        for (n, (key, value)) in edits.iter().enumerate() {
            let last = edits.iter().skip(n + 1).all(|(other, _)| other != key);
            if let Some(value) = value.as_ref().filter(|_| last && absent(key)) {
                expected.push((Some(key.clone()), value.clone()));
            }
        }
        let text = std::str::from_utf8(&after).unwrap();
        prop_assert_eq!(members(&scan::object_in(text).unwrap()), expected, "{}", text);
    }
}
