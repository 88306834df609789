//! A config before it has a shape: values that remember where they were written.
//!
//! In: what a file, an environment variable or a flag says. Out: a tree in which each value knows
//! its line, its variable or its flag, so that an error about it can say so. Fails: never.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A line of the config file.
    Line(Arc<str>, u64),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
    /// Nowhere: a default.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Nowhere => f.write_str("config"),
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Origin,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// From a variable or a flag: what it is, is known to whoever reads it.
    Word(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value; the key may stand on another line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Origin,
    pub(super) node: Node,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A path as people write it: `deployments[0].url`.
pub(super) fn path(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text = format!("{text}.{key}"),
            Step::Index(index) => text = format!("{text}[{index}]"),
        }
    }
    text
}

impl Node {
    /// A map with nothing in it.
    pub(super) fn empty(at: Origin) -> Self {
        Self { at, value: Value::Map(Vec::new()) }
    }

    /// Nothing is said in it.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }

    /// The node at a path.
    pub(super) fn find(&self, steps: &[Step]) -> Option<&Self> {
        let Some((first, rest)) = steps.split_first() else { return Some(self) };
        match (&self.value, first) {
            (Value::Map(entries), Step::Key(key)) => entries.iter().find(|entry| entry.key == *key)?.node.find(rest),
            (Value::List(nodes), Step::Index(index)) => nodes.get(*index)?.find(rest),
            _ => None,
        }
    }

    /// Where the deepest part of the path that was written stands.
    pub(super) fn origin(&self, steps: &[Step]) -> Origin {
        let deepest = (0..=steps.len()).rev().find_map(|length| self.find(&steps[..length]));
        deepest.map_or(Origin::Nowhere, |node| node.at.clone())
    }

    /// Writes a value over whatever stands at this path of keys.
    pub(super) fn set(&mut self, keys: &[&str], node: Self) {
        let Some((first, rest)) = keys.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == **first) {
            entry.node.set(rest, node);
            return;
        }
        let at = node.at.clone();
        let mut child = Self::empty(at.clone());
        child.set(rest, node);
        entries.push(Entry { key: (*first).to_owned(), at, node: child });
    }

    /// Takes the value at this path out. False when there is none.
    pub(super) fn remove(&mut self, steps: &[Step]) -> bool {
        match (steps, &mut self.value) {
            ([Step::Key(key)], Value::Map(entries)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != *key);
                entries.len() < before
            }
            // The place stays, so that the numbers of the others hold.
            ([Step::Index(index)], Value::List(nodes)) => nodes.get_mut(*index).is_some_and(|node| {
                let was_there = !matches!(node.value, Value::Null);
                node.value = Value::Null;
                was_there
            }),
            ([Step::Key(key), rest @ ..], Value::Map(entries)) => {
                entries.iter_mut().find(|entry| entry.key == *key).is_some_and(|entry| entry.node.remove(rest))
            }
            ([Step::Index(index), rest @ ..], Value::List(nodes)) => nodes.get_mut(*index).is_some_and(|node| node.remove(rest)),
            _ => false,
        }
    }
}
