//! What a card may say, and which engine serves which format.

use serde_json::json;

use super::{Card, Format, tag_problem, warning};
use crate::{EngineKind, Name};

fn wrong(card: &serde_json::Value) -> String {
    serde_json::from_value::<Card>(card.clone()).expect("a card").check().expect_err("a fault").to_string()
}

#[test]
fn a_card_is_told_all_that_is_wrong_with_it_at_once() {
    let said = wrong(&json!({
        "parameters": {"temperature": 3.5, "top_p": -0.1, "max_tokens": 0},
        "context_limit": 0, "deprecated": " ", "input_schema": [1], "labels": {"a=b": "c"},
    }));
    for word in
        ["parameters.temperature", "parameters.top_p", "parameters.max_tokens", "context_limit", "deprecated", "input_schema", "labels"]
    {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

#[test]
fn every_text_of_a_card_has_an_end() {
    let long = "x".repeat(200_000);
    for field in ["description", "licence", "chat_template", "deprecated"] {
        assert!(wrong(&json!({ field: long })).contains(field));
    }
    assert!(wrong(&json!({"input_schema": {"d": long}})).contains("input_schema"));
    assert!(serde_json::from_value::<Card>(json!({"colour": "red"})).is_err(), "an unknown field");
}

#[test]
fn a_card_without_words_says_nothing() {
    let card = Card::default();
    assert!(card.check().is_ok() && card.serving().is_empty());
    assert_eq!(serde_json::to_value(&card).expect("json"), json!({}));
}

#[test]
fn a_tag_has_nothing_in_it_that_a_name_is_split_at() {
    for good in ["latest", "v1.2", "_x", "2026-01-31"] {
        assert!(tag_problem(good).is_none(), "{good}");
    }
    for bad in ["", ":", "a:b", "a/b", "@x", "-x", "a b", "é"] {
        assert!(tag_problem(bad).is_some(), "{bad}");
    }
}

#[test]
fn an_engine_that_needs_a_model_says_which_formats_it_serves() {
    for engine in EngineKind::ALL {
        assert_eq!(engine.needs_model(), !engine.formats().is_empty(), "{engine}");
    }
    assert!(!EngineKind::LlamaServer.formats().contains(&Format::Onnx));
}

#[test]
fn a_warning_is_one_quoted_text_whatever_is_in_it() {
    let name = Name::parse("old").expect("a name");
    assert_eq!(warning(&name, r#"use "new" \ now"#), r#"299 - "the model `old` is deprecated: use \"new\" \\ now""#);
}
