//! The config file as a tree: YAML, JSON or TOML, by its ending.
//!
//! In: a path. Out: a [`Node`] whose values know their lines. Fails: when the file cannot be read,
//! has an ending that we do not know, or breaks the rules of its format; with the line. Bounded:
//! the YAML reader's budget stops bombs of aliases, and a config has at most [`MOST_BYTES`].

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::Problem;
use super::tree::{Entry, Node, Origin, Value};

/// More than any config that a person writes.
const MOST_BYTES: u64 = 4 << 20;

/// Reads a file.
pub(super) fn file(path: &Path) -> Result<Node, Problem> {
    let name: Arc<str> = path.display().to_string().into();
    let text = text(path).map_err(|error| {
        let hint = "check the path given to --config, and that this user may read it";
        Problem::new(Origin::Nowhere, format!("cannot read {name}: {error}"), hint)
    })?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml") => yaml(&name, &text),
        Some("json") => json(&name, &text),
        Some("toml") => toml(&name, &text),
        _ => Err(Problem::new(Origin::Nowhere, format!("{name} has no ending that tells its format"), "name it .yaml, .json or .toml")),
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// YAML; an empty text is an empty config.
pub(super) fn yaml(name: &Arc<str>, text: &str) -> Result<Node, Problem> {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    // Whether `off` is a word or means false is known to whoever reads it.
    options.strict_booleans = true;
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(placed(name, raw)),
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line().max(1));
            let what = format!("this is not YAML: {}", first_line(&error.to_string()));
            Err(Problem::new(Origin::Line(Arc::clone(name), line), what, "check the indentation, the quotes and the brackets"))
        }
    }
}

/// JSON is YAML too, once it is known to be JSON.
fn json(name: &Arc<str>, text: &str) -> Result<Node, Problem> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => yaml(name, text),
        Err(error) => {
            let line = u64::try_from(error.line()).unwrap_or(1).max(1);
            Err(Problem::new(
                Origin::Line(Arc::clone(name), line),
                format!("this is not JSON: {error}"),
                "check the commas and the brackets",
            ))
        }
    }
}

fn toml(name: &Arc<str>, text: &str) -> Result<Node, Problem> {
    let line = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count() as u64;
    match toml::de::DeTable::parse(text) {
        Ok(table) => {
            let at = |span: std::ops::Range<usize>| Origin::Line(Arc::clone(name), line(span.start));
            Ok(Node { at: at(table.span()), value: table_of(table.get_ref(), &at) })
        }
        Err(error) => {
            let at = Origin::Line(Arc::clone(name), error.span().map_or(1, |span| line(span.start)));
            Err(Problem::new(at, format!("this is not TOML: {}", error.message()), "check the quotes and the brackets"))
        }
    }
}

fn table_of(table: &toml::de::DeTable<'_>, at: &impl Fn(std::ops::Range<usize>) -> Origin) -> Value {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<toml::de::DeValue<'_>>)| {
        let key_text: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry { key: key_text.to_string(), at: at(key.span()), node: toml_value(value, at) }
    };
    Value::Map(table.iter().map(entry).collect())
}

fn toml_value(value: &toml::Spanned<toml::de::DeValue<'_>>, at: &impl Fn(std::ops::Range<usize>) -> Origin) -> Node {
    use toml::de::DeValue;
    let found = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Word(number.to_string()), Value::Int)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Word(number.to_string()), Value::Float),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(when) => Value::Text(when.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| toml_value(value, at)).collect()),
        DeValue::Table(table) => table_of(table, at),
    };
    Node { at: at(value.span()), value: found }
}

/// What YAML says, with the places of what is in it.
#[derive(Debug)]
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn placed(name: &Arc<str>, raw: Spanned<Raw>) -> Node {
    let at = Origin::Line(Arc::clone(name), raw.referenced.line().max(1));
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(yes) => Value::Bool(yes),
        Raw::Int(number) => Value::Int(number),
        Raw::Float(number) => Value::Float(number),
        Raw::Text(text) => Value::Text(text),
        Raw::List(nodes) => Value::List(nodes.into_iter().map(|node| placed(name, node)).collect()),
        Raw::Map(entries) => Value::Map(entries.into_iter().map(|(key, value)| entry(name, key, value)).collect()),
    };
    Node { at, value }
}

fn entry(name: &Arc<str>, key: Spanned<String>, value: Spanned<Raw>) -> Entry {
    let at = Origin::Line(Arc::clone(name), key.referenced.line().max(1));
    Entry { key: key.value, at, node: placed(name, value) }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Raw;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }
    fn visit_bool<E>(self, yes: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(yes))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Int(number))
    }
    #[expect(clippy::cast_precision_loss, reason = "a number that large is refused by whoever reads it")]
    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(i64::try_from(number).map_or(Raw::Float(number as f64), Raw::Int))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text).trim_end_matches(':')
}
