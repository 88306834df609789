//! Does the scan find what lies in a body, and does it refuse what is not JSON, where it is not?

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::string::pass;
use super::{Error, Kind, MAX_DEPTH, MAX_MEMBERS, Reader, Span, Spans, array_in, decode, object, object_in, pick, value_in};
use crate::sample;

#[test]
fn members_are_read_by_their_kind() {
    let body = br#" { "model" : "a\/b\u00e9" ,"stream":true,"n":2,"x":[1,{"y":"]"}],"o":{"include_usage":false},"z":null } "#;
    let scan = object(body).unwrap();
    assert_eq!(scan.str("model").unwrap(), "a/bé");
    assert_eq!(scan.bool("stream"), Some(true));
    assert_eq!(scan.u64("n"), Some(2));
    assert_eq!(scan.value("x"), Some(r#"[1,{"y":"]"}]"#));
    assert_eq!(scan.object("o").unwrap().bool("include_usage"), Some(false));
    assert!(scan.is_null("z"));
    assert!(!scan.is_null("absent"));
    let kinds: Vec<Kind> = scan.members().iter().map(|member| member.kind).collect();
    assert_eq!(kinds, [Kind::String, Kind::Bool, Kind::Number, Kind::Array, Kind::Object, Kind::Null]);
    assert_eq!((scan.str("n"), scan.bool("n"), scan.u64("model")), (None, None, None));
}

#[test]
fn of_duplicate_keys_the_last_is_read_however_it_is_written() {
    let scan = object_in(r#"{"model":"mine","mod\u0065l":"yours"}"#).unwrap();
    assert_eq!(scan.str("model").unwrap(), "yours");
    assert_eq!(scan.members().len(), 2);
}

#[test]
fn whole_numbers_are_read_in_every_spelling() {
    let whole = |number: &str| object_in(&format!("{{\"n\":{number}}}")).unwrap().u64("n");
    assert_eq!(whole("18446744073709551615"), Some(u64::MAX));
    assert_eq!(whole("16.0"), Some(16));
    assert_eq!(whole("1e3"), Some(1000));
    for other in ["-1", "1.5", "18446744073709551616", "1e400"] {
        assert_eq!(whole(other), None, "{other}");
    }
}

#[test]
fn an_unpaired_surrogate_passes_but_cannot_be_decoded() {
    let scan = object_in(r#"{"text":"\ud83d","model":"m"}"#).unwrap();
    assert_eq!(scan.str("text"), None);
    assert_eq!(scan.value("text"), Some(r#""\ud83d""#));
    assert_eq!(decode(r#""\ud83d\ude00""#).unwrap(), "😀");
}

#[test]
fn the_error_says_where_and_what_was_expected() {
    let cases: [(&[u8], usize, &str); 18] = [
        (b"", 0, "byte 0: expected `{` at the start of a JSON object, found the end of the body"),
        (b"[]", 0, "byte 0: expected `{` at the start of a JSON object, found `[`"),
        (b"{bad", 1, "byte 1: expected a key in double quotes, found `b`"),
        (b"{\"a\" 1}", 5, "byte 5: expected `:` after a key, found `1`"),
        (b"{\"a\":}", 5, "byte 5: expected a JSON value, found `}`"),
        (b"{\"a\":1,}", 7, "byte 7: expected a key in double quotes, found `}`"),
        (b"{\"a\":1 \"b\"", 7, "byte 7: expected `,` or `}` after a member, found `\"`"),
        (b"{\"a\":[1 2]}", 8, "byte 8: expected `,` or `]` after an element, found `2`"),
        (b"{\"a\":[1}", 7, "byte 7: expected `,` or `]` after an element, found `}`"),
        (b"{\"a\":01}", 6, "byte 6: expected `,` or `}` after a member, found `1`"),
        (b"{\"a\":-}", 6, "byte 6: expected a digit, found `}`"),
        (b"{\"a\":1.}", 7, "byte 7: expected a digit, found `}`"),
        (b"{\"a\":tru}", 5, "byte 5: expected true, false or null, found `t`"),
        (b"{\"a\":\"x", 7, "byte 7: expected a closing quote, found the end of the body"),
        (b"{\"a\":\"\n\"}", 6, "byte 6: expected an escape such as \\n in place of a control character, found byte 0x0a"),
        (b"{\"a\":\"\\u12g4\"}", 10, "byte 10: expected four hexadecimal digits after \\u, found `g`"),
        (b"{\"a\":\"\xff\"}", 6, "byte 6: expected valid UTF-8, found byte 0xff"),
        (b"{} x", 3, "byte 3: expected nothing after the JSON value, found `x`"),
    ];
    for (body, at, text) in cases {
        let error = object(body).unwrap_err();
        assert_eq!((error.at, error.to_string().as_str()), (at, text));
    }
}

#[test]
fn nesting_goes_as_deep_as_the_limit_and_no_deeper() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let limit = MAX_DEPTH as usize;
    assert!(object_in(&nested(limit - 1)).is_ok());
    let error = object_in(&nested(limit)).unwrap_err();
    assert_eq!(error.expected, "no more than 128 levels of nesting");
    assert!(object_in(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn more_members_than_the_limit_are_refused() {
    let with = |n: usize| format!("{{{}}}", vec!["\"a\":1"; n].join(","));
    assert_eq!(object_in(&with(MAX_MEMBERS)).unwrap().members().len(), MAX_MEMBERS);
    assert!(object_in(&with(MAX_MEMBERS + 1)).is_err());
}

#[test]
fn arrays_come_apart() {
    let elements = array_in(r#" [1, "a,b" ,[2,3],{"c":[]}] "#).unwrap();
    let texts: Vec<&str> = elements.iter().map(|(text, _)| *text).collect();
    assert_eq!(texts, ["1", "\"a,b\"", "[2,3]", r#"{"c":[]}"#]);
    assert!(array_in("[]").unwrap().is_empty());
    assert!(array_in("[1,]").is_err());
    assert_eq!(value_in(" true ").unwrap(), Kind::Bool);
}

#[test]
fn spans_outlive_the_text_and_can_be_put_back_on_it() {
    let body = r#"{"model":"m","n":3}"#.to_owned();
    let spans = object_in(&body).unwrap().into_spans();
    assert_eq!(spans.on(body.as_bytes()).u64("n"), Some(3));
    assert_eq!(spans.on(b"another text").value("n"), None);
}

#[test]
fn long_strings_are_not_read_again_by_those_who_look_inside() {
    let picture = "A".repeat(1 << 20);
    let body = format!(r#"{{"messages":[{{"content":[{{"type":"image","url":"{picture}"}},{{"text":"what \"is\" it?"}}]}}],"n":1}}"#);
    let scan = object(body.as_bytes()).unwrap();
    let listed = |span| {
        let mut all = Vec::new();
        scan.each(span, |span, _| all.push(span)).unwrap();
        all
    };
    let messages = listed(scan.get("messages").unwrap().value_span);
    let message = scan.inside(messages[0]).unwrap();
    assert_eq!(message.text(), scan.at(messages[0]));
    let parts = listed(message.get("content").unwrap().value_span);
    let (image, text) = (message.inside(parts[0]).unwrap(), message.inside(parts[1]).unwrap());
    assert_eq!(image.str("url").unwrap(), picture);
    assert_eq!(text.str("text").unwrap(), "what \"is\" it?");
    assert_eq!(scan.long.len(), 1, "the place of the picture is what is kept");
    let mut broken = body.clone().into_bytes();
    broken[1 << 10] = b'\n';
    let again = super::Scan { bytes: &broken, ..scan.clone() };
    assert!(again.inside(messages[0]).is_ok(), "nobody has looked at the picture");
    assert!(object(&broken).is_err());
}

/// As the scan is fed by a body that comes in pieces.
fn in_pieces(body: &[u8], lengths: &[usize]) -> Result<Spans, Error> {
    let (mut reader, mut come) = (Reader::default(), 0);
    for length in lengths.iter().cycle() {
        come = (come + length).min(body.len());
        reader.feed(&body[..come])?;
        if come == body.len() {
            break;
        }
    }
    reader.finish(body)
}

#[test]
fn space_may_come_in_a_piece_of_its_own() {
    let body = b"{\"a\" :  [ {\"b\" :  [ 1 ,  2 ] ,  \"c\" :  \"d\" } ,  null ] }";
    for length in 1..8 {
        assert_eq!(in_pieces(body, &[length]).unwrap(), object(body).unwrap().into_spans(), "{length}");
    }
}

#[test]
fn rows_of_an_array_are_the_members_that_are_asked_for() {
    let body = br#"{"m":[{"a":1,"b":"x"},{"b":2,"\u0062":3},7,[{"a":1}],{}]}"#;
    let scan = object(body).unwrap();
    let mut rows = Vec::new();
    scan.rows(scan.get("m").unwrap().value_span, ["a", "b"], |row| rows.push(row.map(|m| m.map(|m| scan.raw(m))))).unwrap();
    assert_eq!(rows, [[Some("1"), Some("\"x\"")], [None, Some("3")], [None, None], [None, None], [None, None]]);
    let whole = Span { start: 0, end: body.len() };
    assert!(scan.rows(whole, ["a"], |_| {}).is_err(), "an object has no rows");
}

#[test]
fn a_huge_number_in_small_pieces_is_not_begun_again_for_each() {
    let body = format!("{{\"n\":{}}}", "7".repeat(1 << 20));
    assert_eq!(in_pieces(body.as_bytes(), &[64]).unwrap(), object(body.as_bytes()).unwrap().into_spans());
}

#[test]
fn a_backslash_escapes_what_follows_only_if_it_is_not_escaped_itself_wherever_it_stands() {
    for start in 0..200 {
        for slashes in 0..6 {
            for after in ["\"", "n\"", "\"\"", "nn\"\""] {
                let text = format!("{}{}{after}{}\"", "x".repeat(start), "\\".repeat(slashes), "y".repeat(150));
                let end = (0..text.len()).find(|at| {
                    text.as_bytes()[*at] == b'"' && text[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
                });
                assert_eq!(Some(pass(text.as_bytes(), 0, &mut 0)), end, "{text}");
            }
        }
    }
}

/// Text as it stands in a string, some of it long.
fn content() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => ("[ -!#-\\[\\]-~]{1,9}", 1_usize..40).prop_map(|(text, times)| text.repeat(times)),
        1 => ("[é漢😀]{1,3}", 1_usize..20).prop_map(|(text, times)| text.repeat(times)),
        2 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\u00e9", "\\/"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_string_ends_where_it_ends_however_long_it_is(
        content in content(),
        stop in prop::sample::select(vec!["\"", "\\x", "\\u12", "\n", "\0", "\u{1f}", ""]),
        rest in content(),
        start in 0_usize..70,
    ) {
        let text = format!("{}{content}{stop}{rest}", "x".repeat(start));
        let mut non_ascii = 0;
        // What looks like an incomplete escape may be completed by what follows; a stop of nothing goes on into the rest.
        prop_assume!(!(stop == "\\u12" && rest.bytes().next().is_some_and(|byte| byte.is_ascii_hexdigit())));
        let end = if stop.is_empty() { text.len() } else { start + content.len() };
        prop_assert_eq!(pass(text.as_bytes(), start, &mut non_ascii), end);
        prop_assert!(non_ascii != 0 || content.is_ascii());
    }

    #[test]
    fn a_body_that_comes_in_pieces_is_scanned_as_one_that_comes_whole(
        object in sample::object(),
        long in content(),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        lengths in sample::lengths(),
    ) {
        let mut body = object.text().replacen('{', &format!("{{\"long\":\"{long}\"{}", if object.pieces.is_empty() { "" } else { "," }), 1).into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let whole = super::object(&body).map(super::Scan::into_spans);
        let pieces = in_pieces(&body, &lengths);
        prop_assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "{:?}", pieces);
        let theirs = serde_json::from_slice::<&RawValue>(&body).is_ok_and(|raw| raw.get().starts_with('{'));
        prop_assert_eq!(whole.is_ok(), theirs);
    }

    #[test]
    fn the_scan_agrees_with_serde_json_on_what_is_an_object(
        object in sample::object(),
        at in any::<prop::sample::Index>(),
        byte in prop::option::of(any::<u8>()),
    ) {
        let mut body = object.text().into_bytes();
        if let Some(byte) = byte {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let theirs = serde_json::from_slice::<&RawValue>(&body).is_ok_and(|raw| raw.get().starts_with('{'));
        prop_assert_eq!(super::object(&body).is_ok(), theirs, "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn every_member_is_found_where_it_was_written(object in sample::object()) {
        let text = object.text();
        let scan = object_in(&text).unwrap();
        let found: Vec<(&str, &str)> = scan.members().iter().map(|m| (scan.raw_key(*m), scan.raw(*m))).collect();
        let written: Vec<(&str, &str)> = object.pieces.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        prop_assert_eq!(found, written);
    }

    #[test]
    fn the_members_that_are_picked_are_those_that_serde_json_reads(object in sample::object()) {
        let text = object.text();
        let names = ["model", "stream", "", "Model", "\0", "mod\\u0065l"];
        // An unpaired surrogate is no text for serde_json; the members of such a body are tried elsewhere.
        let Ok(theirs) = serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(&text) else { return Ok(()) };
        let scan = super::object(text.as_bytes()).unwrap();
        for picked in [pick(text.as_bytes(), names).unwrap(), scan.pick(names)] {
            for (name, member) in names.iter().zip(picked) {
                prop_assert_eq!(member.map(|member| scan.raw(member)), theirs.get(*name).map(|raw| raw.get()), "{}", name);
                prop_assert_eq!(member, scan.get(name));
            }
        }
    }

    #[test]
    fn what_is_inside_a_value_is_what_serde_json_reads_there(rows in prop::collection::vec(sample::object(), 0..5), more in sample::value()) {
        let rows: Vec<String> = rows.iter().map(sample::Object::text).collect();
        let body = format!("{{\"rows\":[{}],\"more\":{more}}}", [rows.as_slice(), std::slice::from_ref(&more)].concat().join(" ,\n"));
        let scan = super::object(body.as_bytes()).unwrap();
        let list = scan.get("rows").unwrap();
        let theirs: Vec<&RawValue> = serde_json::from_str(scan.raw(list)).unwrap();
        let (mut each, mut models) = (Vec::new(), Vec::new());
        scan.each(list.value_span, |span, _| each.push(scan.at(span))).unwrap();
        prop_assert_eq!(&each, &theirs.iter().map(|raw| raw.get()).collect::<Vec<_>>());
        scan.rows(list.value_span, ["model"], |[model]| models.push(model.map(|model| scan.raw(model)))).unwrap();
        let expected = each.iter().map(|row| object_in(row).ok().and_then(|row| row.value("model").map(str::to_owned)));
        prop_assert_eq!(models.iter().map(|model| model.map(str::to_owned)).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_broken_body_that_comes_in_pieces_is_refused_in_the_same_words(
        object in sample::object(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        lengths in sample::lengths(),
    ) {
        let mut body = object.text().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        prop_assert_eq!(in_pieces(&body, &lengths), super::object(&body).map(super::Scan::into_spans));
    }

    #[test]
    fn no_bytes_make_the_scan_panic(body in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\u0ae1-+.tn \n\xe9"[..]), 0..64)) {
        let _ = super::object(&body);
    }
}
