//! From a tree to the structs of the config, with every fault found, not only the first.
//!
//! In: a [`Node`]. Out: any type that can be deserialised, or all problems. How: serde stops at the
//! first fault; it is noted, what is at fault is taken out of the tree, and the rest is tried again.

#![expect(clippy::result_large_err, reason = "a fault carries its path and place, and a config is read once")]

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Error as _, IntoDeserializer as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::Problem;
use super::tree::{Entry, Node, Step, Value, path};

mod fault;

use fault::Fault;

/// So many faults of one config are told; who has more will start again anyway.
const MOST_PROBLEMS: usize = 20;

/// Reads a value; what cannot be used is left out of it, told, and taken out of the tree.
pub(super) fn decode<'de, T: Deserialize<'de> + Default>(root: &mut Node) -> (T, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut removed: Vec<Vec<Step>> = Vec::new();
    while problems.len() < MOST_PROBLEMS {
        let mut fault = match T::deserialize(Source(&root.clone())) {
            Ok(value) => return (value, problems),
            Err(fault) => fault,
        };
        fault.steps.reverse();
        // A value that was taken out for being wrong is not told again for being missing.
        if !fault.missing.as_ref().is_some_and(|field| removed.contains(&with(&fault.steps, field))) {
            problems.push(problem(&fault, root));
        }
        if !root.remove(&fault.steps) {
            break;
        }
        removed.push(fault.steps);
    }
    (T::default(), problems)
}

fn with(steps: &[Step], field: &str) -> Vec<Step> {
    steps.iter().cloned().chain([Step::Key(field.to_owned())]).collect()
}

fn problem(fault: &Fault, root: &Node) -> Problem {
    let at = fault.at.clone().unwrap_or_else(|| root.at.clone());
    let (what, hint) = said(fault, root);
    let named = if fault.names_itself { fault.steps.len().saturating_sub(1) } else { fault.steps.len() };
    let path = path(&fault.steps[..named]);
    Problem::new(at, if path.is_empty() { what } else { format!("{path}: {what}") }, hint)
}

/// The words of the fault; those of names and sources are asked for again, for their hint.
fn said(fault: &Fault, root: &Node) -> (String, String) {
    let again = match (fault.steps.last(), root.find(&fault.steps).map(|node| &node.value)) {
        (Some(Step::Key(key)), Some(Value::Text(text))) if key == "name" => spec::Name::parse(text).err(),
        (Some(Step::Key(key)), Some(Value::Text(text))) if key == "model" => spec::Source::parse(text).err(),
        _ => None,
    };
    match again.and_then(|invalid| invalid.0.into_iter().next()) {
        Some(problem) => (problem.what, problem.hint),
        None => (fault.what.clone(), fault.hint.clone()),
    }
}

/// A node as serde wants it.
struct Source<'a>(&'a Node);

impl Source<'_> {
    fn word(&self) -> Option<&str> {
        match &self.0.value {
            Value::Word(word) => Some(word.trim()),
            _ => None,
        }
    }
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(yes) => visitor.visit_bool(*yes),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) | Value::Word(text) => visitor.visit_str(text),
            Value::List(nodes) => visitor.visit_seq(Nodes { nodes, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
        }
    }
    /// `yes`, `on` and their like are truth values only where one is asked for.
    fn truth(&self) -> Option<bool> {
        let (Value::Text(word) | Value::Word(word)) = &self.0.value else { return None };
        match word.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Some(true),
            "false" | "no" | "n" | "off" => Some(false),
            _ => None,
        }
    }
    /// A word that is to be a number becomes one.
    fn parsed<'de, T: std::str::FromStr, V: Visitor<'de>>(
        self,
        visitor: V,
        visit: impl FnOnce(V, T) -> Result<V::Value, Fault>,
    ) -> Result<V::Value, Fault> {
        let found = self.word().and_then(|word| word.parse().ok());
        let at = self.0.at.clone();
        match found {
            Some(value) => visit(visitor, value),
            None => self.any(visitor),
        }
        .map_err(|fault: Fault| fault.at(at))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.parsed(visitor, |visitor, number: $type| visitor.$visit(number))
        })+
    };
}

impl<'de> de::Deserializer<'de> for Source<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.0.at.clone();
        self.any(visitor).map_err(|fault| fault.at(at))
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.truth() {
            Some(yes) => visitor.visit_bool(yes),
            None => self.deserialize_any(visitor),
        }
    }
    numbers! {
        deserialize_u8 visit_u64 u64, deserialize_u16 visit_u64 u64, deserialize_u32 visit_u64 u64, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i64 i64, deserialize_i16 visit_i64 i64, deserialize_i32 visit_i64 i64, deserialize_i64 visit_i64 i64,
        deserialize_f32 visit_f64 f64, deserialize_f64 visit_f64 f64
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // A list of arguments may hold bare numbers.
        if let Value::Int(number) = self.0.value { visitor.visit_string(number.to_string()) } else { self.deserialize_any(visitor) }
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if matches!(self.0.value, Value::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(word) = self.word() else { return self.deserialize_any(visitor) };
        let at = self.0.at.clone();
        let words = word.split(',').map(str::trim).filter(|word| !word.is_empty());
        let nodes: Vec<Node> = words.map(|word| Node { at: at.clone(), value: Value::Word(word.to_owned()) }).collect();
        visitor.visit_seq(Nodes { nodes: &nodes, next: 0 })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // A key with nothing behind it is a group with nothing in it.
        if matches!(self.0.value, Value::Null) {
            return visitor.visit_map(Entries { entries: &[], value: None }).map_err(|fault: Fault| fault.at(self.0.at.clone()));
        }
        // Serde would take its items for the values of the first keys.
        if matches!(self.0.value, Value::List(_)) {
            return Err(Fault::invalid_type(Unexpected::Seq, &visitor).at(self.0.at.clone()));
        }
        self.deserialize_any(visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let at = self.0.at.clone();
        match &self.0.value {
            Value::Text(text) | Value::Word(text) => visitor.visit_enum(StrDeserializer::<Fault>::new(text)),
            _ => self.any(visitor),
        }
        .map_err(|fault| fault.at(at))
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }
    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

struct Nodes<'a> {
    nodes: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Nodes<'_> {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        // What was taken out for being wrong has left its place behind.
        while let Some(node) = self.nodes.get(self.next) {
            let index = self.next;
            self.next += 1;
            if !matches!(node.value, Value::Null) {
                return seed.deserialize(Source(node)).map(Some).map_err(|fault| fault.at(node.at.clone()).within(Step::Index(index)));
            }
        }
        Ok(None)
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    value: Option<&'a Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Fault;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((entry, rest)) = self.entries.split_first() else { return Ok(None) };
        (self.entries, self.value) = (rest, Some(entry));
        let key = seed.deserialize(entry.key.as_str().into_deserializer());
        key.map(Some).map_err(|fault: Fault| fault.at(entry.at.clone()).within(Step::Key(entry.key.clone())))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else { return Err(de::Error::custom("a value without a key")) };
        seed.deserialize(Source(&entry.node)).map_err(|fault| fault.at(entry.node.at.clone()).within(Step::Key(entry.key.clone())))
    }
}

/// The keys that a type knows, as serde says them.
#[cfg(test)]
pub(super) fn known_keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    use super::tree::Origin;
    let probe = Entry { key: "?".to_owned(), at: Origin::Nowhere, node: Node::empty(Origin::Nowhere) };
    let root = Node { at: Origin::Nowhere, value: Value::Map(vec![probe]) };
    T::deserialize(Source(&root)).err().map_or(&[], |fault| fault.known)
}
