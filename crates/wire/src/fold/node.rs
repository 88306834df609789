//! What has been gathered of an object so far?
//!
//! In: members of one event after another. Out: the object as JSON. Fails: never. Holds: JSON text as the engine
//! wrote it; only the seams are new. Depth is that of the places in [`super::rule`], not of the engine's values.

use super::rule::{self, Place, Rule};
use crate::scan::{self, Member, Scan};

/// Members in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, Node)>);

/// A value in the making.
#[derive(Debug)]
enum Node {
    /// As it came.
    Raw(String),
    /// The inside of a string.
    Text(String),
    /// The inside of a list.
    List(String),
    /// An object.
    Fields(Fields),
    /// Tool calls by their index.
    Calls(Vec<(u64, Fields)>),
}

impl Fields {
    /// Adds a member of an event.
    pub(super) fn merge(&mut self, place: Place, scan: &Scan<'_>, member: Member) {
        let (key, value) = (scan.raw_key(member), scan.raw(member));
        let name = scan::decode(key).unwrap_or_default();
        let rule = rule::of(place, &name, member.kind);
        match self.find(key) {
            Some(node) => node.add(rule, value),
            None => self.0.push((key.to_owned(), Node::new(rule, value))),
        }
    }

    /// Adds a JSON string to the text of a member, given by its quoted key.
    pub(super) fn join(&mut self, key: &str, string: &str) {
        match self.find(key) {
            Some(node) => node.add(Rule::Join, string),
            None => self.0.push((key.to_owned(), Node::new(Rule::Join, string))),
        }
    }

    /// The member with this quoted key, as JSON.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, node)| node.to_json())
    }

    /// The object behind this quoted key.
    pub(super) fn fields(&self, key: &str) -> Option<&Self> {
        self.0.iter().find(|(name, _)| name == key).and_then(|(_, node)| match node {
            Node::Fields(fields) => Some(fields),
            _ => None,
        })
    }

    /// All members but those with these quoted keys, each as `"key":value`.
    pub(super) fn except(&self, keys: &[&str]) -> Vec<String> {
        self.0.iter().filter(|(name, _)| !keys.contains(&name.as_str())).map(|(name, node)| format!("{name}:{}", node.to_json())).collect()
    }

    fn all(&mut self, place: Place, object: &str) {
        if let Ok(scan) = scan::object_in(object) {
            for member in scan.members() {
                self.merge(place, &scan, *member);
            }
        }
    }

    fn find(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
    }
}

impl Node {
    fn new(rule: Rule, value: &str) -> Self {
        let mut node = match rule {
            Rule::First | Rule::Last => return Self::Raw(value.to_owned()),
            Rule::Join => Self::Text(String::new()),
            Rule::Append => Self::List(String::new()),
            Rule::Members(_) => Self::Fields(Fields::default()),
            Rule::Calls => Self::Calls(Vec::new()),
        };
        node.add(rule, value);
        node
    }

    fn add(&mut self, rule: Rule, value: &str) {
        match (&mut *self, rule) {
            (Self::Raw(old), Rule::First) if old != "null" && old != "\"\"" => {}
            (_, Rule::First) if value == "null" => {}
            (Self::Raw(old), Rule::Last) if old == value => {}
            (Self::Text(text), Rule::Join) => text.push_str(scan::inside(value)),
            (Self::List(list), Rule::Append) => {
                let more = scan::inside(value).trim();
                if !list.is_empty() && !more.is_empty() {
                    list.push(',');
                }
                list.push_str(more);
            }
            (Self::Fields(fields), Rule::Members(place)) => fields.all(place, value),
            (Self::Calls(calls), Rule::Calls) => add_calls(calls, value),
            // The value has another type than before: what came later is what counts.
            _ => *self = Self::new(rule, value),
        }
    }

    fn to_json(&self) -> String {
        match self {
            Self::Raw(raw) => raw.clone(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(list) => format!("[{list}]"),
            Self::Fields(fields) => format!("{{{}}}", fields.except(&[]).join(",")),
            Self::Calls(calls) => {
                let calls: Vec<String> = calls.iter().map(|(_, call)| format!("{{{}}}", call.except(&["\"index\""]).join(","))).collect();
                format!("[{}]", calls.join(","))
            }
        }
    }
}

fn add_calls(calls: &mut Vec<(u64, Fields)>, array: &str) {
    for (text, _) in scan::array_in(array).unwrap_or_default() {
        let Ok(scan) = scan::object_in(text) else { continue };
        let index = index_of(calls, &scan);
        let at = calls.partition_point(|(other, _)| *other < index);
        if calls.get(at).is_none_or(|(other, _)| *other != index) {
            calls.insert(at, (index, Fields::default()));
        }
        if let Some((_, fields)) = calls.get_mut(at) {
            fields.all(Place::Call, text);
        }
    }
}

/// Which call a fragment goes on with; without an index, a new id begins a new call.
fn index_of(calls: &[(u64, Fields)], fragment: &Scan<'_>) -> u64 {
    let last = calls.last().map(|(index, _)| *index);
    fragment.u64("index").unwrap_or_else(|| {
        let id = fragment.value("id").filter(|id| !matches!(*id, "null" | "\"\""));
        let known = id.and_then(|id| calls.iter().find(|(_, call)| call.get("\"id\"").as_deref() == Some(id)));
        match (known, id, last) {
            (Some((index, _)), _, _) => *index,
            (None, Some(_), Some(last)) => last + 1,
            (None, _, last) => last.unwrap_or(0),
        }
    })
}
