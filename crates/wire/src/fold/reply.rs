//! How is a folded reply written?
//!
//! In: what was gathered. Out: one JSON object in the order that people expect: what names the reply, the choices, the usage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::node::Fields;
use crate::openai::Shape;

const NULL: &str = "null";

/// The whole reply.
pub(super) fn write(shape: Shape, top: &Fields, choices: &BTreeMap<u64, Fields>, usage: Option<&str>) -> String {
    let mut members = Vec::new();
    let put = |members: &mut Vec<String>, key: &str| members.extend(top.get(key).map(|value| format!("{key}:{value}")));
    put(&mut members, "\"id\"");
    members.push(format!("\"object\":\"{}\"", shape.object()));
    put(&mut members, "\"created\"");
    put(&mut members, "\"model\"");
    let choices: Vec<String> = choices.iter().map(|(index, choice)| one(shape, *index, choice)).collect();
    members.push(format!("\"choices\":[{}]", choices.join(",")));
    members.extend(usage.map(|usage| format!("\"usage\":{usage}")));
    members.extend(top.except(&["\"id\"", "\"created\"", "\"model\""]));
    format!("{{{}}}", members.join(","))
}

fn one(shape: Shape, index: u64, choice: &Fields) -> String {
    let mut text = match shape {
        Shape::Chat => format!("{{\"index\":{index},\"message\":{}", message(choice.fields("\"delta\""))),
        _ => format!("{{\"text\":{},\"index\":{index}", choice.get("\"text\"").unwrap_or_else(|| "\"\"".to_owned())),
    };
    for key in ["\"logprobs\"", "\"finish_reason\""] {
        let _ = write!(text, ",{key}:{}", choice.get(key).as_deref().unwrap_or(NULL));
    }
    let text_key = if shape == Shape::Chat { "\"delta\"" } else { "\"text\"" };
    for member in choice.except(&["\"index\"", text_key, "\"logprobs\"", "\"finish_reason\""]) {
        text.push(',');
        text.push_str(&member);
    }
    text.push('}');
    text
}

fn message(delta: Option<&Fields>) -> String {
    let get = |key| delta.and_then(|delta| delta.get(key));
    let or_null = |key| get(key).unwrap_or_else(|| NULL.to_owned());
    let role = get("\"role\"").filter(|role| role != NULL).unwrap_or_else(|| "\"assistant\"".to_owned());
    let mut members = vec![
        format!("\"role\":{role}"),
        format!("\"content\":{}", or_null("\"content\"")),
        format!("\"refusal\":{}", or_null("\"refusal\"")),
    ];
    if let Some(delta) = delta {
        members.extend(delta.except(&["\"role\"", "\"content\"", "\"refusal\""]));
    }
    format!("{{{}}}", members.join(","))
}
