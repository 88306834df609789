//! Merge patches by the table of RFC 7396, appendix A; and what is said of a misfit.

use serde_json::{Value, json};

use super::{from_value, merge, read};

#[test]
fn a_merge_patch_does_what_the_rfc_says() {
    let table = [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a":"b"}), json!(["c"]), json!(["c"])),
        (json!({"a":"foo"}), json!(null), json!(null)),
        (json!({"a":"foo"}), json!("bar"), json!("bar")),
        (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
        (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
    ];
    for (mut target, patch, wanted) in table {
        let (before, change) = (target.clone(), patch.clone());
        merge(&mut target, patch);
        assert_eq!(target, wanted, "{before} with {change}");
    }
}

#[test]
fn an_unknown_field_is_named_with_its_path_and_a_suggestion() {
    let error = read::<spec::Deployment>(br#"{"name":"a","replicas":{"maxx":2}}"#).unwrap_err();
    assert_eq!(error.to_string(), "replicas.maxx: unknown field `maxx` at line 1 column 30");
    assert_eq!(base::Fault::hint(&error).as_deref(), Some("did you mean `max`?"));
}

#[test]
fn an_unknown_word_lists_the_words_that_are_known() {
    let error = from_value::<spec::Deployment>(json!({"name":"a","engine":"zzz"})).unwrap_err();
    assert_eq!(base::Fault::hint(&error).as_deref(), Some("use one of llama-server, openai, echo"));
}

#[test]
fn text_that_is_not_json_is_refused_with_its_place() {
    let error = read::<Value>(b"{\"a\":1,\n ]").unwrap_err();
    assert!(error.to_string().contains("line 2 column 2"), "{error}");
    assert!(read::<Value>(b"{} {}").is_err(), "one value, no more");
    let error = read::<spec::Deployment>(b"[\"a\"]").unwrap_err();
    assert_eq!(error.to_string(), "the body is not a JSON object");
}
